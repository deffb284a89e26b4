"""What the demo base is pretrained on: pictures that say what they show, and never the demo's subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.demo import locate
from engine.model.base import BaseFolder
from scripts.demo_pictures import SIZES, clutter, picture
from scripts.demo_tokenizers import write_tokenizers

PICTURES = [picture(number, SIZES[number % 3]) for number in range(60)]


def test_a_picture_follows_from_its_number() -> None:
    again = picture(7, SIZES[7 % 3])
    assert again.caption == PICTURES[7].caption
    assert np.array_equal(np.asarray(again.image), np.asarray(PICTURES[7].image))
    assert len({shown.caption for shown in PICTURES}) > 50


def test_the_subject_of_the_demo_is_in_none() -> None:
    assert not any(word in shown.caption for shown in PICTURES for word in ("robot", "zorb"))


def test_every_word_of_a_caption_is_one_token() -> None:
    tokenizer = BaseFolder(locate("bundled:demo-base")).tokenizers()[0]
    words = {word.strip(",") for shown in PICTURES for word in shown.caption.split()}
    assert {word for word in words if len(tokenizer(word, add_special_tokens=False).input_ids) != 1} == set()


def test_the_script_writes_the_tokenizers_that_are_shipped(tmp_path: Path) -> None:
    write_tokenizers(tmp_path)
    for name in ("tokenizer", "tokenizer_2"):
        for file in (tmp_path / name).iterdir():
            assert file.read_text() == (locate("bundled:demo-base") / name / file.name).read_text(), file.name


@pytest.mark.parametrize("size", SIZES)
def test_pictures_and_clutter_have_the_size_asked_for(size: tuple[int, int]) -> None:
    assert picture(3, size).image.size == size
    assert clutter(3, size).size == size


def test_a_plain_ground_has_the_colour_of_the_caption() -> None:
    grounds = {"white": (246, 246, 246), "black": (30, 30, 34), "brown": (134, 90, 56), "red": (226, 72, 70)}
    found = 0
    for shown in (picture(number, SIZES[0]) for number in range(200)):
        for name, colour in grounds.items():
            if f"on a {name} background" in shown.caption:
                pixels = np.asarray(shown.image).reshape(-1, 3)
                assert (np.abs(pixels - np.array(colour)).max(axis=1) <= 12).mean() > 0.3
                found += 1
    assert found > 10
