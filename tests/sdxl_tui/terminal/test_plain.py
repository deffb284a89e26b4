"""Terminals that are not UTF-8: everything the product writes has a stand-in of the same width."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import sdxl_tui
from sdxl_tui.terminal.plain import stand_in, use_plain_characters


def written(text: str, encoding: str) -> bytes:
    """What a stream of this encoding is sent."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    use_plain_characters(stream)
    stream.write(text)
    return raw.getvalue()


def test_whatever_the_source_writes_has_a_stand_in() -> None:
    sources = Path(sdxl_tui.__file__).parent.rglob("*.py")
    characters = {
        letter for path in sources for letter in path.read_text() if ord(letter) > 0x7F and letter != "\u240a"
    }
    assert len(characters) > 40
    assert {letter: stand_in(letter) for letter in characters if "?" in stand_in(letter)} == {}


@given(st.characters(codec="utf-8", min_codepoint=0xA0, exclude_categories=["Cs", "Cc", "Cf", "Mn", "Me", "Mc"]))
def test_a_stand_in_is_as_wide_as_the_character(letter: str) -> None:
    found = stand_in(letter)
    assert found.isascii()
    assert cell_len(found) == cell_len(letter)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("╭─ Log ─╮", b"+- Log -+"),
        ("│ 0.12 ┤", b"| 0.12 +"),
        ("━━╸── 43 %", b"===-- 43 %"),
        ("⣿⠉⣀⠀⢸", b"#'. :"),
        ("▁▂▃▄▅▆▇█", b"__..--=#"),
        ("naïve → 2×", b"naive > 2x"),
        ("界", b"??"),
    ],
)
def test_ascii_keeps_the_picture(text: str, plain: bytes) -> None:
    assert written(text, "ascii") == plain


def test_latin_1_keeps_what_it_has() -> None:
    assert written("Größe 2× · 3 °C …", "latin-1") == "Größe 2× · 3 °C ~".encode("latin-1")
    assert written("╭─ ● ✓", "utf-8") == "╭─ ● ✓".encode()


def test_the_app_draws_itself_in_ascii(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "TERM": "xterm",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "sdxl_tui", "--workspace", str(tmp_path / "ws")]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    received, until = b"", time.monotonic() + 20

    def read_until(*texts: bytes) -> None:
        nonlocal received
        while not all(text in received for text in texts):
            assert time.monotonic() < until, received[-500:]
            if select.select([master], [], [], 0.2)[0]:
                received += os.read(master, 1 << 16)

    try:
        read_until(b"Quit")
        os.write(master, b"2")
        read_until(b"Rank", b"-----")
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert received.isascii()
    assert b"????" not in received
