"""What ``clean`` removes, what it shows instead, and that no input makes it slow or lets a control character through."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdxl_tui.terminal.clean import UNSAFE, clean, clean_line

CONTROLS = st.text(st.sampled_from("\x1b[]PX^_\\;m0?$ \x07\x08\x9b\x9d\x9c\x90a\u202e\u2066\u200b\ud800\x00\r\n\té漢"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve 漢字 🎨", "plain text, naïve 漢字 🎨"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]52;c;ZXZpbA==\x1b\\clipboard", "clipboard"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        ("\x9b41mC1\x9b0m", "C1"),
        ("\x9d0;owned\x9ctitle", "title"),
        ("\x1bcreset", "reset"),
        ("\x1b(0lqk", "lqk"),
        ("\x1b]0;never ended", "␛]0;never ended"),
        ("\x1b", "␛"),
        ("\x1b\x1b[m[31mnested", "␛[31mnested"),
        ("bell\x07 back\x08 nul\x00 del\x7f", "bell␇ back␈ nul␀ del␡"),
        ("two\nlines\r", "two␊lines␍"),
        ("a\tb", "a   b"),
        ("user\u202egpj.exe", "user�gpj.exe"),
        ("\u2066isolated\u2069", "�isolated�"),
        ("zero\u200bwidth \ufefftag\U000e0041", "zero�width �tag�"),
        ("caf\udce9.png", "caf�.png"),
        ("\N{WOMAN}\u200d\N{ARTIST PALETTE}", "\N{WOMAN}\N{ARTIST PALETTE}"),
        ("", ""),
    ],
)
def test_sequences_go_and_leftovers_are_shown(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_message_of_several_lines_keeps_its_line_feeds_and_nothing_else() -> None:
    assert clean("one\r\n\x1b[31mtwo\n\x07", lines=True) == "one\ntwo\n␇"


@given(st.one_of(st.text(st.characters(codec=None)), CONTROLS))
def test_no_text_keeps_a_control_character_and_cleaning_twice_changes_nothing(text: str) -> None:
    shown = clean(text)
    assert not UNSAFE.search(shown)
    assert all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in shown)
    assert clean(shown) == shown
    shown.encode("utf-8")


@given(st.binary(max_size=300))
def test_no_line_of_bytes_keeps_a_control_character(data: bytes) -> None:
    assert not UNSAFE.search(clean_line(data))


def test_every_c0_c1_and_bidi_character_counts_as_unsafe() -> None:
    bidi = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    for code in range(0x110000):
        letter = chr(code)
        if unicodedata.category(letter) in ("Cc", "Cs") or unicodedata.bidirectional(letter) in bidi:
            assert UNSAFE.match(letter), hex(code)
            assert not letter.isprintable()


def test_a_line_shows_what_follows_its_last_carriage_return() -> None:
    assert clean_line(b"10%|#   |\r50%|##  |\r100%|####|\n") == "100%|####|"
    assert clean_line(b"windows\r\n") == "windows"
    assert clean_line("split é".encode()[:-1]) == "split �"
    assert clean_line(b"") == ""


def test_long_texts_are_cut_and_say_by_how_much() -> None:
    assert clean("x" * 5000) == "x" * 4096 + " …[+904 characters]"
    assert clean("x" * 4096) == "x" * 4096
    assert clean("abcdef", limit=3) == "abc …[+3 characters]"
    assert clean_line(b"y" * 50_000_000 + b"\n") == "y" * 4096 + " …[+50 MB]"
    assert clean_line("é".encode() * 3000).startswith("é" * 2048 + " …[+")


@pytest.mark.parametrize(
    "pattern", ["\x1b]", "\x9d", "\x1b[0", "\x1b[" + "0" * 50, "\x1b ", "\x1bP\x1b", "\u202e", "\x1b[31m", "\x00\t"]
)
def test_ten_adversarial_megabytes_are_bounded(pattern: str) -> None:
    text = pattern * (10_000_000 // len(pattern))
    data = text.encode("utf-8", errors="surrogatepass")
    began = time.perf_counter()
    shown = clean(text), clean_line(data)
    seconds = time.perf_counter() - began
    assert seconds < 0.5, f"{seconds:.2f} s"
    assert all(len(line) < 20_000 for line in shown)


def test_even_without_a_cut_the_time_grows_in_proportion() -> None:
    """A quadratic pattern would take minutes for these."""
    for pattern in ("\x1b]0;x", "\x9d", "\x1b[0;", "\x1b[" + "0" * 200, "\x1b" + " " * 200):
        text = pattern * (1_000_000 // len(pattern))
        began = time.perf_counter()
        clean(text, limit=len(text))
        assert time.perf_counter() - began < 5
