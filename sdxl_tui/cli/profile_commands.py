"""The commands about profiles: ``profiles``, ``check`` and ``explain``."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.profile.setting import HAPPENS_AT_RESUME
from sdxl_tui.cli.arguments import EXIT_OK, EXIT_USER_ERROR, Commands, add_command, add_overrides_option
from sdxl_tui.cli.output import Column, Painted, Printer, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_lr
from sdxl_tui.workspace import find_workspace

if TYPE_CHECKING:
    from engine.estimate.estimate import Estimate
    from engine.profile.fields import ProfileField
    from engine.profile.load import LoadedProfile
    from engine.profile.problems import Problem
    from engine.profile.schema import Profile
    from sdxl_tui.fleet.profile_shelf import ProfileEntry


def add_commands(commands: Commands) -> None:
    """Declare them."""
    add_command(
        commands,
        "profiles",
        show_profiles,
        summary="list the profiles that can be launched",
        about="""List the profiles of the workspace and those shipped with the program. A profile of the workspace hides
        a shipped one of the same name.""",
        examples=["sdxl-tui profiles", "sdxl-tui profiles --json"],
        json=True,
    )
    check = add_command(
        commands,
        "check",
        check_profile,
        summary="look for everything wrong with a profile",
        about="""Validate a profile and look at the folders it names. Every problem is told at once, with line and column
        and the nearest known name. Also says what a run of it will take: memory, disk and, where something alike has
        been trained in this workspace, time. Starts nothing.""",
        examples=["sdxl-tui check character", "sdxl-tui check ./my.toml --set training.steps=2000 --json"],
        exits=("0 it can be launched; there may be warnings", "2 it cannot: every problem is listed"),
        json=True,
    )
    check.add_argument("profile", metavar="PROFILE", help="file or name of a profile")
    add_overrides_option(check)
    explain = add_command(
        commands,
        "explain",
        explain_field,
        summary="say what a profile field means",
        about="""Explain a field of the profile: what it does, which values it takes, its default, and what a resume does
        with a changed value. The names of other trainers are understood. Without FIELD, lists all of them.""",
        examples=["sdxl-tui explain optimizer.lr", "sdxl-tui explain network_dim", "sdxl-tui explain"],
        json=True,
    )
    explain.add_argument("field", nargs="?", metavar="FIELD", help="section.field, or what another trainer calls it")


def show_profiles(arguments: argparse.Namespace) -> int:
    """``sdxl-tui profiles``."""
    from sdxl_tui.fleet.profile_shelf import ProfileShelf  # noqa: PLC0415

    entries = ProfileShelf(find_workspace(getattr(arguments, "workspace", None)).profiles).read()
    own = {entry.name for entry in entries if not entry.is_shipped}
    found = [entry for entry in entries if not (entry.is_shipped and entry.name in own)]
    if arguments.json:
        out().json([_entry_as_json(entry) for entry in found])
        return EXIT_OK
    columns = (
        Column("PROFILE", shortens=True),
        Column("FROM"),
        Column("STEPS", right=True),
        Column("LR", right=True),
        Column("SCHEDULE"),
        Column("RANK", right=True),
        Column("", shortens=True),
    )
    out().table(columns, [_row(entry) for entry in found])
    return EXIT_OK


def _row(entry: ProfileEntry) -> list[str | Painted]:
    from engine.profile.stages import trained_profiles  # noqa: PLC0415

    origin = "shipped" if entry.is_shipped else "workspace"
    profile = entry.profile
    if profile is None:
        wrong = f"{len(entry.problems)} wrong: sdxl-tui check {entry.name}"
        return [entry.name, origin, "–", "–", "–", "–", Painted(wrong, "red")]
    first = trained_profiles(profile)[0]
    return [
        entry.name,
        origin,
        format_count(profile.planned_steps),
        format_lr(first.leading_lr),
        f"{len(profile.stages)} stages" if profile.stages else profile.schedule.kind.value,
        format_count(profile.network.rank),
        "",
    ]


def _entry_as_json(entry: ProfileEntry) -> dict[str, Any]:
    profile = entry.profile
    return {
        "name": entry.name,
        "path": str(entry.path),
        "shipped": entry.is_shipped,
        "extends": [str(parent) for parent in entry.parents],
        "valid": profile is not None,
        "problems": [_problem_as_json(problem) for problem in entry.problems],
        "steps": profile and profile.planned_steps,
        "lr": profile and profile.leading_lr,
        "schedule": profile and profile.schedule.kind.value,
        "rank": profile and profile.network.rank,
        "stages": profile and _stages_as_json(profile),
    }


def _stages_as_json(profile: Profile) -> list[dict[str, Any]]:
    """What each stage trains; empty without stages."""
    from engine.profile.stages import stage_name, stage_profile  # noqa: PLC0415

    found = []
    for number, stage in enumerate(profile.stages, start=1):
        trained = stage_profile(profile, number)
        found.append(
            {
                "name": stage_name(profile, number),
                "steps": stage.steps,
                "lr": trained.leading_lr,
                "schedule": trained.schedule.kind.value,
                "keep": None if number == 1 else stage.keep or "weights",
            }
        )
    return found


def check_profile(arguments: argparse.Namespace) -> int:
    """``sdxl-tui check PROFILE``."""
    from engine.estimate.estimate import estimate  # noqa: PLC0415
    from engine.profile.load import ProfileError, load_profile  # noqa: PLC0415
    from engine.profile.preflight import check_inputs  # noqa: PLC0415
    from engine.profile.shipped import find_profile  # noqa: PLC0415

    path = find_profile(arguments.profile, find_workspace(getattr(arguments, "workspace", None)).profiles)
    try:
        loaded = load_profile(path, arguments.overrides)
        warnings = check_inputs(loaded.profile, loaded)
    except ProfileError as error:
        if not arguments.json:
            raise
        problems = [_problem_as_json(problem) for problem in error.problems]
        out().json({"profile": str(path), "valid": False, "problems": problems, "warnings": []})
        return EXIT_USER_ERROR
    expected = estimate(loaded.profile, find_workspace(getattr(arguments, "workspace", None)).runs)
    if arguments.json:
        told = [_problem_as_json(warning) for warning in warnings]
        report = {"profile": str(path), "valid": True, "problems": [], "warnings": told}
        report["extends"] = [str(parent) for parent in loaded.lineage.parents]
        out().json({**report, "stages": _stages_as_json(loaded.profile), "estimate": expected.to_json()})
    else:
        _print_profile(out(), path, loaded, expected)
        for sentence in [*(str(warning) for warning in warnings), *expected.warnings()]:
            out().line(f"{out().paint('warning:', 'yellow')} {clean(sentence)}")
    return EXIT_OK


def _problem_as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.field,
        "value": problem.value,
        "rule": problem.rule,
        "suggestion": problem.suggestion,
    }


def _print_profile(printer: Printer, path: Path, loaded: LoadedProfile, expected: Estimate) -> None:
    from engine.model.trained_prediction import effective_prediction  # noqa: PLC0415
    from engine.profile.extends import lineage_in_words  # noqa: PLC0415
    from engine.profile.model_preflight import prediction_of  # noqa: PLC0415

    profile, extends = loaded.profile, lineage_in_words(loaded.lineage)
    said = prediction_of(profile.model.base)
    predicted = said and effective_prediction(said, profile.loss)
    printer.line(f"{clean(str(path))}: {printer.paint('can be launched', 'green')}")
    training, count = profile.training, len(profile.stages)
    in_stages = f" in {count} stage{'' if count == 1 else 's'}" if count else ""
    images = training.batch_size * training.gradient_accumulation * profile.launch.processes
    sources = "\n".join(f"{source.path} × {source.repeats}" for source in profile.dataset.sources)
    printer.fields(
        [
            *([("extends", extends)] if extends else []),
            ("model", profile.model.base),
            *([("predicts", clean(predicted.text))] if predicted else []),
            ("images", sources),
            ("network", f"{profile.network.kind.value} rank {profile.network.rank} alpha {profile.network.alpha:g}"),
            (
                "training",
                f"{format_count(profile.planned_steps)} steps of {images} images{in_stages}",
            ),
            *_rates(profile),
            *expected.lines(),
        ],
        indent=2,
    )


def _rates(profile: Profile) -> list[tuple[str, str]]:
    """The rate and the schedule's shape, or a line for each stage."""
    from engine.profile.stages import stage_name, stage_profile  # noqa: PLC0415

    if not profile.stages:
        shape = _shape(profile)
        return [("rate", _rate(profile)), *([("schedule", shape)] if shape else [])]
    lines = []
    for number, stage in enumerate(profile.stages, start=1):
        trained = stage_profile(profile, number)
        taken = "" if number == 1 else f", from the {stage.keep or 'weights'} of the one before"
        words = [f"{format_count(stage.steps)} steps", _rate(trained), _shape(trained)]
        lines.append((stage_name(profile, number), ", ".join(word for word in words if word) + taken))
    return lines


def _rate(profile: Profile) -> str:
    return f"{profile.schedule.kind.value} from {format_lr(profile.optimizer.lr)}, {profile.optimizer.kind.value}"


def _shape(profile: Profile) -> str:
    return ", ".join(f"{name} {text}" for name, text in profile.schedule.over(profile.training.steps).shown()[1:])


def explain_field(arguments: argparse.Namespace) -> int:
    """``sdxl-tui explain [FIELD]``."""
    from engine.profile.fields import find_field, nearest_field, profile_fields  # noqa: PLC0415

    if arguments.field is None:
        fields = profile_fields()
        if arguments.json:
            out().json([_field_as_json(field) for field in fields])
        else:
            out().fields([(field.path, field.help) for field in fields])
        return EXIT_OK
    section, _, name = arguments.field.rpartition(".")
    nearest = nearest_field(name, section)
    field = find_field(arguments.field) or (find_field(nearest) if nearest else None)
    if field is None:
        raise UserError(f"there is no field '{arguments.field}'", hint="All of them: sdxl-tui explain")
    if arguments.json:
        out().json(_field_as_json(field))
    else:
        _print_field(out(), field)
    return EXIT_OK


def _print_field(printer: Printer, field: ProfileField) -> None:
    printer.line(printer.paint(field.path, "bold"))
    for paragraph in (field.help, field.detail):
        if paragraph:
            printer.line(textwrap.fill(paragraph, 78, initial_indent="  ", subsequent_indent="  "))
    unit = f" ({field.unit})" if field.unit else ""
    default = field.absent or ("none: it must be given" if field.required else f"{_shown(field.default)}{unit}")
    pairs = [
        ("value", f"{field.requirement}{unit}"),
        ("default", default),
        ("at resume", f"{field.at_resume.value}: {HAPPENS_AT_RESUME[field.at_resume]}"),
    ]
    if field.aliases:
        pairs.append(("also called", ", ".join(field.aliases)))
    printer.line()
    printer.fields(pairs, indent=2)


def _shown(value: object) -> str:
    from engine.profile.problems import show_value  # noqa: PLC0415

    return show_value(value)


def _field_as_json(field: ProfileField) -> dict[str, Any]:
    return {
        "path": field.path,
        "kind": field.kind,
        "help": field.help,
        "detail": field.detail,
        "unit": field.unit,
        "requirement": field.requirement,
        "choices": list(field.choices),
        "minimum": field.minimum,
        "maximum": field.maximum,
        "multiple_of": field.multiple_of,
        "required": field.required,
        "default": field.default,
        "absent": field.absent,
        "at_resume": field.at_resume.value,
        "aliases": list(field.aliases),
    }
