"""Pickles are read without anything in them being run: against the standard library where that is safe."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.foreign.errors import ForeignFileError, HostilePickleError
from engine.foreign.pickles import Call, read_pickle

leaves = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text()


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner, inner, inner)
        ),
        max_leaves=20,
    )


plain = _nested(leaves | st.binary())


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_data_comes_out_as_the_standard_library_reads_it(value: Any, protocol: int) -> None:
    assert read_pickle(pickle.dumps(value, protocol)) == value


@given(_nested(leaves))
def test_plain_data_of_torchs_own_protocol_comes_out_too(value: Any) -> None:
    assert read_pickle(pickle.dumps(value, 2)) == value


class _Asks:
    """Pickles as a call of whatever it is given."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("call", "name"), [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (Path, "Path"), (exec, "exec")]
)
def test_a_call_of_something_foreign_is_refused_by_its_name_and_not_made(
    call: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    witness = tmp_path / "was-run"
    asks = _Asks(call, f"open({str(witness)!r}, 'w')")
    with pytest.raises(HostilePickleError, match=name):
        read_pickle(pickle.dumps({"base_lrs": [asks]}, protocol))
    assert not witness.exists()


def test_known_calls_are_shown_and_not_made() -> None:
    assert read_pickle(b"cnumpy\ndtype\n(U\x02f8\x89\x88tR.") == Call("numpy dtype", (b"f8", False, True))
    assert read_pickle(pickle.dumps(OrderedDict(a=1), 2)) == {"a": 1}


@pytest.mark.parametrize("opcode", [b"i", b"o", b"\x82", b"P"])
def test_opcodes_that_no_state_needs_are_refused(opcode: bytes) -> None:
    with pytest.raises(ForeignFileError):
        read_pickle(b"\x80\x02(" + opcode + b"\x00\x00\x00\x00os\nsystem\n.")


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_clear_error(data: bytes) -> None:
    try:
        read_pickle(b"\x80\x02" + data)
    except ForeignFileError as error:
        assert str(error)


@given(plain.filter(lambda value: value is not None), st.data())
def test_a_pickle_that_is_cut_short_is_said_to_be_damaged(value: Any, data: st.DataObject) -> None:
    whole = pickle.dumps([value, "end"], 4)
    with pytest.raises(ForeignFileError):
        read_pickle(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_sizes_that_a_pickle_claims_cost_no_memory() -> None:
    with pytest.raises(ForeignFileError, match="cut short"):
        read_pickle(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.")
    # The standard library's reader would make an array of this length for its memo.
    assert read_pickle(b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b".") == []


def test_deep_nesting_and_odd_keys_are_no_crash() -> None:
    assert read_pickle(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    deep_key = b"\x80\x02})" + b"\x85" * 200_000 + b"Ns."
    with pytest.raises(ForeignFileError, match="dict key"):
        read_pickle(deep_key)


@pytest.mark.parametrize("objects", [b"}\x94", b"N\x94", b")\x85"])
def test_many_small_objects_end_before_they_fill_the_memory(objects: bytes) -> None:
    """Each byte of these asks for an object of some hundred bytes: unbounded, 16 MB of pickle would fill 1.5 GB."""
    with pytest.raises(ForeignFileError, match="more than 2,000,000 operations"):
        read_pickle(b"\x80\x04(" + objects * 8_000_000 + b"t.")


def test_bytes_that_cannot_be_a_name_are_damage_and_not_an_attack() -> None:
    for name in (b"c\x00\x01os\nsy\x1bstem\n.", b"c" + b"a" * 5_000 + b"\nb\n.", b"cos system\nx\n."):
        with pytest.raises(ForeignFileError) as caught:
            read_pickle(b"\x80\x02" + name)
        assert not isinstance(caught.value, HostilePickleError)
        assert len(str(caught.value)) < 120
