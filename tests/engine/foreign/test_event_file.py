"""TensorBoard event files: what TensorBoard itself reads, we read; what is damaged, torn or absurd never stops us."""

from __future__ import annotations

import math
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as reference_crc
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from engine.foreign.crc32c import crc32c, masked_crc32c
from engine.foreign.event_file import SCALAR_BYTES, EventFile, readings_near
from engine.foreign.event_record import Reading, RecordError, readings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.utils.tensorboard import SummaryWriter

TAGS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)
FLOATS = st.floats(width=32)
SCALARS = st.lists(st.tuples(TAGS, st.integers(0, 2**40), FLOATS), min_size=1, max_size=30)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def everything(file: EventFile) -> list[Reading]:
    """All that is there now."""
    found = file.poll()
    while not file.caught_up:
        found += file.poll()
    return found


def frame(data: bytes) -> bytes:
    """A record as TensorFlow frames it."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", reference_crc(head)) + data + struct.pack("<I", reference_crc(data))


def scalar(tag: str, value: float, step: int, time: float = 100.0) -> bytes:
    """A framed event with one scalar, written by TensorBoard's own messages."""
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return frame(Event(wall_time=time, step=step, summary=summary).SerializeToString())


def same(ours: float, theirs: float) -> bool:
    """Equal, where what is not finite is not measured."""
    return math.isnan(ours) if not math.isfinite(theirs) else ours == theirs


@given(st.binary(max_size=600))
@example(b"123456789")
@QUICK
def test_checksums_are_tensorflows(data: bytes) -> None:
    assert masked_crc32c(data) == reference_crc(data)


def test_the_checksum_of_the_standard() -> None:
    """RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(SCALARS)
@QUICK
def test_torch_writes_and_tensorboard_reads_what_we_read(tmp_path: Path, scalars: list[tuple[str, int, float]]) -> None:
    folder = tmp_path / os.urandom(8).hex()
    with SummaryWriter(str(folder)) as writer:
        for tag, step, value in scalars:
            writer.add_scalar(tag, value, step)
        writer.add_text("a text", "words")
        writer.add_histogram("a histogram", np.arange(5.0))
    (path,) = folder.iterdir()
    ours: dict[str, list[tuple[int, float]]] = {}
    for reading in everything(EventFile(path)):
        assert reading.tag is not None
        ours.setdefault(reading.tag, []).append((reading.step, reading.value))
    theirs = EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    theirs.Reload()
    assert set(ours) == set(theirs.Tags()["scalars"])
    for tag, values in ours.items():
        events = theirs.Scalars(tag)
        assert [step for step, _ in values] == [event.step for event in events]
        assert all(same(value, event.value) for (_, value), event in zip(values, events, strict=True))


@given(
    tag=TAGS,
    value=FLOATS,
    step=st.integers(0, 2**63 - 1),
    kind=st.sampled_from(["float32", "float64", "int32", "int64"]),
    as_list=st.booleans(),
)
@QUICK
def test_scalars_of_tf2_are_tensors(
    tmp_path: Path, *, tag: str, value: float, step: int, kind: str, as_list: bool
) -> None:
    """As values and, the way TensorFlow 2 writes them, as bytes."""
    number = np.dtype(kind).type(
        value if kind.startswith("f") else int(value) if math.isfinite(value) and abs(value) < 2**31 else 7
    )
    tensor = make_tensor_proto(number)
    if not as_list:
        shape = tensor.tensor_shape
        tensor = type(tensor)(dtype=tensor.dtype, tensor_shape=shape, tensor_content=number.tobytes())
    folder = tmp_path / os.urandom(8).hex()
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(wall_time=5.0, step=step, summary=Summary(value=[Summary.Value(tag=tag, tensor=tensor)])))
    writer.close()
    (path,) = folder.iterdir()
    (found,) = everything(EventFile(path))
    assert (found.time, found.step, found.tag) == (5.0, step, tag)
    assert same(found.value, float(number))


def test_a_tensor_of_several_values_is_no_scalar() -> None:
    summary = Summary(value=[Summary.Value(tag="pr", tensor=make_tensor_proto(np.zeros((2, 3), np.float32)))])
    assert readings(Event(summary=summary).SerializeToString()) == []


def test_a_restart_names_its_step() -> None:
    event = Event(wall_time=3.0, step=41, session_log=SessionLog(status=SessionLog.START))
    (found,) = readings(event.SerializeToString())
    assert (found.step, found.tag) == (41, None)


@given(SCALARS, st.data())
@QUICK
def test_a_growing_file_is_read_as_it_grows(
    tmp_path: Path, scalars: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    """Whatever the pieces it is written in, each scalar comes once, and none before it is all there."""
    path = tmp_path / os.urandom(8).hex()
    whole = b"".join(scalar(tag, value, step) for tag, step, value in scalars)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    file, found = EventFile(path), []
    for first, last in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        with path.open("ab") as out:
            out.write(whole[first:last])
        found += everything(file)
    assert [(one.tag, one.step) for one in found] == [(tag, step) for tag, step, _ in scalars]
    assert all(same(one.value, value) for one, (_, _, value) in zip(found, scalars, strict=True))
    assert file.damaged == 0


@given(st.binary(max_size=3000))
@QUICK
def test_no_bytes_stop_the_reader(tmp_path: Path, noise: bytes) -> None:
    """Of noise followed by a record, the record is read."""
    path = tmp_path / os.urandom(8).hex()
    path.write_bytes(noise + scalar("after", 1.0, 1))
    found = everything(EventFile(path))
    assert found[-1:] == [Reading(100.0, 1, "after", 1.0)]


@given(st.binary(max_size=300))
@QUICK
def test_a_record_of_any_bytes_is_scalars_or_refused(data: bytes) -> None:
    try:
        found = readings(data)
    except RecordError:
        return
    assert all(isinstance(reading, Reading) for reading in found)


@given(st.integers(0, 10_000), st.integers(1, 255))
@QUICK
def test_one_wrong_byte_costs_one_record_at_most_two(tmp_path: Path, place: int, change: int) -> None:
    path = tmp_path / os.urandom(8).hex()
    whole = bytearray(b"".join(scalar("loss", 1.0, step) for step in range(50)))
    whole[place % len(whole)] ^= change
    path.write_bytes(whole)
    file = EventFile(path)
    found = [one.step for one in everything(file) if one.tag == "loss"]
    assert len(found) >= 49 and found == sorted(set(found))
    assert file.damaged or len(found) == 49  # a damaged last head may as well be one that is still being written


def test_a_length_of_exabytes_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "events"
    head = struct.pack("<Q", 2**62)
    path.write_bytes(scalar("loss", 1.0, 1) + head + struct.pack("<I", reference_crc(head)) + b"x" * 50)
    file = EventFile(path)
    assert [one.step for one in everything(file)] == [1]
    assert [one.step for one in everything(file)] == []


def test_pictures_between_the_scalars_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "events"
    picture = frame(b"\0" * (3 * 1024 * 1024))
    path.write_bytes(scalar("loss", 1.0, 1) + picture + scalar("loss", 0.5, 2) + picture)
    file = EventFile(path)
    assert [one.step for one in everything(file)] == [1, 2]
    with path.open("ab") as out:
        out.write(frame(b"\0" * (SCALAR_BYTES + 1)) + scalar("loss", 0.25, 3))
    assert [one.step for one in everything(file)] == [3]
    assert file.damaged == 0


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(scalar("loss", 1.0, 1) + scalar("loss", 1.0, 2))
    file = EventFile(path)
    assert len(everything(file)) == 2
    path.write_bytes(scalar("loss", 1.0, 7))
    assert [one.step for one in file.poll()] == [7]
    assert file.restarted
    path.unlink()
    assert file.poll() == [] and file.problem
    path.write_bytes(scalar("loss", 1.0, 8))
    assert [one.step for one in file.poll()] == [8]


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        file = EventFile(path)
        assert file.poll() == [] and file.problem and file.caught_up


@pytest.mark.parametrize("offset", [0, 1, 777, 3000])
def test_a_look_into_the_middle(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"".join(scalar("loss", 1.0, step) for step in range(200)))
    with path.open("rb") as file:
        found = [one.step for one in readings_near(file.fileno(), offset, 2000)]
    size = len(scalar("loss", 1.0, 1))
    assert len(found) > 2000 // size - 3 and found == list(range(found[0], found[-1] + 1))
    assert found[0] >= offset // (size + 1)


def test_long_names_are_cut() -> None:
    (found,) = readings(scalar("x" * 70_00, 1.0, 1)[12:-4])
    assert found.tag is not None and len(found.tag) == 512
