"""Which pictures the terminal can show. It is found out without asking the terminal: an answer would arrive as keys.

kitty and Ghostty draw pictures in cells that are text. Inside tmux the terminal that tmux is shown on counts, and tmux has to
let pictures through. Everything else, sixel terminals included, gets half blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sdxl_tui.programs import answer_of

CHOICE: Final = "SDXL_TUI_PICTURES"
"""Environment variable: ``auto`` (as is found out), ``kitty``, ``blocks``."""
SECONDS: Final = 1.0
PASSED: Final = frozenset({"1", "on", "all"})
HINT: Final = "sharper in this terminal after: tmux set -g allow-passthrough on"


@dataclass(frozen=True)
class Graphics:
    """What pictures can be drawn with."""

    kitty: bool = False
    tmux: bool = False
    """Commands go through tmux's envelope."""
    screen: str = ""
    """Which screen tmux is shown on: another one knows none of the pictures sent before."""
    hint: str = ""
    """What would make pictures sharper; empty where nothing would."""


BLOCKS: Final = Graphics()


def ask_tmux() -> tuple[str, str, str, str]:
    """Whether tmux passes pictures, name and type of the terminal it is shown on, and which that is; empty if it is silent."""
    asked = "#{allow-passthrough}\t#{client_termname}\t#{client_termtype}\t#{client_pid} #{client_created}"
    command = ["tmux", "display-message", "-p", *_pane(), asked]
    answer = answer_of(command, SECONDS)
    words = [*answer.rstrip("\n").split("\t"), "", "", "", ""]
    return words[0], words[1], words[2], words[3]


def _pane() -> list[str]:
    pane = os.environ.get("TMUX_PANE", "")
    return ["-t", pane] if pane else []


def find_graphics(
    environ: Mapping[str, str] = os.environ, ask: Callable[[], tuple[str, str, str, str]] = ask_tmux
) -> Graphics:
    """What this terminal can show; asks tmux where the app is in one, so call it in a thread."""
    choice = environ.get(CHOICE, "auto").strip().lower()
    in_tmux = bool(environ.get("TMUX"))
    if choice == "blocks":
        return BLOCKS
    if not in_tmux:
        return Graphics(kitty=choice == "kitty" or _draws_placeholders(environ))
    passes, name, kind, screen = ask()
    if choice == "kitty":
        return Graphics(kitty=True, tmux=True, screen=screen)
    if not _is_such(name) and not _is_such(kind):
        return BLOCKS
    passed = passes.strip() in PASSED
    return Graphics(kitty=passed, tmux=True, screen=screen, hint="" if passed else HINT)


def _draws_placeholders(environ: Mapping[str, str]) -> bool:
    """A terminal that says by its environment what it is; TERM alone passes SSH. In GNU screen none does."""
    if environ.get("STY"):
        return False
    told = environ.get("KITTY_WINDOW_ID") or environ.get("TERM_PROGRAM", "").lower() == "ghostty"
    return bool(told) or _is_such(environ.get("TERM", ""))


def _is_such(name: str) -> bool:
    return name.lower().removeprefix("xterm-").startswith(("kitty", "ghostty"))
