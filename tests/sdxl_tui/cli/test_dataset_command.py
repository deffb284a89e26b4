"""``sdxl-tui dataset``: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.demo import locate
from tests.sdxl_tui.cli.cli_runner import run_in_process

PROFILE = """
[model]
base = "BASE"
[dataset]
resolution = 64
bucket_min = 64
bucket_max = 64
[[dataset.sources]]
path = "IMAGES"
"""


def profile(tmp_path: Path, base: str = "bundled:demo-base", images: str = "bundled:demo-images") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE.replace("BASE", base).replace("IMAGES", images))
    return str(path)


def test_it_prints_buckets_captions_and_steps(tmp_path: Path) -> None:
    count = len(list(locate("bundled:demo-images").glob("*.png")))
    result = run_in_process("dataset", profile(tmp_path), "--set", "captions.shuffle=true")
    assert result.code == 0, result.err
    assert f"64 × 64  {count:>6}" in " ".join(result.out.split("\n")[1:2])
    assert f"{count}, seen {count} times per epoch" in result.out
    assert "captions of " in result.out
    assert "the text encoders stay loaded" in result.out


def test_as_json_without_tokens_no_base_is_needed(tmp_path: Path) -> None:
    result = run_in_process("dataset", profile(tmp_path, base="/nowhere"), "--no-tokens", "--json")
    assert result.code == 0, result.err
    assert result.json["captions"] is None
    assert result.json["text"] == "cached"
    counted = run_in_process("dataset", profile(tmp_path, base="/nowhere"), "--json")
    assert counted.json["remarks"] == [
        {"message": "tokens are not counted: the base is not on this machine", "where": "/nowhere"}
    ]


@pytest.mark.parametrize(("images", "message"), [("/nowhere", "there is no such folder"), ("EMPTY", "no image in")])
def test_what_is_wrong_is_one_message(tmp_path: Path, images: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run_in_process("dataset", profile(tmp_path, images=images.replace("EMPTY", str(tmp_path / "empty"))))
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
