"""Stages of a profile: what each trains, what is refused and where, and that nothing set goes unused in silence."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.estimate.estimate import estimate
from engine.profile.document import ProfileDocument
from engine.profile.fields import STAGES, profile_field, table_fields
from engine.profile.load import LoadedProfile, ProfileError, parse_profile, profile_to_toml, read_snapshot
from engine.profile.preflight import check_inputs
from engine.profile.schema import Profile, Stage
from engine.profile.stages import (
    OWN_FIELDS,
    StageError,
    stage_name,
    stage_profile,
    stage_route,
    trained_profiles,
    unused_fields,
)
from engine.profile.to_toml import toml_value
from engine.routes.route import Route
from engine.run.create import create_run
from engine.run.errors import RunError
from tests.engine.profile.profile_strategies import tables

HEAD = 'model.base = "bundled:demo-base"\ndataset.sources = [{ path = "bundled:demo-images" }]\n'


def load(text: str, *overrides: str, head: str = HEAD) -> LoadedProfile:
    return parse_profile(head + text, folder=Path("/profiles"), source=Path("p.toml"), overrides=overrides)


def stage(text: str, number: int, *overrides: str) -> Profile:
    return stage_profile(load(text, *overrides).profile, number)


def problems(text: str, *overrides: str) -> str:
    with pytest.raises(ProfileError) as caught:
        load(text, *overrides)
    return str(caught.value)


STAYS = {"training.steps", "model.base", "dataset.sources"}
"""Fields that every stage has of its own, and those that a profile must have itself."""


@settings(max_examples=40, deadline=None)
@given(tables(), st.data())
def test_a_stage_trains_what_a_profile_written_by_hand_trains(written: dict[str, Any], data: st.DataObject) -> None:
    """Any field may be moved from the profile into a stage: the first stage then trains the profile as it was."""
    wanted = parse_profile(toml_of(written), folder=Path("/profiles")).profile
    base = copy.deepcopy(written)
    moved: dict[str, Any] = {}
    table: dict[str, Any] = {"steps": wanted.training.steps, "set": moved}
    base.get("training", {}).pop("steps", None)
    has_lr = data.draw(st.booleans(), label="a rate of the stage's own")
    for section, fields in written.items():
        for name in list(fields) if isinstance(fields, dict) else ():
            path = f"{section}.{name}"
            is_rate = section == "optimizer" and name.endswith("lr")  # all of them go, for a part's keeps its ratio
            if path not in STAYS and (has_lr if is_rate else data.draw(st.booleans())):
                value = base[section].pop(name)
                where, key = (table, OWN_FIELDS[path]) if path in OWN_FIELDS else (moved, path)
                where[key] = value
    if has_lr:
        table["lr"] = wanted.optimizer.lr
    if wanted.schedule.warmup_share:
        table.pop("warmup_steps", None)
    profile = parse_profile(toml_of({**base, "stages": [table]}), folder=Path("/profiles")).profile
    named = wanted.model_copy(update={"name": f"{wanted.name[:56]}-stage-1"})
    assert stage_profile(profile, 1) == named


def toml_of(data: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {toml_value(value)}" for name, value in data.items())


TWO = """
[optimizer]
lr = 1e-4
unet_lr = 5e-5
[schedule]
warmup_steps = 20
min_factor = 0.1
[[stages]]
name = "rough"
steps = 100
lr = 2e-4
schedule = "constant"
[[stages]]
steps = 50
keep = "state"
[stages.set]
"schedule.min_factor" = 0.2
"""


def test_what_a_stage_says_is_laid_over_the_profile_and_the_rest_is_the_profiles() -> None:
    rough, second = stage(TWO, 1), stage(TWO, 2)
    assert (rough.training.steps, rough.optimizer.lr, rough.schedule.kind) == (100, 2e-4, "constant")
    assert rough.optimizer.unet_lr == pytest.approx(1e-4), "it keeps its ratio"
    assert rough.schedule.min_factor == 0, "a constant schedule has no floor"
    assert (second.training.steps, second.optimizer.lr, second.optimizer.unet_lr) == (50, 1e-4, 5e-5)
    assert (second.schedule.kind, second.schedule.min_factor) == ("cosine", 0.2)
    assert (rough.stages, second.stages) == ((), ())


def test_the_profiles_warmup_is_the_first_stages_alone() -> None:
    assert [stage(TWO, number).schedule.warmup_steps for number in (1, 2)] == [20, 0]
    shared = TWO.replace("warmup_steps = 20", "warmup_share = 0.1")
    assert [stage(shared, number).schedule.warmup_share for number in (1, 2)] == [0.1, 0]
    assert stage(TWO, 2, "stages.1.warmup_steps=5").schedule.warmup_steps == 5
    assert stage(shared, 1, "stages.0.warmup_steps=5").schedule.warmup_share == 0


def test_weights_to_start_from_are_the_first_stages_alone() -> None:
    profile = load(TWO, "network.start_from=/tmp/a.safetensors").profile
    assert [part.network.start_from for part in trained_profiles(profile)] == ["/tmp/a.safetensors", None]


def test_a_stages_run_is_named_after_both_unless_it_has_a_name_of_its_own() -> None:
    profile = load(TWO + "name = 'other'\n", "name=fox").profile
    assert [part.name for part in trained_profiles(profile)] == ["fox-rough", "other"]
    long = load(TWO, f"name={'x' * 64}").profile
    assert stage_profile(long, 1).name == f"{'x' * 58}-rough"


def test_routes_names_and_length() -> None:
    profile = load(TWO + "[[stages]]\nsteps = 7\n").profile
    assert [stage_name(profile, number) for number in (1, 2, 3)] == ["rough", "stage-2", "stage-3"]
    assert [stage_route(profile, number) for number in (2, 3)] == [Route.RESCHEDULE, Route.CONTINUE]
    assert profile.planned_steps == 157
    assert trained_profiles(stage_profile(profile, 1)) == (stage_profile(profile, 1),)
    for number, message in ((0, "has 3"), (4, "has 3")):
        with pytest.raises(StageError, match=message):
            stage_profile(profile, number)
    with pytest.raises(StageError, match="comes from no other"):
        stage_route(profile, 1)
    with pytest.raises(StageError, match="no stages"):
        stage_name(load("").profile, 1)


def test_a_stages_limits_are_those_of_the_fields_it_stands_for() -> None:
    own = {field.name: field for field in table_fields(STAGES)}
    for path, name in OWN_FIELDS.items():
        assert own[name].requirement == profile_field(path).requirement


S = "[[stages]]\nsteps = 100\n"
WRONG = [
    ("[[stages]]\nlr = 1e-4\n", "p.toml:3:1: stages[0].steps: is missing; add steps = "),
    (S + S + "lr = 20\n", "p.toml:7:1: stages[1].lr = 20: must be a number above 0 and at most 10"),
    (S + "lr = 'x'\n", "p.toml:5:1: stages[0].lr = 'x': must be a number above 0 and at most 10, not text"),
    (S + "warmup = 1\n", "p.toml:5:1: stages[0].warmup: there is no such field; did you mean warmup_steps?"),
    (S + "min_factor = 0.1\n", 'stages[0].min_factor: there is no such field; write "schedule.min_factor" = 0.1 below'),
    (S + "zzzz = 1\n", "[[stages]] has name, steps, lr, schedule, warmup_steps, keep, set"),
    (S + "schedule = 'cosin'\n", "stages[0].schedule = 'cosin': must be one of"),
    (S + "name = 'a b'\n", "stages[0].name = 'a b': must be 1 to 32 letters"),
    (S + S + "keep = 'all'\n", "stages[1].keep = 'all': must be one of weights, state"),
    (S + "keep = 'state'\n", 'p.toml:5:1: stages[0].keep = "state": has no meaning in the first stage'),
    (S + "name = 'stage-2'\n" + S, 'stages[1].name = "stage-2": is what stage 1 is called, too'),
    (S + "warmup_steps = 101\n", "p.toml:5:1: stages[0].warmup_steps = 101: is longer than stages[0].steps 100"),
    (
        "[schedule]\nwarmup_steps = 101\n" + S,
        "p.toml:4:1: schedule.warmup_steps = 101: is longer than stages[0].steps 100",
    ),
    ("[schedule]\ncycles = 2\n" + S, "p.toml:4:1: schedule.cycles = 2: is not used by the schedule cosine; remove it"),
    (
        S + "schedule = 'rex'\n[stages.set]\n'schedule.cycles' = 2\n",
        'stages[0].set."schedule.cycles" = 2: is not used by',
    ),
    (
        S + S + "[stages.set]\n'schedule.min_factor' = 3\n",
        'p.toml:8:1: stages[1].set."schedule.min_factor" = 3: must be',
    ),
    (S + S + "[stages.set]\n'schedule.min_factor' = 3\n", "(in the stage stage-2)"),
    (S + "[stages.set]\nschedule.min_factor = 0.1\n", 'put the whole name in quotes: "schedule.min_factor" = 0.1'),
    (S + "[stages.set]\n'training.steps' = 5\n", "has a field of its own in a stage; write steps = 5 below [[stages]]"),
    (S + "[stages.set]\n'schedule.min_fact' = 5\n", 'there is no such field; did you mean "schedule.min_factor"?'),
    (S + "[stages.set]\n'dataset.sources.path' = 'x'\n", "is not set in a stage; set dataset.sources as a whole"),
    (S + "[stages.set]\nschema = 1\n", "stages[0].set.schema: is not set in a stage"),
    (S + S + "[stages.set]\n'network.start_from' = 'x'\n", "the weights are those of the stage before"),
    (
        S + S + "[stages.set]\n'network.rank' = 4\n",
        "changes from 16 to 4 at the start of the stage stage-2, where the weights",
    ),
    (S + S + "[stages.set]\n'network.rank' = 4\n", "sdxl-tui continue --rank"),
    (S + S + "keep = 'state'\n[stages.set]\n'dataset.resolution' = 768\n", 'or write keep = "weights" in stages[1]'),
    (
        S + S + "keep = 'state'\n[stages.set]\n'training.seed' = 768\n",
        'p.toml:9:1: stages[1].set."training.seed": changes',
    ),
    (
        S + "[stages.set]\n'dataset.resolution' = 768\n" + S + "keep = 'state'\n",
        'p.toml:6:1: stages[0].set."dataset.resol',
    ),
    (
        "[optimizer]\nlr = 1e-3\nunet_lr = 1.0\n" + S + "lr = 5.0\n",
        "unet_lr = 5000.0: keeps its ratio to stages[0].lr and",
    ),
    (
        "[stages]\nsteps = 5\n",
        "stages: must be [[stages]] tables, each with its steps, at most 100; write [[stages]] with",
    ),
    ("stages = [3]\n", "write each stage as [[stages]] with its steps"),
    (S + "[stages.set]\n'dataset.sources' = []\n", 'stages[0].set."dataset.sources" = []: must be one or more'),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_cannot_be_is_told_with_stage_line_and_field(text: str, message: str) -> None:
    assert message in problems(text)


def test_with_the_weights_alone_everything_but_the_network_may_change() -> None:
    text = (
        S + S + "[stages.set]\n'dataset.resolution' = 768\n'optimizer.kind' = 'adafactor'\n'training.batch_size' = 3\n"
    )
    second = stage(text, 2)
    assert (second.dataset.resolution, second.optimizer.kind, second.training.batch_size) == (768, "adafactor", 3)


def test_with_the_state_rates_schedule_and_what_a_resume_applies_may_change() -> None:
    text = S + S + "keep = 'state'\nschedule = 'rex'\nlr = 5e-5\n[stages.set]\n'loss.min_snr_gamma' = 5.0\n"
    assert stage(text, 2).loss.min_snr_gamma == 5


def test_the_profiles_own_length_binds_no_stage() -> None:
    assert stage("[schedule]\nwarmup_steps = 2000\n[[stages]]\nsteps = 5000\n", 1).schedule.warmup_steps == 2000


def test_problems_of_several_stages_are_told_once() -> None:
    told = problems("[optimizer]\nlr = 20\n[schedule]\ncycles = 2\n" + S + S + "lr = 1e-4\n")
    assert told.splitlines()[1:] == [
        "p.toml:4:1: optimizer.lr = 20: must be a number above 0 and at most 10",
        "p.toml:6:1: schedule.cycles = 2: is not used by the schedule cosine; remove it, or set schedule.kind to "
        "cosine_with_restarts",
    ]


def test_one_field_of_a_stage_can_be_set_on_the_command_line() -> None:
    assert load(S, "stages.0.lr=2e-4").profile.stages[0].lr == 2e-4
    assert load(S, "stages.0.set.schedule.min_factor=0.3").profile.stages[0].set == {"schedule.min_factor": 0.3}
    assert load(S, "stages=[{steps=3}, {steps=4}]").profile.planned_steps == 7
    assert load(S, "stages={steps=3}").profile.planned_steps == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.1.lr=2", "there is no stage 1: the profile has 1, counted from 0"),
        ("stages.lr=2", "does not say which stage; write stages.0.lr=…"),
        ("stages.0.lrr=2", "there is no such field; did you mean stages.0.lr?"),
        ("stages.0.set.schedule.min_fact=2", "there is no such field; did you mean schedule.min_factor?"),
        ("stages.0.lr=20", "--set stages.0.lr=20: stages[0].lr = 20: must be a number above 0"),
    ],
)
def test_a_wrong_override_of_a_stage_is_told(override: str, message: str) -> None:
    assert message in problems(S, override)


def test_paths_in_a_stage_are_absolute_wherever_they_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = S + S + "[stages.set]\n'dataset.sources' = [{ path = 'more', repeats = 2 }]\n"
    found = load(text, "stages.0.set.model.vae=vae.safetensors")
    first, second = found.profile.stages
    assert first.set == {"model.vae": f"{tmp_path}/vae.safetensors"}
    assert second.set == {"dataset.sources": [{"path": "/profiles/more", "repeats": 2}]}
    assert found.overrides == (f'stages.0.set.model.vae="{tmp_path}/vae.safetensors"',)


def test_a_profile_with_stages_reads_back_equal() -> None:
    profile = load(TWO + "'dataset.flip' = false\n'samples.prompts' = ['a', 'b \"c\"']\n").profile
    assert parse_profile(profile_to_toml(profile), folder=Path("/else")).profile == profile


def test_what_no_stage_uses_is_warned_of_where_it_stands() -> None:
    text = "[training]\nsteps = 50\n[optimizer]\nlr = 1e-3\n[schedule]\nmin_factor = 0.1\n"
    loaded = load(text + S + "lr = 1e-4\nschedule = 'constant'\n")
    assert [str(problem) for problem in check_inputs(loaded.profile, loaded)] == [
        "p.toml:4:1: training.steps: is not used: the stages have their own; take it out",
        "p.toml:6:1: optimizer.lr: is not used: the stages have their own; take it out",
        "p.toml:8:1: schedule.min_factor: is not used: it shapes the schedule of no stage; take it out",
    ]
    some = load(text + S + "lr = 1e-4\nschedule = 'constant'\n" + S)
    assert [problem.field for problem in check_inputs(some.profile, some)] == ["training.steps"]
    assert "optimizer.lr" not in unused_fields(load(TWO, "stages.1.lr=1e-5").profile)


def test_a_folder_that_only_one_stage_names_is_looked_at() -> None:
    loaded = load(S + S + "[stages.set]\n'dataset.sources' = [{ path = '/nowhere' }]\n")
    with pytest.raises(ProfileError) as caught:
        check_inputs(loaded.profile, loaded)
    (problem,) = caught.value.problems
    assert (problem.line, problem.value) == (8, '"/nowhere"')
    assert problem.field == 'stages[1].set."dataset.sources"[0].path'


def test_the_estimate_is_that_of_all_stages(tmp_path: Path) -> None:
    profile = load(TWO, "checkpoints.every_steps=50", "checkpoints.keep_last=0").profile
    whole, parts = estimate(profile, tmp_path), [estimate(part, tmp_path) for part in trained_profiles(profile)]
    assert whole.steps == 150
    assert whole.disk.checkpoints == 2 + 1 + 1, "of each stage, and the second one's copy of its start"
    assert whole.disk.cache == parts[0].disk.cache == parts[1].disk.cache, "both train the same pictures"
    assert whole.memory.total == max(part.memory.total for part in parts)


def test_a_run_trains_one_stage(tmp_path: Path) -> None:
    profile = load(TWO).profile
    with pytest.raises(RunError, match="a run trains one stage, and the profile has 2"):
        create_run(tmp_path, profile, source=None)
    snapshot = tmp_path / "profile.toml"
    snapshot.write_text(profile_to_toml(profile))
    with pytest.raises(ProfileError, match="a run trains one stage, and here are 2"):
        read_snapshot(snapshot)


TEXT = """name = "x"  # mine

# first rough
[[stages]]  # head
name = "rough"
steps = 10  # few
[stages.set]
"schedule.min_factor" = 0.1  # floor

# then fine
[[stages]]
steps = 5

# the rate
[optimizer]
lr = 1e-4
"""


def edited(change: Any) -> str:
    document = ProfileDocument.new(Path("p.toml"), TEXT)
    document.set("stages", change(document.get("stages")))
    return document.text


def test_editing_a_stage_touches_its_line_alone() -> None:
    assert edited(lambda found: [found[0], {"steps": 6}]) == TEXT.replace("steps = 5", "steps = 6")
    floor = edited(lambda found: [{**found[0], "set": {"schedule.min_factor": 0.2}}, found[1]])
    assert floor == TEXT.replace("0.1  # floor", "0.2  # floor")


def test_stages_are_added_and_removed_with_their_own_comments() -> None:
    added = edited(lambda found: [*found, Stage(steps=3, set={"dataset.flip": True})])
    assert added == TEXT.replace("steps = 5\n", 'steps = 5\n\n[[stages]]\nsteps = 3\nset = { "dataset.flip" = true }\n')
    assert edited(lambda found: found[:1]) == TEXT.replace("# then fine\n[[stages]]\nsteps = 5\n\n", "")
    no_set = edited(lambda found: [{"name": "rough", "steps": 10}, found[1]])
    assert no_set == TEXT.replace('[stages.set]\n"schedule.min_factor" = 0.1  # floor\n', "")
    document = ProfileDocument.new(Path("p.toml"), TEXT)
    document.unset("stages")
    assert document.text == 'name = "x"  # mine\n\n# the rate\n[optimizer]\nlr = 1e-4\n'


def test_stages_can_start_in_a_profile_without_any() -> None:
    document = ProfileDocument.new(Path("p.toml"), "[optimizer]\nlr = 1e-4\n# the end\n")
    document.set("stages", [Stage(steps=3, lr=1e-5)])
    assert document.text == "[optimizer]\nlr = 1e-4\n# the end\n\n[[stages]]\nsteps = 3\nlr = 1e-5\n"
