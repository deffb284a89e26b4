from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.data.batches import Batch, TrainingSet
from engine.data.errors import DatasetError, PreparationStopped
from engine.data.prepare import prepare
from tests.engine.data.small_data import ForbiddenEncoders, SmallEncoders, add_image, dataset, three_shapes


class Heard:
    """What a preparation reported and warned of; stops it after a number of reports."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.reports: list[tuple[str, int, int]] = []
        self.warnings: list[str] = []
        self._stop_after = stop_after

    def report(self, what: str, done: int, total: int, /) -> None:
        self.reports.append((what, done, total))

    def warn(self, message: str, where: str, /) -> None:
        self.warnings.append(f"{where}: {message}")

    def should_stop(self) -> bool:
        return self._stop_after is not None and len(self.reports) >= self._stop_after


def cache_files(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.rglob("*") if path.is_file()}


def everything(data: TrainingSet) -> list[Batch]:
    return [data.batch([index]) for index in range(len(data))]


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    for first, second in zip(one, other, strict=True):
        for name in ("latents", "prompt_embeds", "pooled", "time_ids"):
            assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_everything_missing_is_encoded_once_and_found_again(tmp_path: Path) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    encoders = SmallEncoders()
    first = prepare(dataset(images), cache, encoders)
    assert encoders.images == 6
    assert sorted(encoders.captions) == sorted({item.image.caption for item in first.items})
    assert [(cached.what, cached.count, cached.built) for cached in first.cached] == [("latents", 6, 6), ("text", 6, 6)]
    assert len(list((cache / "latents").rglob("*.safetensors"))) == 6
    assert len(list((cache / "text").rglob("*.safetensors"))) == 6

    again = prepare(dataset(images), cache, ForbiddenEncoders())
    assert [(cached.what, cached.count, cached.built) for cached in again.cached] == [("latents", 6, 0), ("text", 6, 0)]
    assert again.fingerprint == first.fingerprint
    assert_same(everything(first), everything(again))


def test_the_cache_is_shared_by_content_wherever_the_images_lie(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")
    first = prepare(dataset(images), tmp_path / "cache", SmallEncoders())
    moved = images.rename(tmp_path / "elsewhere")
    again = prepare(dataset(moved), tmp_path / "cache", ForbiddenEncoders())
    assert again.fingerprint == first.fingerprint


def change_image(images: Path) -> tuple[int, int]:
    before = (images / "wide0.png").stat()
    add_image(images / "wide0.png", 128, 72, shade=255)
    os.utime(images / "wide0.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    return 1, 0


def change_caption(images: Path) -> tuple[int, int]:
    (images / "wide0.txt").write_text("another caption")
    return 0, 1


def add_one(images: Path) -> tuple[int, int]:
    add_image(images / "new.png", 128, 72, shade=250, caption="a new picture")
    return 1, 1


def add_copy(images: Path) -> tuple[int, int]:
    (images / "copy.png").write_bytes((images / "wide0.png").read_bytes())
    (images / "copy.txt").write_text("a wide picture 1")
    return 0, 0


@pytest.mark.parametrize("change", [change_image, change_caption, add_one, add_copy])
def test_only_what_changed_is_encoded_again(tmp_path: Path, change: Callable[[Path], tuple[int, int]]) -> None:
    images = three_shapes(tmp_path / "images")
    first = prepare(dataset(images), tmp_path / "cache", SmallEncoders())
    expected = change(images)
    encoders = SmallEncoders()
    again = prepare(dataset(images), tmp_path / "cache", encoders)
    assert (encoders.images, len(encoders.captions)) == expected
    assert again.fingerprint != first.fingerprint
    fresh = prepare(dataset(images), tmp_path / "another cache", SmallEncoders())
    assert_same(everything(again), everything(fresh))


def test_other_encoders_and_other_buckets_find_nothing_of_theirs(tmp_path: Path) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    prepare(dataset(images), cache, SmallEncoders(seed=0))
    other = SmallEncoders(seed=1)
    prepare(dataset(images), cache, other)
    assert (other.images, len(other.captions)) == (6, 6)
    smaller = SmallEncoders(seed=0)
    prepare(dataset(images, resolution=64), cache, smaller)
    assert (smaller.images, len(smaller.captions)) == (6, 0)


def test_captions_are_encoded_once_each_together_with_prompts(tmp_path: Path) -> None:
    for number in range(3):
        add_image(tmp_path / "images" / f"{number}.png", shade=number, caption="a zorb robot")
    add_image(tmp_path / "images" / "3.png", shade=3)
    encoders, heard = SmallEncoders(), Heard()
    data = prepare(
        dataset(tmp_path / "images"),
        tmp_path / "cache",
        encoders,
        prompts=["a prompt", "", "a prompt"],
        warn=heard.warn,
    )
    assert sorted(encoders.captions) == ["", "a prompt", "a zorb robot"]
    assert torch.equal(data.batch([3]).prompt_embeds, data.embeddings([""])[0])
    assert heard.warnings == [f"{tmp_path / 'images'}: 1 image has no caption and is trained with an empty one: 3.png"]
    assert torch.equal(data.embeddings(["a prompt"])[0], encoders.encode_captions(["a prompt"])[0])


@pytest.mark.parametrize("stop_after", range(0, 19))
def test_stopped_between_any_two_items_the_next_start_goes_on_from_there(tmp_path: Path, stop_after: int) -> None:
    images = three_shapes(tmp_path / "images")
    prepare(dataset(images), tmp_path / "straight", SmallEncoders())
    heard, encoders = Heard(stop_after), SmallEncoders()
    with pytest.raises(PreparationStopped):
        prepare(dataset(images), tmp_path / "cache", encoders, report=heard.report, should_stop=heard.should_stop)
    done = encoders.images + len(encoders.captions)
    rest = SmallEncoders()
    prepare(dataset(images), tmp_path / "cache", rest)
    assert done + rest.images + len(rest.captions) == 12
    assert cache_files(tmp_path / "cache") == cache_files(tmp_path / "straight")


def test_progress_counts_up_to_the_total_of_each_kind(tmp_path: Path) -> None:
    heard = Heard()
    prepare(dataset(three_shapes(tmp_path / "images")), tmp_path / "cache", SmallEncoders(), report=heard.report)
    for what in ("images", "latents", "text"):
        counts = [done for kind, done, total in heard.reports if kind == what and total == 6]
        assert counts == sorted(counts)
        assert counts[-1] == 6


KILLED_WHILE_CACHING = """
import os, signal, sys
from pathlib import Path
from tests.engine.data.small_data import SmallEncoders, dataset
from engine.data.prepare import prepare

class Killed(SmallEncoders):
    def encode_captions(self, captions):
        if len(self.captions) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_captions(captions)

prepare(dataset(Path(sys.argv[1])), Path(sys.argv[2]), Killed())
"""


def test_killed_while_caching_the_next_start_goes_on(tmp_path: Path) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
    result = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_CACHING, images, cache],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert result.returncode == -signal.SIGKILL
    rest, heard = SmallEncoders(), Heard()
    prepare(dataset(images), cache, rest, warn=heard.warn)
    assert (rest.images, len(rest.captions)) == (0, 3)
    assert heard.warnings == []


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_cache_file_is_made_again_with_a_warning(tmp_path: Path, damage: bytes | None) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    first = prepare(dataset(images), cache, SmallEncoders())
    before = cache_files(cache)
    for kind in ("latents", "text"):
        path = min((cache / kind).rglob("*.safetensors"))
        path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    encoders, heard = SmallEncoders(), Heard()
    again = prepare(dataset(images), cache, encoders, warn=heard.warn)
    assert (encoders.images, len(encoders.captions)) == (1, 1)
    assert len(heard.warnings) == 2
    assert all("a cache file cannot be used" in warning and str(cache) in warning for warning in heard.warnings)
    assert cache_files(cache) == before
    assert_same(everything(first), everything(again))


def test_a_flipped_bit_is_found_when_the_file_is_read(tmp_path: Path) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    expected = everything(prepare(dataset(images), cache, SmallEncoders()))
    for path in cache.rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    encoders, heard = SmallEncoders(), Heard()
    data = prepare(dataset(images), cache, encoders, warn=heard.warn)
    assert_same(everything(data), expected)
    assert (encoders.images, len(encoders.captions)) == (6, 6)
    assert len(heard.warnings) == 12


def test_a_cache_that_is_cleared_under_a_live_run_is_made_again(tmp_path: Path) -> None:
    images, cache = three_shapes(tmp_path / "images"), tmp_path / "cache"
    heard, encoders = Heard(), SmallEncoders()
    data = prepare(dataset(images), cache, encoders, warn=heard.warn, memory_bytes=0)
    expected = everything(data)
    before = cache_files(cache)
    for path in cache.rglob("*.safetensors"):
        path.unlink()
    assert_same(everything(data), expected)
    assert cache_files(cache) == before
    assert len(heard.warnings) == 12


def test_an_image_cut_short_is_left_out_with_a_warning_at_every_start(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")
    noise = tmp_path / "noise.png"
    Image.effect_noise((96, 96), 60).convert("RGB").save(noise)
    (images / "broken.png").write_bytes(noise.read_bytes()[:4000])
    first = prepare(dataset(images), tmp_path / "cache", SmallEncoders())
    heard = Heard()
    data = prepare(dataset(images), tmp_path / "cache", ForbiddenEncoders(), warn=heard.warn)
    assert [item.image.name for item in data.items if item.image.name == "broken.png"] == []
    assert [skipped.path.name for skipped in data.report(1).skipped] == ["broken.png"]
    assert data.cached[0].count == 6
    assert data.fingerprint == first.fingerprint
    (warning,) = [warning for warning in heard.warnings if "left out" in warning]
    assert "broken.png" in warning
    assert "truncated" in warning


def test_if_all_images_are_cut_short_there_is_an_error_and_no_encoder_is_used(tmp_path: Path) -> None:
    noise = tmp_path / "noise.png"
    Image.effect_noise((96, 96), 60).convert("RGB").save(noise)
    add_image(tmp_path / "images" / "only.png").write_bytes(noise.read_bytes()[:4000])
    with pytest.raises(DatasetError, match="the only image cannot be used") as caught:
        prepare(dataset(tmp_path / "images"), tmp_path / "cache", ForbiddenEncoders())
    assert "only.png" in str(caught.value)


def test_an_image_that_changes_between_scan_and_encoding_is_an_error(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")

    def report(what: str, done: int, total: int, /) -> None:
        if (what, done) == ("latents", 0):
            for path in images.glob("*.png"):
                add_image(path, 50, 50, shade=9)

    with pytest.raises(DatasetError, match="changed while the run was using it"):
        prepare(dataset(images), tmp_path / "cache", SmallEncoders(), report=report)


def test_latents_that_are_not_finite_are_refused_and_not_cached(tmp_path: Path) -> None:
    encoders = SmallEncoders()
    with torch.no_grad():
        encoders.convolution.weight.fill_(float("inf"))
    with pytest.raises(DatasetError, match="not finite"):
        prepare(dataset(three_shapes(tmp_path / "images")), tmp_path / "cache", encoders)
    assert cache_files(tmp_path / "cache") == {}


def test_the_encoders_are_released_whatever_happens(tmp_path: Path) -> None:
    images = three_shapes(tmp_path / "images")
    finished, stopped = SmallEncoders(), SmallEncoders()
    prepare(dataset(images), tmp_path / "cache", finished)
    assert finished.releases >= 1
    heard = Heard(8)
    with pytest.raises(PreparationStopped):
        prepare(dataset(images), tmp_path / "cache", stopped, report=heard.report, should_stop=heard.should_stop)
    assert stopped.releases >= 1


def test_rules_without_a_bucket_are_refused_before_a_file_is_read(tmp_path: Path) -> None:
    impossible = dataset(tmp_path / "nowhere", resolution=72, bucket_min=72, bucket_max=80, bucket_step=64)
    with pytest.raises(DatasetError, match="no bucket fits"):
        prepare(impossible, tmp_path / "cache", ForbiddenEncoders())


def test_an_empty_source_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    heard = Heard()
    images = three_shapes(tmp_path / "images")
    prepare(dataset(images, tmp_path / "empty"), tmp_path / "cache", SmallEncoders(), warn=heard.warn)
    assert heard.warnings == [f"{tmp_path / 'empty'}: no image in this source"]
