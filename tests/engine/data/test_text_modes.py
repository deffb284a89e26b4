"""Captions that can be encoded ahead and such that cannot; lengths, chunks and keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.data.batches import TrainingSet
from engine.data.encoders import EncoderSource
from engine.data.order import Visit
from engine.data.prepare import prepare
from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.conditioning import TextRules
from engine.model.encoders import BaseEncoders
from engine.profile.schema import Captions
from tests.engine.data.small_data import TOKENS, ForbiddenEncoders, SmallEncoders, add_image, dataset


class ChunkEncoders(SmallEncoders):
    """Gives a caption a chunk for every 77 bytes begun."""

    def encode_captions(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        (caption,) = captions
        parts = [caption[start : start + TOKENS] for start in range(0, max(1, len(caption)), TOKENS)]
        states, pooled = super().encode_captions(parts)
        return states.flatten(0, 1).unsqueeze(0), pooled[:1]


def prepared(
    tmp_path: Path, encoders: EncoderSource, captions: Captions | None = None, prompts: Sequence[str] = ()
) -> TrainingSet:
    images = tmp_path / "images"
    if not images.exists():
        for number in range(3):
            add_image(images / f"{number}.png", 96, 96, shade=number, caption=f"one, two, number {number}")
    return prepare(dataset(images, repeats=4), tmp_path / "cache", encoders, captions=captions, prompts=prompts)


def text_files(tmp_path: Path) -> int:
    return len(list((tmp_path / "cache" / "text").rglob("*.safetensors")))


def test_dropout_of_whole_captions_needs_only_the_empty_one_ahead(tmp_path: Path) -> None:
    captions = Captions(caption_dropout=0.5)
    data = prepared(tmp_path, SmallEncoders(), captions)
    assert (text_files(tmp_path), data.report(1).text) == (4, "cached")
    again = prepared(tmp_path, ForbiddenEncoders(), captions)
    found = {again.batch([Visit(0, 1, 0, repeat)]).captions[0] for repeat in range(40)}
    assert found == {"", "one, two, number 0"}
    batch = again.batch([0, 1])
    assert batch.captions == ("one, two, number 0", "one, two, number 1"), "an index alone is never dropped"


def test_captions_that_vary_are_encoded_when_they_are_drawn_by_encoders_that_stay(tmp_path: Path) -> None:
    encoders = SmallEncoders()
    data = prepared(tmp_path, encoders, Captions(shuffle=True), prompts=["a prompt"])
    assert data.report(1).text == "live"
    assert "captions vary: the text encoders stay loaded" in data.report(1).lines()
    assert [cached.what for cached in data.cached] == ["latents"]
    releases = encoders.releases
    batch = data.batch([Visit(0, 1, 0, repeat) for repeat in range(8)])
    assert len(set(batch.captions)) > 2
    for row, caption in enumerate(batch.captions):
        states, pooled = encoders.encode_captions([caption])
        assert torch.equal(batch.prompt_embeds[row], states[0])
        assert torch.equal(batch.pooled[row], pooled[0])
    assert not batch.prompt_embeds.requires_grad
    assert encoders.releases == releases
    assert text_files(tmp_path) == 0, "captions without end would fill the disk"


def test_a_caption_that_was_just_drawn_is_not_encoded_again(tmp_path: Path) -> None:
    encoders = SmallEncoders()
    data = prepared(tmp_path, encoders, Captions(shuffle=True, caption_dropout=0.9))
    data.batch([Visit(0, 1, 0, repeat) for repeat in range(40)])
    assert len(encoders.captions) == len(set(encoders.captions)) <= 7


def test_the_same_visits_give_the_same_batch_whatever_was_seen_before(tmp_path: Path) -> None:
    captions = Captions(shuffle=True, tag_dropout=0.3, caption_dropout=0.1)
    one, other = prepared(tmp_path, SmallEncoders(), captions), prepared(tmp_path, SmallEncoders(), captions)
    straight, resumed = one.order(2, 5), other.order(2, 5)
    before = [one.batch(straight.next_batch()) for _ in range(7)]
    resumed.load_state_dict(straight.state_dict())
    after = [one.batch(straight.next_batch()) for _ in range(12)]
    for batch in after:
        same = other.batch(resumed.next_batch())
        assert same.captions == batch.captions
        assert torch.equal(same.prompt_embeds, batch.prompt_embeds)
    assert len({caption for batch in (*before, *after) for caption in batch.captions}) > 10


def test_of_captions_of_different_lengths_the_shorter_is_followed_by_the_empty_one(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", 96, 96, shade=1, caption="short")
    add_image(tmp_path / "images" / "b.png", 96, 96, shade=2, caption="long " * 40)
    captions = Captions(max_tokens=225)
    data = prepared(tmp_path, ChunkEncoders(), captions)
    again = prepare(dataset(tmp_path / "images"), tmp_path / "cache", ForbiddenEncoders(), captions=captions)
    alone, empty = data.batch([0]).prompt_embeds, data.embeddings([""])[0]
    assert alone.shape[1] == TOKENS
    for one in (data, again):
        both = one.batch([0, 1]).prompt_embeds
        assert both.shape[1] == 3 * TOKENS
        assert torch.equal(both[:1], torch.cat([alone, empty, empty], dim=1))


def test_lengths_of_captions_are_reported_without_loading_anything(tmp_path: Path) -> None:
    add_image(tmp_path / "images" / "a.png", 96, 96, shade=1, caption="x" * 10)
    add_image(tmp_path / "images" / "b.png", 96, 96, shade=2, caption="y" * 90)
    add_image(tmp_path / "images" / "c.png", 96, 96, shade=3, caption="z" * 20)
    prepared(tmp_path, SmallEncoders())

    class NoTokenizer(ForbiddenEncoders):
        def count_tokens(self, caption: str) -> int:
            raise AssertionError("the tokenizer was used")

    report = prepared(tmp_path, NoTokenizer()).report(1)
    lengths = report.captions
    assert lengths is not None
    assert (lengths.shortest, lengths.median, lengths.longest, lengths.cut, lengths.limit) == (10, 20, 90, 1, 75)
    assert "captions of 10 to 90 tokens, half of them up to 20, 1 cut to 75" in report.lines()


@pytest.mark.parametrize(
    "rules", [TextRules(150), TextRules(225), TextRules(weights=True)], ids=["150", "225", "weights"]
)
def test_how_captions_are_read_is_part_of_their_key(tmp_path: Path, rules: TextRules) -> None:
    base = BaseFolder(locate("bundled:demo-base"))
    first = prepared(tmp_path, BaseEncoders(base))
    assert first.cached[1].built == 3
    other = prepared(tmp_path, BaseEncoders(base, rules=rules))
    assert other.cached[0].built == 0, "latents do not depend on it"
    assert other.cached[1].built == 3
    again = prepared(tmp_path, BaseEncoders(base))
    assert again.cached[1].built == 0
