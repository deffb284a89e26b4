"""A setting of the data that would do nothing is refused; the same beside what it needs is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.load import ProfileError, parse_profile
from engine.profile.schema import Profile

HEAD = '[model]\nbase = "b"\n'


def parsed(text: str) -> Profile:
    return parse_profile(HEAD + text, folder=Path("/w")).profile


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[dataset.sources]]\npath = "a"\nprior_weight = 0.5', "'a', which is no regularisation source"),
        ('[captions]\nkeep_tokens = 1\n[[dataset.sources]]\npath = "a"', "neither shuffled nor dropped"),
        ('[[dataset.sources]]\npath = "a"\nkeep_tokens = 1\n[[dataset.sources]]\npath = "b"', "set for 'a'"),
        (
            '[captions]\nshuffle = true\n[[dataset.sources]]\npath = "a"\nkeep_tokens = 1\nshuffle = false',
            "set for 'a'",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ProfileError, match=sentence):
        parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        '[[dataset.sources]]\npath = "a"\nregularisation = true\nprior_weight = 0.5',
        '[captions]\nkeep_tokens = 1\ntag_dropout = 0.1\n[[dataset.sources]]\npath = "a"',
        '[captions]\nkeep_tokens = 1\n[[dataset.sources]]\npath = "a"\nshuffle = true\n[[dataset.sources]]\npath = "b"',
        '[[dataset.sources]]\npath = "a"\nkeep_tokens = 1\nshuffle = true',
    ],
)
def test_beside_what_it_needs_it_is_taken(text: str) -> None:
    assert parsed(text)


def test_paths_of_a_source_are_taken_from_the_profiles_folder() -> None:
    (source,) = parsed(
        '[[dataset.sources]]\npath = "a"\nmetadata = "m.jsonl"\nmask_folder = "../masks"'
    ).dataset.sources
    assert (source.path, source.metadata, source.mask_folder) == ("/w/a", "/w/m.jsonl", "/masks")
