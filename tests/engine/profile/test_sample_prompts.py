"""The options at the end of a prompt are read as sd-scripts' prompt files have them, and wrong ones are refused by number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.profile.load import ProfileError, parse_profile
from engine.profile.sample_prompts import SAMPLERS, SamplePrompt, parse_sample_prompt, sample_prompts
from engine.profile.schema import Samples
from engine.profile.schema.samples import Sampler

SETTINGS = Samples(negative="ugly", width=512, height=640, steps=20, guidance=5.0, seed=3)
PLAIN = SamplePrompt("a cat", "ugly", 512, 640, 20, 5.0, 0.0, 5, "euler")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a cat", PLAIN),
        ("a cat --n", replace(PLAIN, negative="")),
        ("a cat --n blurry, bad -- hands", replace(PLAIN, negative="blurry, bad -- hands")),
        (
            "a cat --n blurry --w 832 --h 1216 --d 7 --s 30 --l 5.5 --ss euler_a",
            SamplePrompt("a cat", "blurry", 832, 1216, 30, 5.5, 0.0, 7, "euler_a"),
        ),
        ("a well--known cat --d 0", replace(PLAIN, prompt="a well--known cat", seed=0)),
        ("--w 64", replace(PLAIN, prompt="", width=64)),
        ("a -- b", replace(PLAIN, prompt="a -- b")),
    ],
)
def test_options_change_one_picture(line: str, expected: SamplePrompt) -> None:
    assert parse_sample_prompt(line, SETTINGS, 2) == expected


@given(st.text(st.characters(exclude_characters="-"), max_size=40))
def test_a_prompt_without_options_is_taken_as_it_is(text: str) -> None:
    assert parse_sample_prompt(text, SETTINGS, 2) == replace(PLAIN, prompt=text)


def test_seeds_count_up_where_a_prompt_has_none_of_its_own() -> None:
    settings = SETTINGS.model_copy(update={"prompts": ("a", "b --d 9", "c")})
    assert [picture.seed for picture in sample_prompts(settings)] == [3, 9, 5]


def test_the_names_of_samplers_are_the_schemas() -> None:
    assert tuple(sampler.value for sampler in Sampler) == SAMPLERS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a --x 3", "has the option --x, which is none"),
        ("a --w 100", "multiple of 8"),
        ("a --w 8", "from 64 to 4,096"),
        ("a --s many", "whole number"),
        ("a --l -1", "a number from 0 to 50"),
        ("a --l nan", "a number from 0 to 50"),
        ("a --d 1 --d 2", "has --d twice"),
        ("a --ss magic", "one of euler"),
        ("a --h", "whole number"),
    ],
)
def test_wrong_options_are_refused_with_the_number_of_the_prompt(line: str, words: str) -> None:
    text = '[model]\nbase = "base"\n[[dataset.sources]]\npath = "images"\n[samples]\n'
    with pytest.raises(ProfileError) as error:
        parse_profile(f'{text}prompts = ["fine --d 1", "{line}"]\n', folder=Path("/nowhere"))
    (problem,) = error.value.problems
    assert problem.field == "samples.prompts"
    assert problem.rule.startswith("number 2 ")
    assert words in problem.rule
