"""What becomes of a caption at a visit."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.captions import CaptionRules, lines_of
from engine.data.order import Visit
from engine.profile.schema import Captions, Source

TAGS = ("a, b, c, d, e",)


def drawn(lines: tuple[str, ...], count: int = 400, **rules: Any) -> list[str]:
    """What many visits make of a caption."""
    return [CaptionRules(**rules).drawn(lines, Visit(0, 1, 0, repeat).chance("caption")) for repeat in range(count)]


def test_without_rules_a_caption_stands_as_it_was_written() -> None:
    for lines in ((), ("a  b",), ("tag_a,tag_b ,  tag_c",), ("{a|b} (c:1.2)",)):
        assert set(drawn(lines, 5)) == {" ".join(lines)}
        assert not CaptionRules().varies(lines)
    assert set(drawn(("one", "two"), 5)) == {"one two"}


def test_shuffled_tags_are_the_same_tags_in_every_order_alike() -> None:
    found = Counter(drawn(("a, b, c",), 3000, shuffle=True))
    assert {tuple(sorted(text.split(", "))) for text in found} == {("a", "b", "c")}
    assert len(found) == 6
    assert all(400 < count < 600 for count in found.values())


@pytest.mark.parametrize("keep", [0, 1, 3, 5, 9])
def test_kept_tags_keep_their_place_and_are_never_dropped(keep: int) -> None:
    kept = "abcde"[:keep]
    for text in drawn(TAGS, shuffle=True, tag_dropout=0.5, keep_tokens=keep):
        tags = text.split(", ") if text else []
        assert "".join(tags[: len(kept)]) == kept
        assert set(tags) <= set("abcde")
        assert len(set(tags)) == len(tags)


def test_each_tag_is_dropped_as_often_as_asked_for_by_itself() -> None:
    found = [set(text.split(", ")) for text in drawn(TAGS, 4000, tag_dropout=0.25)]
    for tag in "abcde":
        assert sum(tag in tags for tags in found) == pytest.approx(3000, abs=150)
    both = sum("a" in tags and "b" in tags for tags in found)
    assert both == pytest.approx(4000 * 0.75**2, abs=150)


def test_the_mark_decides_what_stays_at_both_ends_and_is_taken_out() -> None:
    marked = ("zorb, robot, ||| a, b, c ||| best, sharp",)
    for text in drawn(marked, shuffle=True, tag_dropout=0.3, keep_tokens=1):
        tags = text.split(", ")
        assert (tags[:2], tags[-2:]) == (["zorb", "robot"], ["best", "sharp"])
        assert set(tags[2:-2]) <= {"a", "b", "c"}
    assert len(set(drawn(marked, shuffle=True))) == 6
    assert set(drawn(marked, 3)) == {"zorb, robot, a, b, c, best, sharp"}
    assert set(drawn(marked, 3, keep_separator="")) == set(marked)
    assert not CaptionRules().varies(marked)


def test_another_separator() -> None:
    assert set(drawn(("a; b, c",), 60, shuffle=True, separator=";")) == {"a; b, c", "b, c; a"}


def test_a_dropped_caption_is_empty_as_a_whole_and_the_rest_is_as_without() -> None:
    rules = {"caption_dropout": 0.2, "trigger": "zorb", "prefix": "best", "suffix": "sharp"}
    found = Counter(drawn(TAGS, 4000, **rules))
    assert set(found) == {"", "best zorb, a, b, c, d, e sharp"}
    assert found[""] == pytest.approx(800, abs=100)
    assert not CaptionRules(caption_dropout=0.2).varies(TAGS), "both can be encoded ahead"
    assert set(drawn(TAGS, 20, caption_dropout=1.0)) == {""}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a robot", "zorb, a robot"),
        ("", "zorb"),
        ("a zorb robot", "a zorb robot"),
        ("zorbs everywhere", "zorb, zorbs everywhere"),
        ("one (zorb)", "one (zorb)"),
    ],
)
def test_the_trigger_is_put_in_front_where_it_is_missing(caption: str, expected: str) -> None:
    assert CaptionRules(trigger="zorb").plain(lines_of(caption)) == expected


def test_the_trigger_in_a_tag_or_in_front_survives_tag_dropout() -> None:
    assert all("zorb robot" in text for text in drawn(("a, zorb robot, b",), tag_dropout=0.9, trigger="zorb"))
    assert all(text.startswith("zorb") for text in drawn(TAGS, shuffle=True, tag_dropout=0.9, trigger="zorb"))


def test_prefix_and_suffix_stand_outside_of_the_shuffle() -> None:
    for text in drawn(TAGS, shuffle=True, prefix="score_9, score_8,", suffix=", by zorb", trigger="x"):
        assert text.startswith("score_9, score_8, x, ")
        assert text.endswith(" , by zorb")


def test_wildcards_become_each_of_their_choices_and_of_lines_one_is_taken() -> None:
    found = Counter(drawn(("a {red|blue|} hat",), 3000, wildcards=True))
    assert set(found) == {"a red hat", "a blue hat", "a hat"}
    assert all(850 < count < 1150 for count in found.values())
    assert set(drawn(("one", "two {x|y}"), wildcards=True)) == {"one", "two x", "two y"}
    assert set(drawn(("{a|b} {a|b}",), wildcards=True)) == {"a a", "a b", "b a", "b b"}
    assert set(drawn(("x",), wildcards=True, prefix="{a|b}", suffix="{c|d}")) == {"a x c", "a x d", "b x c", "b x d"}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [("{{a|b}}", "{a|b}"), ("{a}", "a"), ("a} b {c", "a} b {c"), ("{{", "{"), ("{}", ""), ("{a|b", "{a|b")],
)
def test_braces_that_offer_no_choice(caption: str, expected: str) -> None:
    assert set(drawn((caption,), 5, wildcards=True)) == {expected}
    assert not CaptionRules(wildcards=True).varies((caption,))


@pytest.mark.parametrize(
    ("lines", "rules", "expected"),
    [
        (TAGS, {"shuffle": True}, True),
        (("one tag",), {"shuffle": True}, False),
        (("a, b",), {"shuffle": True, "keep_tokens": 1}, False),
        (("a, a",), {"shuffle": True}, False),
        (("one tag",), {"tag_dropout": 0.1}, True),
        (("a",), {"tag_dropout": 0.1, "keep_tokens": 1}, False),
        (("zorb",), {"tag_dropout": 0.1, "trigger": "zorb"}, False),
        ((), {"shuffle": True, "tag_dropout": 0.5, "wildcards": True}, False),
        (("a", "b"), {"wildcards": True}, True),
        (("a {b|c}",), {"wildcards": True}, True),
        (("a",), {"wildcards": True, "suffix": "{b|c}"}, True),
    ],
)
def test_whether_a_caption_varies_is_known_ahead(lines: tuple[str, ...], rules: dict[str, Any], expected: bool) -> None:
    assert CaptionRules(**rules).varies(lines) is expected
    assert (len(set(drawn(lines, 300, **rules))) > 1) is expected


lines_strategy = st.lists(st.text("ab,{}| ;", max_size=12), max_size=3).map(lambda found: lines_of("\n".join(found)))
rules_strategy = st.builds(
    CaptionRules,
    shuffle=st.booleans(),
    keep_tokens=st.integers(0, 3),
    tag_dropout=st.sampled_from([0.0, 0.5, 1.0]),
    wildcards=st.booleans(),
    trigger=st.sampled_from(["", "a"]),
    suffix=st.sampled_from(["", "end"]),
)


@given(lines_strategy, rules_strategy, st.integers(0, 2**32))
def test_what_does_not_vary_is_the_plain_caption(lines: tuple[str, ...], rules: CaptionRules, seed: int) -> None:
    text = rules.drawn(lines, random.Random(seed))
    assert text == rules.drawn(lines, random.Random(seed)), "a pure function of its chances"
    if not rules.varies(lines):
        assert text == rules.plain(lines), "so that it is the one that was encoded ahead"


def test_a_sources_own_settings_go_before_the_profiles() -> None:
    captions = Captions(
        shuffle=True, keep_tokens=2, tag_dropout=0.1, caption_dropout=0.2, separator=";", wildcards=True
    )
    own = Source(path="x", shuffle=False, keep_tokens=0, tag_dropout=0.0, caption_dropout=0.5, trigger=" zorb ")
    assert CaptionRules.of(captions, own) == CaptionRules(
        separator=";", caption_dropout=0.5, wildcards=True, trigger="zorb"
    )
    plain = CaptionRules.of(captions, Source(path="x"))
    assert (plain.shuffle, plain.keep_tokens, plain.tag_dropout, plain.caption_dropout) == (True, 2, 0.1, 0.2)
