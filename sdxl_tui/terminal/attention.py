"""Asking for attention through the terminal: the bell, or a notification of the desktop it runs on (OSC 9, OSC 777).

What is written goes to the terminal as it stands, past every widget, so the text is cleaned here, and once more of what would
end it or be taken for another command. tmux and GNU screen let a sequence that they do not know through in an envelope (tmux
only with ``allow-passthrough on``); there the bell is rung besides, which marks the window in either.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from sdxl_tui.terminal.clean import clean

BELL: Final = "\a"
ESCAPE: Final = "\x1b"
LIMIT: Final = 160
"""Characters of a text; GNU screen passes at most 256 bytes."""
SCREEN_BYTES: Final = 240


class Signal(StrEnum):
    """How an open app asks for attention through its terminal."""

    OFF = "off"
    BELL = "bell"
    OSC9 = "osc9"
    """iTerm2, kitty, WezTerm, Windows Terminal, ghostty."""
    OSC777 = "osc777"
    """urxvt, foot, WezTerm, ghostty, VTE."""


def attention(how: Signal, title: str, text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to write to the terminal; empty for ``Signal.OFF``."""
    if how is Signal.OFF:
        return ""
    if how is Signal.BELL:
        return BELL
    title, text = _plain(title, 60), _plain(text, LIMIT)
    # OSC 9;4;… is a progress bar: no semicolon of ours stands behind a number.
    said = f"]9;{title}: {text}" if how is Signal.OSC9 else f"]777;notify;{title};{text}"
    return _through_multiplexer(f"{ESCAPE}{said}{BELL}", environment)


def _plain(text: str, limit: int) -> str:
    return clean(text[:limit], limit=limit).replace(";", ",").strip()


def _through_multiplexer(sequence: str, environment: Mapping[str, str]) -> str:
    if environment.get("TMUX"):
        return f"{ESCAPE}Ptmux;{sequence.replace(ESCAPE, ESCAPE * 2)}{ESCAPE}\\{BELL}"
    if environment.get("STY"):
        fits = len(sequence.encode()) <= SCREEN_BYTES
        return f"{ESCAPE}P{sequence}{ESCAPE}\\{BELL}" if fits else BELL
    return sequence
