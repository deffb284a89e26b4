"""Weights written into captions, read as AUTOMATIC1111's web UI reads them (its own documented examples among them)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.prompts import Segment, parse_weights

EXAMPLES = {
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        *[("a ", 1.0), ("house", 1.3 * 1.1 * 1.1), (" ", 1.1), ("on", 1.1 / 1.1), (" a ", 1.1), ("hill", 0.5 * 1.1)],
        *[(", sun, ", 1.1), ("sky", 1.1**4), (".", 1.1)],
    ],
    "(word:1.2)": [("word", 1.2)],
    "[word]": [("word", 1 / 1.1)],
    "[word:1.2]": [("word:1.2", 1 / 1.1)],
    "[[a] b": [("a", 1 / 1.1**2), (" b", 1 / 1.1)],
    "((a:2)b)": [("a", 2 * 1.1), ("b", 1.1)],
    "no one opened this) or this]": [("no one opened this) or this]", 1.0)],
    "ratio 3:2, time 10:30)": [("ratio 3:2, time 10:30)", 1.0)],
    "hatsune miku \\(vocaloid\\)": [("hatsune miku (vocaloid)", 1.0)],
    r"back\\slash, lone \slash": [(r"back\slash, lone slash", 1.0)],
    "(a:1.2.3)": [("a:1.2.3", 1.1)],
    "(a: -0.5 )": [("a", -0.5)],
    "": [],
    "()": [],
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples(text: str) -> None:
    found = parse_weights(text)
    assert [segment.text for segment in found] == [words for words, _ in EXAMPLES[text]]
    assert [segment.weight for segment in found] == pytest.approx([weight for _, weight in EXAMPLES[text]])


@given(st.text(st.characters(exclude_characters="()[]\\", codec="utf-8")))
def test_text_without_brackets_is_one_segment_as_it_stands(text: str) -> None:
    assert parse_weights(text) == ((Segment(text),) if text else ())


@given(st.text("ab (:1.2)[]\\"))
def test_every_text_has_a_reading_that_adds_nothing(text: str) -> None:
    left = iter(text)
    assert all(character in left for segment in parse_weights(text) for character in segment.text)


@given(st.text(), st.floats(0.1, 3).map(lambda weight: round(weight, 3)))
def test_escaped_text_in_brackets_has_the_weight_written_there(text: str, weight: float) -> None:
    escaped = "".join(f"\\{character}" if character in "()[]\\" else character for character in text)
    found = parse_weights(f"({escaped}:{weight})")
    assert found == ((Segment(text, weight),) if text else ())
