"""The ways on from the command line, with a real run: what they print, what they start, and what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.demo import locate
from engine.profile.load import read_snapshot
from engine.run.metrics import MetricsReader
from engine.run.records import RunRecord
from tests.sdxl_tui.cli.cli_runner import CommandLine, Result


def edited(cli: CommandLine, old: str, new: str) -> Path:
    """Edit the profile that the run was launched from, as a person would."""
    path = cli.workspace / "profiles" / "demo.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (run,) = (cli.workspace / "runs").iterdir()
    record = run / "run.json"  # the copy's run was launched from the copy's profile
    record.write_text(json.dumps(json.loads(record.read_text()) | {"source_profile": str(path)}))
    return path


def steps_of(cli: CommandLine, run_id: str) -> dict[int, float]:
    """By step the rate it used."""
    points = MetricsReader(cli.run(run_id).metrics).poll()
    return {point.step: point.lr["unet"] for point in points}


def test_a_reschedule_keeps_the_state_and_takes_the_new_rate(copied: CommandLine) -> None:
    done = copied("reschedule", "latest@4", "--lr", "x0.5", "--schedule", "constant", "--steps", "2", "--wait")
    assert done.code == 0, done.err
    for part in (
        "Reschedule from",
        "optimizer moments",
        "moments, data position and random state go on",
        "0.50× as high",
    ):
        assert part in done.err
    child = done.out.strip()
    assert steps_of(copied, child) == {1: pytest.approx(3e-4), 2: pytest.approx(3e-4)}
    record = RunRecord.read(copied.run(child).record)
    assert record is not None
    assert record.parent is not None
    assert (record.parent.route, record.parent.step, record.parent.attempt) == ("reschedule", 4, 1)
    assert "reschedule" in copied("tree").out


def test_an_extension_counts_on_and_says_where_the_rate_goes(copied: CommandLine) -> None:
    done = copied("extend", "latest@4", "--steps", "2", "--then", "constant", "--lr", "base x0.1", "--wait")
    assert done.code == 0, done.err
    assert "The 2 steps that are left are trained as planned; then 2 more follow, at 1.00e-4." in " ".join(
        done.err.split()
    )
    made = steps_of(copied, done.out.strip())
    assert list(made) == [5, 6, 7, 8]
    assert [made[7], made[8]] == pytest.approx([1e-4, 1e-4])


def test_an_extension_that_would_train_at_next_to_nothing_says_so(trained: CommandLine) -> None:
    told = trained("extend", "latest@4", "--steps", "100", "--then", "linear", "--lr", "1e-6", "--dry-run")
    assert told.code == 0
    assert "will change next to nothing" in " ".join(told.err.split())


def test_a_resize_says_what_was_kept_and_trains_on_at_the_new_rank(copied: CommandLine) -> None:
    done = copied("continue", "latest@6", "--lr", "base", "--rank", "4", "--steps", "1", "--wait")
    assert done.code == 0, done.err
    assert "modules resized; each kept at least" in done.err
    network = read_snapshot(copied.run(done.out.strip()).profile).network
    assert (network.rank, network.alpha) == (4, 4.0)
    assert copied("inspect", "latest", "--json").json["network"]["rank"] == 4


def test_a_dry_resize_reports_and_leaves_nothing(trained: CommandLine) -> None:
    before = sorted(trained.workspace.rglob("*"))
    plan = trained("continue", "latest@6", "--lr", "base", "--rank", "2", "--dry-run", "--json").json
    assert plan["route"] == "resize"
    assert 0 < plan["resized"]["least"] <= 1
    assert sorted(trained.workspace.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["extend", "latest", "--steps", "5", "--then", "hold", "--lr", "1e-4"], "an LR has no use"),
        (["extend", "latest", "--steps", "5", "--then", "constant", "--lr", "1e-2"], "above the base LR"),
        (["extend", "latest", "--steps", "5"], "--then"),
        (["continue", "latest", "--lr", "base", "--set", "network.dora=true"], "the weights would not fit"),
        (["continue", "latest", "--lr", "base", "--set", "optimizer.lr=2e-3"], "have options of their own"),
        (["continue", "latest", "--lr", "base", "--set", "optimiser.lr=1e-3"], "no such field"),
        (["continue", "latest", "--lr", "base", "--group-lr", "te=1e-4"], "there is no group 'te'"),
        (["continue", "latest", "--lr", "base", "--rank", "9999"], "network.rank"),
        (["reschedule", "latest", "--set", "optimizer.weight_decay=0.5"], "the optimizer's state would not fit"),
        (["reschedule", "latest", "--schedule", "cosyne"], "schedule.kind"),
    ],
)
def test_a_way_that_cannot_be_taken_is_refused_by_name(trained: CommandLine, words: list[str], said: str) -> None:
    before = sorted(trained.workspace.rglob("*"))
    done = trained(*words)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())
    assert sorted(trained.workspace.rglob("*")) == before


# Edited since


def test_the_effect_of_an_edit_is_told_with_the_commands_that_apply_it(copied: CommandLine, finished: Result) -> None:
    run_id = finished.out.strip()
    assert "Nothing differs" in copied("effect", "latest@4").out
    edited(copied, "lr = 0.001", "lr = 0.002")
    told = copied("effect", "latest@4")
    assert told.code == 0
    assert "optimizer.lr" in told.out
    assert f"sdxl-tui reschedule {run_id}@4 --lr 0.002" in told.out
    facts = copied("effect", "latest@4", "--json").json
    (effect,) = facts["effects"]
    assert (effect["field"], effect["stored"], effect["new"]) == ("optimizer.lr", 0.001, 0.002)
    assert (effect["at_resume"], effect["applied_by"]) == ("restored", ["reschedule", "continue"])
    assert facts["resume"] == "needs --keep-stored"


def test_a_resume_with_an_ignored_edit_is_refused_until_it_is_agreed_to(copied: CommandLine, finished: Result) -> None:
    run_id = finished.out.strip()
    edited(copied, "lr = 0.001", "lr = 0.002")
    refused = copied("resume", "latest@4", "--wait")
    assert (refused.code, refused.out) == (2, "")
    for part in (
        "optimizer.lr",
        f"sdxl-tui reschedule {run_id}@4 --lr 0.002",
        f"sdxl-tui continue {run_id}@4 --lr 0.002",
        f"sdxl-tui resume {run_id}@4 --keep-stored",
        f"sdxl-tui resume {run_id}@4 --as-launched",
    ):
        assert part in refused.err
    assert len(copied.run(run_id).existing_attempts()) == 1
    before = steps_of(copied, run_id)
    assert copied("resume", "latest@4", "--keep-stored", "--wait").code == 0
    assert steps_of(copied, run_id) == before, "the stored schedule and rate went on"


def test_an_edit_that_a_resume_applies_is_applied_and_said(copied: CommandLine, finished: Result) -> None:
    run = copied.run(finished.out.strip())
    edited(copied, "every_steps = 2", "every_steps = 1")
    done = copied("resume", "latest@4", "--wait")
    assert done.code == 0, done.err
    assert "checkpoints.every_steps" in done.err
    assert run.checkpoint(5).is_dir(), "a checkpoint after every step"
    assert read_snapshot(run.attempt(2).profile).checkpoints.every_steps == 1
    assert read_snapshot(run.profile).checkpoints.every_steps == 2, "what it was launched with stays"


def test_an_edit_that_rules_a_resume_out_is_refused_and_passed_over_only_when_asked(copied: CommandLine) -> None:
    edited(copied, "rank = 8", "rank = 16")
    refused = copied("resume", "latest@4", "--keep-stored")
    assert refused.code == 2
    assert "--rank 16" in refused.err
    assert copied("resume", "latest@4", "--as-launched", "--wait").code == 0


def test_a_source_that_is_broken_or_gone_is_told(copied: CommandLine) -> None:
    path = edited(copied, "rank = 8", "rank = = 8")
    refused = copied("resume", "latest@4")
    assert refused.code == 2
    assert "has problems now" in refused.err
    assert "--as-launched" in refused.err
    path.unlink()
    done = copied("resume", "latest@4", "--wait")
    assert done.code == 0
    assert "is gone" in done.err


# Moved since


def moved_pictures(cli: CommandLine, to: Path) -> Path:
    """The demo's pictures and base at another place, which the profile of the run names."""
    shutil.copytree(locate("bundled:demo-images"), to / "pictures")
    shutil.copytree(locate("bundled:demo-base"), to / "base")
    edited(cli, '"bundled:demo-images"', f'"{to / "pictures"}"')
    edited(cli, '"bundled:demo-base"', f'"{to / "base"}"')
    return to


def test_what_was_moved_is_said_to_be_the_same_and_the_resume_goes_on(
    copied: CommandLine, finished: Result, tmp_path: Path
) -> None:
    to = moved_pictures(copied, tmp_path)
    told = copied("effect", "latest@4")
    assert "same base, moved" in told.out
    assert "same data, moved" in told.out
    assert "every image is read" in told.err
    facts = copied("effect", "latest@4", "--json").json
    assert facts["resume"] == "possible"
    assert [effect["is_moved"] for effect in facts["effects"]] == [True, True]
    run = copied.run(finished.out.strip())
    before = steps_of(copied, run.id)
    assert copied("resume", "latest@4", "--wait").code == 0
    assert steps_of(copied, run.id) == before
    assert read_snapshot(run.latest_profile).model.base == str(to / "base")


def test_other_content_at_the_new_place_is_refused_before_an_engine_starts(
    copied: CommandLine, finished: Result, tmp_path: Path
) -> None:
    to = moved_pictures(copied, tmp_path)
    (to / "base" / "tokenizer" / "merges.txt").write_text("other merges")
    sorted((to / "pictures").glob("*.txt"))[0].write_text("another caption")
    refused = copied("resume", "latest@4")
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert f"was bundled:demo-base and is now {to / 'base'}, which holds other content (and dataset.sources)" in said
    assert "no exact resume is possible" in said
    assert len(copied.run(finished.out.strip()).existing_attempts()) == 1


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        (("continue", "latest@4", "--lr", "base"), "--set optimizer.weight_decay=0.2 --set loss.min_snr_gamma=5.0"),
        (("reschedule", "latest@4", "--steps", "3"), "--set loss.min_snr_gamma=5.0"),
        (("extend", "latest@4", "--steps", "2", "--then", "hold"), "--set loss.min_snr_gamma=5.0"),
        (("fork", "latest@4", "--lr", "1e-4,5e-5"), "--set optimizer.weight_decay=0.2 --set loss.min_snr_gamma=5.0"),
    ],
)
def test_an_edit_that_a_child_does_not_have_is_said_with_the_options_that_give_it(
    copied: CommandLine, words: tuple[str, ...], takes: str
) -> None:
    edited(copied, "[optimizer]", "[optimizer]\nweight_decay = 0.2")
    edited(copied, "[loss]", "[loss]\nmin_snr_gamma = 5.0")
    told = copied(*words, "--dry-run")
    assert told.code == 0, told.err
    said = " ".join(told.err.split())
    assert "Edited in demo.toml since, and NOT in this child:" in said
    assert f"To have it so: {takes}" in said
    assert ("optimizer.weight_decay not set → 0.2 (by continue only)" in said) == (words[0] in {"reschedule", "extend"})
    planned = copied(*words, *takes.split(), "--dry-run", "--json")
    assert planned.code == 0, planned.err
    found = json.loads(planned.out)
    plan = found[0] if isinstance(found, list) else found
    left = [one["field"] for one in plan["edits_left_out"]]
    assert left == ([] if "weight_decay" in takes else ["optimizer.weight_decay"])


def test_the_command_that_applies_edits_has_those_of_them_too_that_a_resume_would_apply(copied: CommandLine) -> None:
    edited(copied, "[optimizer]", "[optimizer]\nweight_decay = 0.2")
    edited(copied, "[loss]", "[loss]\nmin_snr_gamma = 5.0")
    (command,) = json.loads(copied("effect", "latest@4", "--json").out)["commands"]
    planned = copied(*command.split()[1:], "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert {one["field"]: one["new"] for one in json.loads(planned.out)["effects"]}.items() >= {
        "loss.min_snr_gamma": 5.0,
        "optimizer.weight_decay": 0.2,
    }.items()
    assert json.loads(planned.out)["edits_left_out"] == []


def test_a_profile_that_cannot_be_compared_is_said_to_be_so_and_the_child_can_be_made(copied: CommandLine) -> None:
    edited(copied, "[optimizer]", "[optimiser]")
    told = copied("continue", "latest@4", "--lr", "base", "--dry-run")
    assert told.code == 0, told.err
    assert "demo.toml cannot be compared: " in told.err
    assert "What was edited in it is not in the child." in " ".join(told.err.split())


def test_an_edit_is_said_to_be_left_out_further_down_the_family_too(copied: CommandLine) -> None:
    """A child has no profile on the disk; who edits its parent's and goes on from the child means that as well."""
    path = edited(copied, "[loss]", "[loss]")
    made = copied("continue", "latest@4", "--lr", "5e-4", "--steps", "1", "--set", "network.dropout=0.1", "--wait")
    assert made.code == 0, made.err
    child = made.out.strip()
    assert "Edited in" not in copied("continue", child, "--lr", "base", "--dry-run").err
    path.write_text(path.read_text().replace("[loss]", "[loss]\nmin_snr_gamma = 5.0", 1))
    assert "min_snr_gamma not set → 5.0" in " ".join(copied("continue", child, "--lr", "base", "--dry-run").err.split())


@pytest.mark.parametrize("shape", ["cycles=3", "cycles=4", "power=1.0", "rise_share=0.3"])
def test_a_shape_that_the_schedule_has_no_use_for_is_refused_also_at_its_default(
    trained: CommandLine, shape: str
) -> None:
    told = trained("continue", "latest@4", "--lr", "base", "--shape", shape, "--dry-run")
    assert told.code == 2
    assert f"schedule.{shape.partition('=')[0]}: is not used by the schedule cosine" in told.err
