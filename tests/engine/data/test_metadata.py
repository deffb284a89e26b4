"""Captions from sd-scripts' metadata and from Hugging Face's ``metadata.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.data.errors import DatasetError
from engine.data.metadata import read_metadata
from engine.data.scan import Scan, scan_sources
from engine.profile.schema import Source
from tests.engine.data.small_data import add_image


def scan(tmp_path: Path, metadata: str, **source: object) -> Scan:
    path = tmp_path / "meta.json"
    path.write_text(metadata, encoding="utf-8")
    settings = {"path": str(tmp_path / "images"), "metadata": str(path), **source}
    return scan_sources([Source.model_validate(settings)])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images, of which one has a caption file."""
    for number, name in enumerate(("a", "b", "c")):
        add_image(tmp_path / "images" / f"{name}.png", shade=number, caption="beside it" if name == "c" else None)
    return tmp_path / "images"


def captions(found: Scan) -> dict[str, str]:
    return {image.name: image.caption for image in found.images}


def test_sd_scripts_metadata_by_path_and_by_stem(tmp_path: Path, images: Path) -> None:
    entries = {
        str(images / "a.png"): {"caption": "a cat", "tags": "red, small", "train_resolution": [64, 64]},
        "b": {"tags": "blue, large"},
    }
    assert captions(scan(tmp_path, json.dumps(entries))) == {
        "a.png": "a cat, red, small",
        "b.png": "blue, large",
        "c.png": "beside it",
    }


def test_hugging_faces_jsonl(tmp_path: Path, images: Path) -> None:
    text = '{"file_name": "a.png", "text": "a cat"}\n\n{"file_name": "./c.png", "text": "from the file"}\n'
    found = scan(tmp_path, text)
    assert captions(found) == {"a.png": "a cat", "b.png": "", "c.png": "from the file"}
    assert [path.name for path in found.uncaptioned] == ["b.png"]
    one_line = scan(tmp_path, '{"file_name": "a.png", "text": "one line"}')
    assert captions(one_line)["a.png"] == "one line"
    assert one_line.unused == ()


def test_names_in_folders_inside(tmp_path: Path, images: Path) -> None:
    add_image(images / "deep" / "a.png", shade=9)
    entries = {"deep/a.png": {"caption": "deep"}, "a": {"caption": "flat"}}
    found = scan(tmp_path, json.dumps(entries), recursive=True)
    assert [(image.path.parent.name, image.caption) for image in found.images if image.name == "a.png"] == [
        ("images", "flat"),
        ("deep", "deep"),
    ]


def test_plain_texts_lists_and_lists_of_records(tmp_path: Path, images: Path) -> None:
    assert captions(scan(tmp_path, json.dumps({"a": "plain", "b.png": {"tags": ["x", "y"]}})))["b.png"] == "x, y"
    records = [{"image": "a.png", "caption": ["one", "two"]}, {"file_name": "b.png", "text": None}]
    found = scan(tmp_path, json.dumps(records))
    assert found.images[0].lines == ("one", "two")
    assert captions(found)["b.png"] == ""


def test_entries_without_an_image_are_named(tmp_path: Path, images: Path) -> None:
    found = scan(tmp_path, json.dumps({"a": "x", "gone": "y", "lost.png": "z"}))
    assert found.unused == ((tmp_path / "meta.json", ("gone", "lost.png")),)


def test_two_sources_may_share_a_file(tmp_path: Path, images: Path) -> None:
    add_image(tmp_path / "more" / "d.png")
    path = tmp_path / "meta.json"
    path.write_text(json.dumps({"a": "x", "d": "y"}))
    sources = [Source(path=str(folder), metadata=str(path)) for folder in (images, tmp_path / "more")]
    found = scan_sources(sources)
    assert captions(found)["d.png"] == "y"
    assert found.unused == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"file_name": "a", "text": "x"}\n{broken}', "line 2 is no JSON"),
        (b'{"text": "x"}\n{"text": "y"}', "line 1 has no file_name"),
        (b"[1, 2]", "entry 1 has no file_name"),
        (b"3", "neither an object nor a list"),
        (b"{}", "holds no caption"),
        (b'{"a": {"train_resolution": [1, 2]}}', "holds no caption"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_metadata_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "meta.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=reason) as caught:
        read_metadata(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_metadata(tmp_path / "nowhere.json")
