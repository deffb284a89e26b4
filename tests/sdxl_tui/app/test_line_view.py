"""Wrapping lines: nothing is lost, no row is too wide, words stay whole where they can."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sdxl_tui.widgets.line_view import wrapped
from sdxl_tui.widgets.painted import Piece, fitted, joined

pieces = st.lists(st.tuples(st.text("ab 猫é", max_size=30), st.sampled_from(["", "bold"])), max_size=4).map(tuple)


def text_of(row: list[Piece] | tuple[Piece, ...]) -> str:
    return "".join(text for text, _ in row)


def letters_of(row: list[Piece] | tuple[Piece, ...]) -> list[Piece]:
    return [(letter, style) for text, style in row for letter in text]


@given(line=pieces, width=st.integers(2, 40))
def test_every_letter_is_on_some_row_and_no_row_is_too_wide(line: tuple[Piece, ...], width: int) -> None:
    rows = wrapped(line, width)
    assert "".join(map(text_of, rows)) == text_of(line)
    assert all(cell_len(text_of(row)) <= width for row in rows)
    assert letters_of([piece for row in rows for piece in row]) == letters_of(line)


@given(line=pieces, width=st.integers(6, 40), hang=st.integers(0, 12))
def test_later_rows_are_set_in(line: tuple[Piece, ...], width: int, hang: int) -> None:
    rows = wrapped(line, width, hang)
    assert all(cell_len(text_of(row)) <= width for row in rows)
    inset = hang if hang * 2 < width else 0
    assert text_of(rows[0]) + "".join(text_of(row)[inset:] for row in rows[1:]) == text_of(line)


def test_words_stay_whole_where_they_can() -> None:
    rows = wrapped((("10:00:00 ", "dim"), ("saved the checkpoint at step forty", "")), 24, hang=9)
    assert [text_of(row) for row in rows] == ["10:00:00 saved the ", " " * 9 + "checkpoint at ", " " * 9 + "step forty"]


def test_a_letter_wider_than_the_line_ends_it() -> None:
    assert wrapped((("猫猫", ""),), 1) == [()]


@given(line=pieces)
def test_joined_pieces_show_the_same_letters_in_the_same_ink(line: tuple[Piece, ...]) -> None:
    found = joined(line)
    assert text_of(found) == text_of(line)
    inked = [(letter, style) for letter, style in letters_of(line) if letter != " "]
    assert [piece for piece in letters_of(found) if piece[0] != " "] == inked
    assert all(before[1] != after[1] for before, after in pairwise(found))


def test_a_blank_keeps_a_background_to_itself() -> None:
    assert joined((("a", "white on red"), (" ", ""))) == [("a", "white on red"), (" ", "")]
    assert joined((("a", "bold"), (" ", ""), ("b", "bold"))) == [("a b", "bold")]


@given(line=pieces, width=st.integers(0, 40), right=st.booleans())
def test_a_fitted_row_has_exactly_the_width(line: tuple[Piece, ...], width: int, right: bool) -> None:
    row = text_of(fitted(line, width, right=right))
    assert cell_len(row) == width
    if cell_len(text_of(line)) <= width:
        assert row.endswith(text_of(line)) if right else row.startswith(text_of(line))
    elif width:
        assert "…" in row
