"""A base or data set that was moved since the checkpoint: the same content resumes, other content is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from engine.demo import locate
from engine.profile.load import read_snapshot
from engine.profile.to_toml import profile_to_toml
from engine.run.layout import RunDirectory
from tests.engine.train.train_runs import Lab, arithmetic, events, metrics, state, train


@pytest.fixture(scope="module")
def parent(lab: Lab) -> RunDirectory:
    """4 steps, saved after 2 and 4."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("engine.train.attempt.set_up_logging", lambda *_: None)
        run = lab.run("training.steps=4", "checkpoints.every_steps=2")
        assert train(run) == 0
    return run


def moved(run: RunDirectory, *, base: Path | None = None, pictures: Path | None = None) -> None:
    """Have the run's profile name other places."""
    profile = read_snapshot(run.profile)
    if base is not None:
        profile = profile.model_copy(update={"model": profile.model.model_copy(update={"base": str(base)})})
    if pictures is not None:
        source = profile.dataset.sources[0].model_copy(update={"path": str(pictures)})
        dataset = profile.dataset.model_copy(update={"sources": (source,)})
        profile = profile.model_copy(update={"dataset": dataset})
    run.profile.chmod(0o600)
    run.profile.write_text(profile_to_toml(profile))


def test_a_moved_base_and_moved_pictures_go_on_to_the_bit(lab: Lab, parent: RunDirectory, tmp_path: Path) -> None:
    run = lab.copy(parent, "moved")
    base, pictures = tmp_path / "base", tmp_path / "elsewhere"
    shutil.copytree(locate("bundled:demo-base"), base)
    shutil.copytree(lab.pictures, pictures)
    (pictures / "half.png").write_bytes((pictures / sorted(pictures.glob("*.png"))[0].name).read_bytes()[:300])
    moved(run, base=base, pictures=pictures)
    assert train(run, checkpoint="step-00000002") == 0
    assert arithmetic(metrics(run, attempt=2)) == arithmetic(metrics(parent)[2:])
    assert state(run.checkpoint(4))["profile"]["model"]["base"] == str(base)


@pytest.mark.parametrize("what", ["base", "pictures", "a caption"])
def test_other_content_at_the_new_place_is_refused(lab: Lab, parent: RunDirectory, tmp_path: Path, what: str) -> None:
    run = lab.copy(parent, f"other {what}")
    there = tmp_path / "there"
    if what == "base":
        shutil.copytree(locate("bundled:demo-base"), there)
        with (there / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as stream:
            stream.seek(-1, 2)
            last = stream.read(1)
            stream.seek(-1, 2)
            stream.write(bytes([last[0] ^ 1]))
        moved(run, base=there)
        field = "model.base was bundled:demo-base"
    else:
        shutil.copytree(lab.pictures, there)
        picture = sorted(there.glob("*.png"))[0]
        if what == "pictures":
            Image.new("RGB", (64, 64), "red").save(picture)
        else:
            picture.with_suffix(".txt").write_text("another caption")
        moved(run, pictures=there)
        field = f"dataset.sources was {lab.pictures}"
    assert train(run, checkpoint="step-00000002") == 2
    (failed,) = events(run, "failed")
    said = f"{field} and is now {there}, which holds other content: no exact resume is possible"
    assert failed["message"] == said


def test_a_place_with_nothing_to_train_on_is_named(lab: Lab, parent: RunDirectory, tmp_path: Path) -> None:
    run = lab.copy(parent, "nowhere")
    moved(run, base=tmp_path / "nowhere")
    assert train(run, checkpoint="step-00000002") == 2
    (failed,) = events(run, "failed")
    assert "there is no such file or folder" in failed["message"]
