"""Tables, fields and JSON as they leave the program."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_tui.cli.output import Column, Painted, Printer, cell_width, shorten
from sdxl_tui.terminal.clean import UNSAFE


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


COLUMNS = (
    Column("NAME", shortens=True),
    Column("STEP", right=True),
    Column("LR", droppable=1),
    Column("X", droppable=2),
)
ROWS: list[list[str | Painted]] = [["demo", "20/40", "1e-4", "x"], ["漢字 run", "7", Painted("0", "red"), "long value"]]


@pytest.fixture(autouse=True)
def _no_colour_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def table(stream: io.StringIO, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    Printer(stream).table(COLUMNS, ROWS)
    return stream.getvalue().splitlines()


def test_columns_are_aligned_by_cells_and_not_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table(io.StringIO(), 80, monkeypatch) == [
        "NAME       STEP  LR    X",
        "demo      20/40  1e-4  x",
        "漢字 run      7  0     long value",
    ]


def test_where_there_is_no_room_the_least_important_columns_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table(io.StringIO(), 26, monkeypatch)[0] == "NAME       STEP  LR"
    assert table(io.StringIO(), 18, monkeypatch)[0] == "NAME       STEP"


def test_names_are_shortened_on_a_terminal_and_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    name = "a-name-of-thirty-letters-in-it"
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        Printer(stream).table(COLUMNS[:2], [[name, "20/40"]])
    assert pipe.getvalue().splitlines()[1] == f"{name}  20/40"
    assert terminal.getvalue().splitlines()[1] == "a-name-of-th…  20/40"


@pytest.mark.parametrize(("setting", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_is_for_terminals_that_want_it(setting: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Printer(Terminal()).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert Printer(io.StringIO()).paint("x", "red") == "x"
    monkeypatch.setenv(setting, value)
    assert Printer(Terminal()).paint("x", "red") == "x"


def test_colour_does_not_disturb_the_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = table(io.StringIO(), 80, monkeypatch)
    coloured = table(Terminal(), 80, monkeypatch)
    assert coloured[2] == plain[2].replace("  0  ", "  \x1b[31m0\x1b[0m  ")


@given(st.text(), st.integers(1, 40))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    assert cell_width(shorten(text, width)) <= width


@given(st.text(st.characters(codec=None)))
def test_no_value_can_send_a_control_character(text: str) -> None:
    stream = Terminal()
    printer = Printer(stream)
    printer.table((Column("A"),), [[text]])
    printer.fields([("name", text)])
    printer.json({"value": text, "nan": math.nan, text: [text]})
    printer.rewrite(text)
    sent = stream.getvalue().replace("\r\x1b[2K", "")
    for sequence in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
        sent = sent.replace(sequence, "")
    assert not UNSAFE.search(sent.replace("\n", ""))


def test_json_is_valid_and_has_no_infinities() -> None:
    stream = io.StringIO()
    Printer(stream).json({"loss": math.nan, "rates": (math.inf, 1.5), "name": "é\x1b"})
    assert json.loads(stream.getvalue()) == {"loss": None, "rates": [None, 1.5], "name": "é\x1b"}
    assert stream.getvalue().isascii()
    assert "\x1b" not in stream.getvalue()


def test_further_lines_of_a_value_stand_below_it() -> None:
    stream = io.StringIO()
    Printer(stream).fields([("a", "one\ntwo"), ("name", "x")], indent=2)
    assert stream.getvalue() == "  a     one\n        two\n  name  x\n"
