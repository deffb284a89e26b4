"""Asking for attention: exactly one sequence, whatever stands in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_tui.terminal.attention import Signal, attention
from sdxl_tui.terminal.clean import UNSAFE

HOSTILE = "a\x1b]52;c;aGk=\x07b\x9c;\u202ec\n\x1b\\d\x1bPtmux;"


def test_each_way_asks_as_its_terminals_expect() -> None:
    assert attention(Signal.OFF, "fox", "done", {}) == ""
    assert attention(Signal.BELL, "fox", "done", {}) == "\a"
    assert attention(Signal.OSC9, "fox", "done", {}) == "\x1b]9;fox: done\a"
    assert attention(Signal.OSC777, "fox", "done", {}) == "\x1b]777;notify;fox;done\a"


def test_tmux_and_screen_get_an_envelope_and_the_bell() -> None:
    assert attention(Signal.OSC9, "fox", "done", {"TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;fox: done\a\x1b\\\a"
    assert attention(Signal.OSC9, "fox", "done", {"STY": "x"}) == "\x1bP\x1b]9;fox: done\a\x1b\\\a"
    assert attention(Signal.BELL, "fox", "done", {"TMUX": "x"}) == "\a"


def test_what_screen_would_cut_is_only_a_bell() -> None:
    assert attention(Signal.OSC777, "fox", "ü" * 160, {"STY": "x"}) == "\a"


@pytest.mark.parametrize("how", [Signal.OSC9, Signal.OSC777])
@given(title=st.text(), text=st.text() | st.just(HOSTILE))
def test_no_text_ends_the_sequence_or_begins_another(how: Signal, title: str, text: str) -> None:
    written = attention(how, title, text, {})
    body = written.removeprefix("\x1b]").removesuffix("\a")
    assert len(written) == len(body) + 3
    assert UNSAFE.search(body) is None
    assert body.count(";") == (1 if how is Signal.OSC9 else 3)
