"""A run of a profile that extends another: its snapshot is complete, and a resume sees an edit of the parent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.profile.load import load_profile, read_snapshot
from engine.run.layout import RunDirectory
from sdxl_tui.fleet.edits import EditedProfileError, edits_left_out, look_for_edits
from sdxl_tui.fleet.launch import make_run
from sdxl_tui.workspace import Workspace
from tests.engine.train.train_runs import PROFILE, make_lab, train


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile that sets nothing but its steps, beside the one that it extends."""
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    (lab.root / "base.toml").write_text(PROFILE.replace("PICTURES", str(lab.pictures)))
    path = lab.root / "child.toml"
    path.write_text('extends = "base"\n[training]\nsteps = 2\n')
    return path


@pytest.fixture(scope="module")
def trained(child: Path) -> RunDirectory:
    """A finished run of it."""
    run = make_run(Workspace(child.parent / "workspace"), load_profile(child))
    assert train(run) == 0
    return run


def test_the_snapshot_is_complete_and_says_where_it_came_from(trained: RunDirectory, child: Path) -> None:
    text = trained.profile.read_text()
    assert f'Launched from "{child}"\n#   which extends "{child.parent}/base.toml"' in text
    assert "\nextends" not in text
    base = child.parent / "base.toml"
    written = base.read_text()
    base.unlink()
    try:
        assert read_snapshot(trained.profile).training.steps == 2
        with pytest.raises(EditedProfileError, match=r'child.toml:1:1: extends = "base": there is no such profile'):
            look_for_edits(trained, trained.checkpoints / "step-00000002")
        assert not look_for_edits(trained, trained.checkpoints / "step-00000002", as_launched=True).plan.effects
    finally:
        base.write_text(written)


def test_an_edit_of_what_the_launch_had_set_is_told_at_a_resume_and_beside_a_child(
    trained: RunDirectory, child: Path
) -> None:
    checkpoint = trained.checkpoints / "step-00000002"
    record, written = trained.record.read_text(), child.read_text()
    trained.record.write_text(json.dumps(json.loads(record) | {"overrides": ["training.steps=2"]}))
    try:
        assert look_for_edits(trained, checkpoint).kept == ()
        child.write_text(written.replace("steps = 2", "steps = 5"))
        told = "training.steps is 5 in child.toml; the launch's --set training.steps=2 is kept"
        found = look_for_edits(trained, checkpoint)
        assert (found.plan.effects, found.kept) == ((), (told,))
        assert edits_left_out(trained, checkpoint, ()).kept == (told,)
        assert look_for_edits(trained, checkpoint, overrides=["training.steps=3"]).kept == (), "it was said anew"
        assert look_for_edits(trained, checkpoint, profile=child).kept == (), "a file that is named counts as it is"
    finally:
        trained.record.write_text(record)
        child.write_text(written)


def test_an_edit_of_the_parent_counts_at_a_resume(trained: RunDirectory, child: Path) -> None:
    checkpoint = trained.checkpoints / "step-00000002"
    assert look_for_edits(trained, checkpoint).plan.effects == ()
    base = child.parent / "base.toml"
    written = base.read_text()
    base.write_text(written + "\n[ema]\ndecay = 0.9\n")
    try:
        assert [effect.field for effect in look_for_edits(trained, checkpoint).plan.effects] == ["ema.decay"]
    finally:
        base.write_text(written)
