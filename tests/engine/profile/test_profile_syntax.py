"""A file that is no TOML, or no text at all, is told in plain words with the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.profile.load import Problem, ProfileError, load_profile, parse_profile

BROKEN = [
    # text, line, column, words of the message
    ("lr = fast", 1, 6, 'text without quotes; write lr = "fast"'),
    ("lr = 1e-4.5", 1, 10, "1e-4.5 is not a number"),
    ("lr = 0,0001", 1, 7, "write decimals with a dot: 0.0001"),
    ("\nsteps = 0100", 2, 10, "0100 starts with a 0; write 100"),
    ("lr = .5", 1, 6, ".5 is not a number"),
    ("x = True", 1, 5, "write true"),
    ("x = None", 1, 5, "delete the line"),
    ("x =", 1, 4, "no value after x ="),
    ("x = # nothing", 1, 5, "no value after x ="),
    ("x: 1", 1, 2, "write key = value"),
    ("just words", 1, 6, "write key = value"),
    ('x = "open', 1, 10, "a quote is not closed"),
    ('x = "open\ny = 1', 1, 10, "a quote is not closed"),
    ("x = 'open", 1, 10, "a quote is not closed"),
    ('x = """open\n', 1, 12, "a quote is not closed"),
    ('base = "C:\\Users\\me"', 1, 11, "put a path with backslashes in 'single quotes'"),
    ('base = "C:\\models"', 1, 11, "backslash"),
    ("x = “smart”", 1, 5, "straight quotes"),
    ("x = [1, 2", 1, 10, "a list is not closed"),
    ("x = [1 2]", 1, 8, "put a comma between the values"),
    ("x = {a = 1", 1, 11, "a table in braces is not closed"),
    ("[model\nbase = 1", 1, 7, "a [section] line is not closed"),
    ("[[dataset.sources]\npath = 1", 1, 18, "[[section]] line is not closed"),
    ("a = 1\n\n a = 2", 3, 2, "a is set twice: it stands already at line 1"),
    ("[optimizer]\nlr = 1\n[optimizer]\n", 3, 1, "[optimizer] is declared twice"),
    ("[dataset.sources]\na=1\n[dataset.sources]\n", 3, 1, "write [[dataset.sources]] with double brackets"),
    ("x = {a = 1}\nx.b = 2\n", 2, 1, "write its fields in one place"),
    ('x = "a" "b"', 1, 9, "one key = value per line"),
    ("= 3", 1, 1, "write key = value"),
    ("x = 1\x00", 1, 6, "an invisible control character (U+0000)"),
    ("x = 2024-13-45", 1, 9, "a date or time that does not exist"),
    ("x = " + "[" * 5000, None, None, "nests brackets too deeply"),
]


def syntax_problem(text: str) -> Problem:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, folder=Path("/w"), source=Path("cat.toml"))
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(("text", "line", "column", "words"), BROKEN, ids=[repr(case[0])[:30] for case in BROKEN])
def test_text_that_is_not_toml_is_told_with_line_and_column(
    text: str, line: int | None, column: int | None, words: str
) -> None:
    problem = syntax_problem(text)
    assert words in problem.message
    assert (problem.line, problem.column) == (line, column)
    assert not any(word in problem.message for word in ("tomllib", "statement", "namespace", "Cannot"))


def test_the_line_is_shown_with_a_caret_below_the_place() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile("a = 1\n\tlr = fast # x\n", folder=Path("/w"), source=Path("cat.toml"))
    assert str(caught.value).splitlines() == [
        'cat.toml:2:7: not TOML: text without quotes; write lr = "fast"',
        "   lr = fast # x",
        "        ^",
    ]


def test_windows_line_ends_do_not_shift_the_place() -> None:
    problem = syntax_problem("a = 1\r\nb = 2\r\nlr = fast\r\n")
    assert (problem.line, problem.column) == (3, 6)


def test_control_characters_of_a_broken_line_are_not_repeated() -> None:
    problem = syntax_problem('x = "a\x1b[31m" y')
    assert problem.excerpt.isprintable() or "\x1b" not in problem.excerpt


def refused(path: Path) -> str:
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    return str(caught.value)


def test_files_that_are_no_profile_are_named_and_told_apart(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.toml").endswith(
        "none.toml: there is no such file; check the path, or list the profiles in the app"
    )
    assert "is a folder" in refused(tmp_path)
    big = tmp_path / "big.toml"
    big.write_bytes(b"# x\n" * 300_000)
    assert "larger than 1 MB" in refused(big)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "not a regular file" in refused(fifo)
    assert "cannot be read" in refused(tmp_path / ("x" * 300))


def test_text_in_another_encoding_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes("name = 'x'\n# café\n".encode("latin-1"))
    assert "latin.toml:2:6: is not UTF-8 text (byte 0xe9); save it as UTF-8" in refused(path)
    path.write_bytes("name = 'x'".encode("utf-16"))
    assert "is saved as UTF-16" in refused(path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes("\ufeff[model]\nbase = 'x'\n[[dataset.sources]]\npath = 'y'\nrepeats = 0".encode())
    assert "bom.toml:5:1: dataset.sources[0].repeats" in refused(path)


def test_an_unreadable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cat.toml"
    path.write_text("")

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert "may not be read by you" in refused(path)
