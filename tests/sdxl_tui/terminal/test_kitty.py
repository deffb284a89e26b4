"""The kitty graphics protocol: what is sent is what its page says, and only the app's own pictures are ever drawn."""

from __future__ import annotations

import re
import unicodedata
from base64 import standard_b64decode
from collections.abc import Callable

import pytest
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.graphics import HINT, Graphics, find_graphics
from sdxl_tui.terminal.guard import PICTURE, install_guard
from sdxl_tui.terminal.kitty import CHUNK, IDS, MARKS, cells, placeholders, removal, through_tmux, transmission
from sdxl_tui.terminal.pictures import KEPT, Pictures, PngPicture

COMMAND = re.compile("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\")


def keys_of(command: str) -> tuple[dict[str, str], str]:
    """Keys and payload of a graphics command."""
    match = COMMAND.fullmatch(command)
    assert match, command
    return dict(pair.split("=") for pair in match[1].split(",")), match[2]


def rendered(strip: Strip) -> str:
    """What the terminal is sent for a line."""
    install_guard()
    console = Console(color_system="truecolor", force_terminal=True)
    assert console._color_system is ColorSystem.TRUECOLOR
    return strip.render(console)


def test_the_marks_are_those_of_the_protocols_table() -> None:
    assert len(MARKS) == len(set(MARKS)) == 283
    assert [hex(ord(mark)) for mark in MARKS[:6]] == ["0x305", "0x30d", "0x30e", "0x310", "0x312", "0x33d"]
    assert (ord(MARKS[112]), ord(MARKS[282])) == (0x081B, 0xFE26)
    assert all(unicodedata.combining(mark) == 230 and not unicodedata.decomposition(mark) for mark in MARKS)


@pytest.mark.parametrize("size", [1, 3_071, 3_072, 3_073, 50_000])
def test_a_picture_arrives_as_it_was(size: int) -> None:
    png = bytes(at * 7 % 251 for at in range(size))
    commands = [keys_of(command) for command in transmission(17, png, 20, 9)]
    first = commands[0][0]
    assert "".join(f"{key}={first[key]} " for key in "aUftciqr") == "a=T U=1 f=100 t=d c=20 i=17 q=2 r=9 "
    assert standard_b64decode("".join(data for _, data in commands)) == png
    assert [keys["m"] for keys, _ in commands] == ["1"] * (len(commands) - 1) + ["0"]
    assert all(len(data) <= CHUNK for _, data in commands)
    assert all(set(keys) == {"q", "m"} for keys, _ in commands[1:])


def test_each_cell_says_its_row_and_column_in_the_pictures_colour() -> None:
    sent = placeholders(200, 3, cells(40)[5:7])
    assert sent == f"\x1b[38;5;200m\U0010eeee{MARKS[3]}{MARKS[5]}\U0010eeee{MARKS[3]}{MARKS[6]}\x1b[39m"


def test_a_line_of_a_picture_may_be_cropped_between_text() -> None:
    strip = Strip([Segment("ab"), Segment(cells(8), Style(meta={PICTURE: (16, 0)})), Segment("cd")])
    cropped = strip.apply_style(Style.parse("red on blue")).crop(5, 11)
    sent = rendered(cropped)
    columns = [MARKS.index(found[1]) for found in re.findall(f"\U0010eeee({MARKS[0]})(.)", sent)]
    assert columns == [3, 4, 5, 6, 7]
    assert "c" in sent and "d" not in sent and "a" not in sent


@pytest.mark.parametrize("text", ["\U0010eeee\u0305\u0305", cells(3), "a\U00100000b", "\U0010ffff"])
def test_text_from_outside_draws_no_picture(text: str) -> None:
    for sent in (rendered(Strip([Segment(text, Style.parse("red"))])), clean(text)):
        assert not any(ord(character) >= 0x100000 for character in sent)


def test_a_command_in_tmuxs_envelope_doubles_its_escapes() -> None:
    sent = through_tmux(removal(16))
    assert sent.startswith("\x1bPtmux;\x1b\x1b_G") and sent.endswith("\x1b\x1b\\\x1b\\")
    assert sent.removeprefix("\x1bPtmux;").removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b") == removal(16)


TmuxAnswer = tuple[str, str, str, str]
KITTY_TMUX: TmuxAnswer = ("1", "xterm-kitty", "kitty(0.35.2)", "7 9")


@pytest.mark.parametrize(
    ("environment", "answer", "expected"),
    [
        ({"TERM": "xterm-kitty"}, None, Graphics(kitty=True)),
        ({"TERM": "xterm-ghostty"}, None, Graphics(kitty=True)),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, None, Graphics(kitty=True)),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, None, Graphics(kitty=True)),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, None, Graphics()),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1", "STY": "7.pts"}, None, Graphics()),
        ({}, None, Graphics()),
        ({"TERM": "xterm-kitty", "SDXL_TUI_PICTURES": "blocks"}, None, Graphics()),
        ({"TERM": "xterm-256color", "SDXL_TUI_PICTURES": "kitty"}, None, Graphics(kitty=True)),
        ({"TMUX": "s", "KITTY_WINDOW_ID": "1"}, KITTY_TMUX, Graphics(kitty=True, tmux=True, screen="7 9")),
        ({"TMUX": "s"}, ("all", "xterm", "ghostty 1.1", ""), Graphics(kitty=True, tmux=True)),
        ({"TMUX": "s"}, ("0", "xterm-kitty", "", ""), Graphics(tmux=True, hint=HINT)),
        ({"TMUX": "s"}, ("off", "xterm-kitty", "", ""), Graphics(tmux=True, hint=HINT)),
        ({"TMUX": "s", "KITTY_WINDOW_ID": "1"}, ("on", "xterm-256color", "XTerm(370)", ""), Graphics()),
        ({"TMUX": "s"}, ("", "", "", ""), Graphics()),
        ({"TMUX": "s", "SDXL_TUI_PICTURES": "blocks"}, None, Graphics()),
    ],
)
def test_what_a_terminal_can_draw(environment: dict[str, str], answer: TmuxAnswer | None, expected: Graphics) -> None:
    def ask() -> TmuxAnswer:
        assert answer is not None, "tmux must not be asked"
        return answer

    assert find_graphics(environment, ask) == expected


@pytest.fixture
def in_kitty(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Which screen the app is on: it is asked for at each draw."""

    def on(screen: str) -> None:
        monkeypatch.setattr(
            "sdxl_tui.terminal.pictures.find_graphics", lambda: Graphics(kitty=True, tmux=False, screen=screen)
        )

    on("one")
    return on


SMALL = PngPicture(b"png", 4, 2)


def test_a_picture_is_sent_once_and_the_oldest_leaves(in_kitty: Callable[[str], None]) -> None:
    sent: list[str] = []
    pictures = Pictures(sent.append, lambda: 0)
    pictures.graphics()
    placed = [pictures.place(at, SMALL, lambda: False) for at in range(KEPT)]
    assert len({one.image for one in placed if one}) == KEPT
    assert all(one is not None and one.image in IDS for one in placed)
    count = len(sent)
    assert pictures.place(0, SMALL, lambda: False) == placed[0] == pictures.held(0)
    assert len(sent) == count
    pictures.place("another", SMALL, lambda: False)
    oldest = placed[1]
    assert oldest is not None and sent[count] == removal(oldest.image)
    assert pictures.held(1) is None and pictures.held(0) == placed[0]
    pictures.remove_all()
    assert {command for command in sent if "a=d" in command} >= {removal(one.image) for one in placed if one}
    assert pictures.held(0) is None


def test_what_is_not_wanted_any_more_is_ended_and_removed(in_kitty: Callable[[str], None]) -> None:
    sent: list[str] = []
    pictures = Pictures(sent.append, lambda: 0)
    pictures.graphics()
    large = PngPicture(bytes(10 * CHUNK), 4, 2)
    assert pictures.place("large", large, lambda: len(sent) >= 3) is None
    assert [keys_of(command)[0]["m"] for command in sent[:4]] == ["1", "1", "1", "0"]
    assert keys_of(sent[4])[0]["a"] == "d"
    assert pictures.held("large") is None


def test_nothing_is_sent_while_the_terminal_has_not_taken_what_was_sent(in_kitty: Callable[[str], None]) -> None:
    sent: list[str] = []
    sent_by_then: list[int] = []

    def backlog() -> int:
        sent_by_then.append(len(sent))
        return int(len(sent_by_then) < 3)

    pictures = Pictures(sent.append, backlog)
    pictures.graphics()
    assert pictures.place("a", SMALL, lambda: False) is not None
    assert sent_by_then == [0, 0, 0] and len(sent) == 1


def test_another_screen_has_none_of_the_pictures(in_kitty: Callable[[str], None]) -> None:
    sent: list[str] = []
    pictures = Pictures(sent.append, lambda: 0)
    pictures.graphics()
    pictures.place("a", SMALL, lambda: False)
    pictures.graphics()
    assert pictures.held("a") is not None
    in_kitty("two")
    pictures.graphics()
    assert pictures.held("a") is None
