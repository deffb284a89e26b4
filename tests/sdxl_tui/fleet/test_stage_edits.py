"""A resume of a stage's run reads the profile it came from again, and compares with the stage that the run trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.profile.load import load_profile, read_snapshot
from engine.profile.stages import stage_profile
from engine.routes.route import RouteError
from engine.run.create import create_run
from engine.run.layout import RunDirectory
from engine.run.records import RunRecord
from sdxl_tui.fleet.edits import Edits, look_for_edits
from tests.engine.train.train_runs import PROFILE, make_lab, train

STAGES = """
[[stages]]
name = "rough"
steps = 2
schedule = "constant"

[[stages]]
name = "fine"
steps = 1
lr = 1e-3
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with two stages, in a folder with pictures."""
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    path = lab.root / "stages.toml"
    path.write_text(PROFILE.replace("PICTURES", str(lab.pictures)) + STAGES)
    return path


@pytest.fixture(scope="module")
def trained(source: Path) -> RunDirectory:
    """A finished run of its first stage."""
    loaded = load_profile(source)
    run = create_run(source.parent / "runs", stage_profile(loaded.profile, 1), source=source, stage=1)
    assert train(run) == 0
    return run


def edits(run: RunDirectory, source: Path, old: str = "", new: str = "", *, as_launched: bool = False) -> Edits:
    """What is found after ``old`` was replaced by ``new`` in the source, which is then as it was."""
    text = source.read_text()
    source.write_text(text.replace(old, new) if old else text)
    try:
        return look_for_edits(run, run.checkpoints / "step-00000002", as_launched=as_launched)
    finally:
        source.write_text(text)


def test_the_run_knows_its_stage_and_trained_it(trained: RunDirectory) -> None:
    record = RunRecord.read(trained.record)
    assert record is not None and record.stage == 1
    snapshot = read_snapshot(trained.profile)
    assert (snapshot.name, snapshot.training.steps, snapshot.schedule.kind) == ("small-rough", 2, "constant")


def test_an_untouched_profile_is_no_edit(trained: RunDirectory, source: Path) -> None:
    found = edits(trained, source)
    assert (found.source, found.plan.effects) == (source, ())


def test_an_edit_of_its_stage_is_found_and_one_of_another_stage_is_not(trained: RunDirectory, source: Path) -> None:
    longer = edits(trained, source, "steps = 2\nschedule", "steps = 5\nschedule")
    assert [(effect.field, effect.stored, effect.new) for effect in longer.plan.effects] == [("training.steps", 2, 5)]
    assert edits(trained, source, "lr = 1e-3", "lr = 1e-4").plan.effects == ()


def test_a_stage_that_is_gone_is_told_in_a_sentence(trained: RunDirectory, source: Path) -> None:
    with pytest.raises(UserError, match="this run trained stage 1 of the profile, which has no stages now") as caught:
        edits(trained, source, STAGES, "")
    assert "--as-launched" in str(caught.value.hint)
    assert edits(trained, source, STAGES, "", as_launched=True).plan.effects == ()


def test_stages_that_came_later_rule_a_resume_of_the_whole_profile_out(trained: RunDirectory, source: Path) -> None:
    plain = source.with_name("plain.toml")
    plain.write_text(source.read_text().replace(STAGES, ""))
    run = create_run(source.parent / "plain-runs", read_snapshot(trained.profile), source=plain)
    plain.write_text(source.read_text())
    found = look_for_edits(run, trained.checkpoints / "step-00000002")
    with pytest.raises(RouteError, match="was none and is now 2 stages"):
        found.plan.profile(keep_stored=True)


def test_the_engine_trains_no_profile_with_stages(trained: RunDirectory, source: Path, tmp_path: Path) -> None:
    run = create_run(tmp_path, read_snapshot(trained.profile), source=source)
    run.profile.chmod(0o600)
    run.profile.write_text(source.read_text())
    assert train(run) != 0
    assert "a run trains one stage, and here are 2" in run.status.read_text() + run.events.read_text()
