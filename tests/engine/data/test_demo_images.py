from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from engine.data.buckets import BucketRules, place
from engine.data.scan import scan_sources
from engine.demo import locate
from engine.profile.schema import Source

SCRIPT = Path(__file__).parents[3] / "scripts" / "draw_demo_images.py"


def drawing() -> ModuleType:
    specification = importlib.util.spec_from_file_location("draw_demo_images", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["draw_demo_images"] = module
    specification.loader.exec_module(module)
    return module


def test_the_bundled_pictures_are_small_whole_and_captioned() -> None:
    found = scan_sources([Source(path="bundled:demo-images")])
    assert len(found.images) == 24
    assert (found.skipped, found.uncaptioned) == ((), ())
    assert all(image.caption.startswith("a zorb robot, ") for image in found.images)
    assert len({image.caption for image in found.images}) == 24
    assert sum(path.stat().st_size for path in locate("bundled:demo-images").iterdir()) < 1_000_000


def test_the_bundled_pictures_fill_three_buckets() -> None:
    images = scan_sources([Source(path="bundled:demo-images")]).images
    assert len({image.width / image.height for image in images}) == 3
    rules = BucketRules(resolution=128, smallest=64, largest=256, step=32)
    assert len({place(image.width, image.height, rules).bucket for image in images}) == 3


def test_the_held_out_pictures_are_of_the_same_subject_and_none_is_trained_on() -> None:
    trained = {image.caption for image in scan_sources([Source(path="bundled:demo-images")]).images}
    held_out = scan_sources([Source(path="bundled:demo-held-out")]).images
    assert len({image.caption for image in held_out}) == 8
    assert all(image.caption.startswith("a zorb robot, ") for image in held_out)
    names = {path.stem.split("-", 1)[1] for path in locate("bundled:demo-images").iterdir()}
    assert names.isdisjoint(path.stem.split("-", 1)[1] for path in locate("bundled:demo-held-out").iterdir())
    assert trained.isdisjoint(image.caption for image in held_out)


@pytest.mark.parametrize(("bundled", "scenes"), [("demo-images", "SCENES"), ("demo-held-out", "HELD_OUT")])
def test_the_script_draws_the_pictures_that_are_shipped(tmp_path: Path, bundled: str, scenes: str) -> None:
    script = drawing()
    script.write_all(tmp_path, getattr(script, scenes))
    shipped = locate(f"bundled:{bundled}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in shipped.iterdir())
    for path in tmp_path.iterdir():
        if path.suffix == ".txt":
            assert path.read_text() == (shipped / path.name).read_text()
            continue
        with Image.open(path) as drawn, Image.open(shipped / path.name) as kept:
            # Releases of Pillow may round an edge differently; they draw the same picture.
            difference = np.abs(np.asarray(drawn, dtype=float) - np.asarray(kept, dtype=float))
            assert drawn.size == kept.size
            assert difference.mean() < 1.0
