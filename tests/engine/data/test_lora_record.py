"""What a LoRA file says of its pictures has sd-scripts' form, counts what is really trained on and tells no path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open

from engine.data.lora_record import MOST_TAGS, data_record
from engine.data.placing import place_images
from engine.data.scan import scan_sources
from engine.profile.schema import Captions, Dataset, Source

REAL = Path(__file__).parents[1] / "model" / "data" / "sd_scripts_rank1.safetensors"


def picture(folder: Path, name: str, size: tuple[int, int], caption: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(folder / f"{name}.png")
    if caption is not None:
        (folder / f"{name}.txt").write_text(caption)


def recorded(*sources: Source, **dataset: Any) -> dict[str, Any]:
    profile = Dataset(sources=sources, resolution=128, bucket_min=64, bucket_max=256, bucket_step=32, **dataset)
    placed = place_images(scan_sources(sources).images, profile, Captions())
    return {name: json.loads(str(value)) for name, value in data_record(placed, profile).items()}


def test_folders_tags_and_buckets_are_counted_as_sd_scripts_counts_them(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "cat", "1", (128, 128), "Photo of a cat, smiling, ,sitting")
    picture(tmp_path / "a" / "cat", "2", (256, 64), "photo of a cat")
    picture(tmp_path / "b" / "cat", "3", (128, 128))
    picture(tmp_path / "reg", "4", (128, 130), "a dog")
    found = recorded(
        Source(path=str(tmp_path / "a" / "cat"), repeats=3, trigger="ohwx"),
        Source(path=str(tmp_path / "b" / "cat")),
        Source(path=str(tmp_path / "reg"), regularisation=True, repeats=2),
    )
    assert found["ss_dataset_dirs"] == {
        "cat": {"n_repeats": 3, "img_count": 2},
        "cat (2)": {"n_repeats": 1, "img_count": 1},
    }
    assert found["ss_reg_dataset_dirs"] == {"reg": {"n_repeats": 2, "img_count": 1}}
    assert found["ss_tag_frequency"] == {
        "cat": {"ohwx": 2, "photo of a cat": 2, "smiling": 1, "sitting": 1},
        "cat (2)": {},
        "reg": {"a dog": 1},
    }
    buckets = found["ss_bucket_info"]
    assert buckets["buckets"] == {
        "0": {"resolution": [128, 128], "count": 3 + 1 + 2},
        "1": {"resolution": [256, 64], "count": 3},
    }
    assert buckets["mean_img_ar_error"] == pytest.approx((1 - 128 / 130) / 4)
    assert str(tmp_path) not in json.dumps(found)


def test_without_buckets_there_is_nothing_to_say_of_them_and_long_lists_are_cut(tmp_path: Path) -> None:
    picture(tmp_path / "a", "1", (128, 128), ", ".join(["often", "often", *(f"tag {n}" for n in range(2 * MOST_TAGS))]))
    found = recorded(Source(path=str(tmp_path / "a")), buckets=False)
    assert found["ss_bucket_info"] is None
    assert len(found["ss_tag_frequency"]["a"]) == MOST_TAGS
    assert found["ss_tag_frequency"]["a"]["often"] == 2


def test_the_entries_have_the_form_of_the_real_files(tmp_path: Path) -> None:
    with safe_open(REAL, framework="pt") as file:
        theirs = {name: json.loads(file.metadata()[name]) for name in ("ss_dataset_dirs", "ss_tag_frequency")}
    picture(tmp_path / "1_photo", "1", (64, 64), "smiling")
    ours = recorded(Source(path=str(tmp_path / "1_photo")))
    for name, entry in theirs.items():
        assert ours[name].keys() == entry.keys() == {"1_photo"}
    assert ours["ss_dataset_dirs"]["1_photo"].keys() == theirs["ss_dataset_dirs"]["1_photo"].keys()
    assert ours["ss_tag_frequency"]["1_photo"]["smiling"] == theirs["ss_tag_frequency"]["1_photo"]["smiling"] == 1
