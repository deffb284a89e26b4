from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.data.batches import Batch, TrainingSet
from engine.data.buckets import BucketRules, place, time_ids
from engine.data.pixels import place_pixels
from engine.data.prepare import prepare
from engine.profile.schema import Dataset, Source
from tests.engine.data.small_data import POOLED, TOKENS, WIDTH, SmallEncoders, add_image, dataset, picture, three_shapes


def prepared(tmp_path: Path, settings: Dataset, encoders: SmallEncoders | None = None) -> TrainingSet:
    return prepare(settings, tmp_path / "cache", encoders or SmallEncoders())


def tensors_of(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}


def test_a_batch_holds_what_the_encoders_give_for_its_images_in_the_order_asked_for(tmp_path: Path) -> None:
    encoders = SmallEncoders()
    data = prepared(tmp_path, dataset(three_shapes(tmp_path / "images")), encoders)
    for group in data.groups:
        indices = list(reversed(group))
        batch = data.batch(indices)
        for row, index in enumerate(indices):
            item = data.items[index]
            with Image.open(item.image.path) as image, torch.no_grad():
                pixels = place_pixels(image.convert("RGB"), item.placement)
                assert torch.equal(batch.latents[row], encoders.encode_images(pixels.unsqueeze(0))[0])
                prompt_embeds, pooled = encoders.encode_captions([item.image.caption])
            assert torch.equal(batch.prompt_embeds[row], prompt_embeds[0])
            assert torch.equal(batch.pooled[row], pooled[0])
            ids = time_ids(item.image.width, item.image.height, item.placement)
            assert batch.time_ids[row].tolist() == list(ids)


def test_batches_have_the_promised_shapes_and_are_ordinary_float32(tmp_path: Path) -> None:
    data = prepared(tmp_path, dataset(three_shapes(tmp_path / "images")), SmallEncoders(dtype=torch.bfloat16))
    for group in data.groups:
        batch = data.batch(group)
        placement = data.items[group[0]].placement
        height, width = placement.bucket_height, placement.bucket_width
        assert batch.latents.shape == (2, 4, height // 8, width // 8)
        assert batch.prompt_embeds.shape == (2, TOKENS, WIDTH)
        assert batch.pooled.shape == (2, POOLED)
        assert batch.time_ids.shape == (2, 6)
        assert batch.captions == tuple(data.items[index].image.caption for index in group)
        assert batch.loss_weights.tolist() == [1.0, 1.0]
        assert batch.masks is None
        for tensor in tensors_of(batch).values():
            assert tensor.dtype == torch.float32
            assert not tensor.is_inference()
            assert not tensor.requires_grad


def test_a_batch_can_be_changed_without_changing_the_next_one(tmp_path: Path) -> None:
    data = prepared(tmp_path, dataset(three_shapes(tmp_path / "images")))
    for size in (1, 2):
        indices = data.groups[0][:size]
        before = {name: tensor.clone() for name, tensor in tensors_of(data.batch(indices)).items()}
        for tensor in tensors_of(data.batch(indices)).values():
            tensor.fill_(7.0)
        assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(data.batch(indices)).items())


def test_groups_hold_every_image_as_often_as_its_source_is_repeated(tmp_path: Path) -> None:
    add_image(tmp_path / "few" / "a.png", 96, 96, shade=1)
    add_image(tmp_path / "many" / "b.png", 96, 96, shade=2)
    add_image(tmp_path / "many" / "c.png", 72, 128, shade=3)
    sources = (Source(path=str(tmp_path / "few"), repeats=3), Source(path=str(tmp_path / "many")))
    data = prepared(tmp_path, Dataset(sources=sources, resolution=96, bucket_min=64, bucket_max=128, bucket_step=8))
    names = [[data.items[index].image.name for index in group] for group in data.groups]
    assert names == [["c.png"], ["a.png", "a.png", "a.png", "b.png"]]
    order = data.order(batch_size=2, seed=0)
    assert order.batches_per_epoch == data.report(2).batches_per_epoch == 3
    assert order.fingerprint == data.fingerprint


def test_an_index_means_the_same_image_wherever_the_folders_lie_and_in_whatever_order(tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two")):
        for copy in range(3):
            name = f"{'zyx'[copy]}{number}.png"
            add_image(tmp_path / folder / name, shade=10 * number + copy, caption=f"{folder} {copy}")
    first = prepared(tmp_path, dataset(tmp_path / "one", tmp_path / "two"))
    (tmp_path / "one").rename(tmp_path / "zzz")
    other = prepared(tmp_path, dataset(tmp_path / "two", tmp_path / "zzz"))
    assert other.fingerprint == first.fingerprint
    assert [item.image.name for item in other.items] == [item.image.name for item in first.items]
    assert other.groups == first.groups


def test_the_fingerprint_follows_name_content_caption_placement_and_repeats(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")
    found = [prepared(tmp_path, dataset(images)).fingerprint]
    found.append(prepared(tmp_path, dataset(images, repeats=2)).fingerprint)
    found.append(prepared(tmp_path, dataset(images, resolution=80)).fingerprint)
    (images / "wide0.txt").write_text("other words")
    found.append(prepared(tmp_path, dataset(images)).fingerprint)
    (images / "wide0.png").rename(images / "wide9.png")
    (images / "wide0.txt").rename(images / "wide9.txt")
    found.append(prepared(tmp_path, dataset(images)).fingerprint)
    add_image(images / "wide9.png", 128, 72, shade=201)
    found.append(prepared(tmp_path, dataset(images)).fingerprint)
    assert len(set(found)) == len(found)
    assert all(len(fingerprint) == 64 for fingerprint in found)


def test_the_report_has_what_the_dataset_event_needs(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")
    (images / "bad.png").write_text("no picture")
    report = prepared(tmp_path, dataset(images, repeats=3)).report(batch_size=4)
    assert report.to_json() == {
        "images": 6,
        "batches_per_epoch": 6,
        "steps_per_epoch": 6.0,
        "buckets": {"72x128": 2, "96x96": 2, "128x72": 2},
        "regularisation_images": 0,
        "seen_per_epoch": 18,
        "regularisation_seen_per_epoch": 0,
        "latents": 6,
        "masked": 0,
        "upscaled": 0,
        "largest_enlargement": 1.0,
        "animated": 0,
        "duplicates": 0,
        "uncaptioned": 0,
        "captions": {"shortest": 16, "median": 16.0, "longest": 18, "cut": 0, "limit": 75},
        "text": "cached",
        "skipped": 1,
    }
    json.dumps(report.to_json())
    assert str(report.skipped[0]).startswith(str(images / "bad.png"))


def test_memory_is_bounded_and_what_it_does_not_hold_is_read_again(tmp_path: Path) -> None:
    settings = dataset(three_shapes(tmp_path / "images"))
    roomy = prepared(tmp_path, settings)
    tight = prepare(settings, tmp_path / "cache", SmallEncoders(), memory_bytes=3000)
    for _ in range(2):
        for group in roomy.groups:
            for name, tensor in tensors_of(roomy.batch(group)).items():
                assert torch.equal(getattr(tight.batch(group), name), tensor)


@pytest.mark.parametrize(("width", "height"), [(96, 96), (300, 200), (50, 70), (400, 90)])
def test_cropping_while_resizing_gives_what_resizing_and_then_cropping_would(width: int, height: int) -> None:
    image = picture(width, height)
    placed = place(width, height, BucketRules(96, 64, 128, 8))
    pixels = place_pixels(image, placed)
    resized = image.resize((placed.resized_width, placed.resized_height), Image.Resampling.LANCZOS)
    right, bottom = placed.crop_left + placed.bucket_width, placed.crop_top + placed.bucket_height
    cropped = resized.crop((placed.crop_left, placed.crop_top, right, bottom))
    expected = torch.from_numpy(np.asarray(cropped, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1
    assert pixels.shape == (3, placed.bucket_height, placed.bucket_width)
    assert pixels.is_contiguous()
    assert float((pixels - expected).abs().max()) <= 2.1 / 127.5


def test_pixels_run_from_minus_one_to_one() -> None:
    placed = place(96, 96, BucketRules(96, 64, 128, 8))
    for level, value in ((0, -1.0), (255, 1.0)):
        pixels = place_pixels(Image.new("RGB", (96, 96), (level,) * 3), placed)
        assert torch.equal(pixels, torch.full((3, 96, 96), value))


def test_a_very_long_picture_is_placed_without_a_very_large_one_on_the_way() -> None:
    placed = place(40_000, 10, BucketRules(1024))
    assert placed.resized_width == 1_024_000
    assert place_pixels(Image.new("RGB", (40_000, 10)), placed).shape == (3, 256, 2048)
