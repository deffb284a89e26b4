"""The command ``compare``: two checkpoints side by side, or any number of runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.user_path import user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, UsageError, add_command
from sdxl_tui.cli.checkpoint_commands import CHECKPOINT_HELP
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.foreign_files import is_foreign
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_duration, format_loss, format_lr

if TYPE_CHECKING:
    from sdxl_tui.fleet.comparison import Comparison
    from sdxl_tui.fleet.runs import RunSummary
    from sdxl_tui.workspace import Workspace


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "compare",
        compare_things,
        summary="show what differs between two checkpoints, or between runs",
        about="""Show two checkpoints side by side: everything that differs in where they stand, their schedules, the adapter, the
        optimizer's groups and the settings of the profiles they were trained with. What is the same is counted.

        One or both may be a training state of sd-scripts or a LoRA file, by their paths: compared is what both store, and
        what one of them does not is said to be not stored.

        Of runs, two or more by their names alone, it shows how each did (the last and the lowest running average of the
        loss, the last and the lowest loss on held-out images, each with its step) and the settings in which their profiles
        differ. RUN@latest is a run's newest checkpoint. A run of another trainer ('folders add') is compared by its curves.""",
        examples=[
            "sdxl-tui compare demo@10 demo@20",
            "sdxl-tui compare latest ./step-00000020",
            "sdxl-tui compare demo@20 fox@20 --json",
            "sdxl-tui compare latest ~/kohya/output/fox-step00000500-state",
            "sdxl-tui compare fox-20261124-1015 fox-20261124-1130 owl",
        ],
        json=True,
    )
    command.add_argument(
        "things",
        nargs="+",
        metavar="CHECKPOINT|RUN",
        help=f"two of: {CHECKPOINT_HELP}; or a state of sd-scripts, or a LoRA file. Or runs, two or more",
    )


def compare_things(arguments: argparse.Namespace) -> int:
    """``sdxl-tui compare CHECKPOINT CHECKPOINT`` or ``sdxl-tui compare RUN RUN ...``."""
    things: list[str] = arguments.things
    if len(things) < 2:
        raise UsageError("compare needs two checkpoints, or two runs or more", hint="See: sdxl-tui compare --help")
    no_runs = [thing for thing in things if not _is_run_name(thing)]
    if not no_runs:
        return compare_runs(arguments)
    if len(things) > 2:
        hint = "More than two are compared if all are runs, by their names alone; of checkpoints two."
        raise UsageError(f"{no_runs[0]!r} is not the name of a run", hint=hint)
    return compare_checkpoints(arguments)


def _is_run_name(thing: str) -> bool:
    """It can only mean a run: neither a path nor a checkpoint."""
    return "@" not in thing and "/" not in thing and not is_foreign(thing) and not Path(thing).is_dir()


def compare_runs(arguments: argparse.Namespace) -> int:
    """Figures and settings of any number of runs."""
    from sdxl_tui.fleet.run_comparison import best_text, compare_settings, figures_of  # noqa: PLC0415
    from sdxl_tui.fleet.run_page import history_of  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    found = {run.id: run for run in (_run_named(workspace, name) for name in arguments.things)}
    if len(found) < 2:
        raise UsageError(
            f"both are the run {next(iter(found))}", hint="Name another run, or two checkpoints of this one."
        )
    summaries = list(found.values())
    figures = []
    for run in summaries:
        history = history_of(run)
        history.poll()
        while not history.caught_up:
            history.poll()
        figures.append(figures_of(history))
    settings = compare_settings(summaries)
    if arguments.json:
        runs = [
            {"run": run.id, "state": run.state.value, **asdict(one)}
            for run, one in zip(summaries, figures, strict=True)
        ]
        differing = {
            setting.name: {run_id: text for text, ids in setting.values for run_id in ids}
            for setting in settings.differing
        }
        out().json({"runs": runs, "settings": differing, "alike": settings.alike})
        return EXIT_OK
    columns = (
        *(Column("RUN", shortens=True), Column("STATE", droppable=2), Column("STEP", right=True)),
        *(Column("LOSS", right=True), Column("LOWEST LOSS", right=True)),
        *(Column("HELD OUT", right=True, droppable=4), Column("LOWEST HELD OUT", right=True, droppable=3)),
        *(Column("LR", right=True, droppable=5), Column("TRAINED", right=True, droppable=1)),
    )
    out().table(
        columns,
        [
            [
                *(run.id, run.state.value, format_count(one.step), format_loss(one.loss), best_text(one.best_loss)),
                *(format_loss(one.validation), best_text(one.best_validation)),
                *(format_lr(one.lr), format_duration(one.seconds)),
            ]
            for run, one in zip(summaries, figures, strict=True)
        ],
    )
    if settings.differing:
        out().line()
    for setting in settings.differing:
        out().line(out().paint(setting.name, "bold"))
        width = max(len(text) for text, _ in setting.values)
        for text, ids in setting.values:
            out().line(f"  {text.ljust(width)}  {', '.join(ids)}")
    if len(summaries) - len(settings.watched) > 1:
        err().line(f"{len(settings.differing)} settings differ; {format_count(settings.alike)} are the same.")
    for run_id in settings.watched:
        err().line(f"{clean(run_id)} is another trainer's: it has no profile of ours whose settings could be compared.")
    for run_id in settings.unreadable:
        err().line(f"The profile of {clean(run_id)} cannot be read; it is left out.")
    return EXIT_OK


def _run_named(workspace: Workspace, name: str) -> RunSummary:
    """A run of ours, or one that is watched."""
    from sdxl_tui.fleet.runs import find_run, summarize  # noqa: PLC0415
    from sdxl_tui.fleet.watched.record import WatchedRunError  # noqa: PLC0415

    try:
        return summarize(find_run(workspace, name))
    except WatchedRunError as error:
        return error.run


def compare_checkpoints(arguments: argparse.Namespace) -> int:
    """Everything that differs between two."""
    from sdxl_tui.fleet.comparison import compare  # noqa: PLC0415 - slow

    workspace = workspace_to_read(arguments)
    first, second = arguments.things
    found = compare(_place(first, workspace), _place(second, workspace))
    if arguments.json:
        out().json(_as_json(found))
        return EXIT_OK
    names = (_name(found.first.path), _name(found.second.path))
    rows: list[list[str]] = []
    for section in found.sections:
        rows += [[section.title, difference.name, *found.texts(difference)] for difference in section.differences]
    if rows:
        columns = (Column(""), Column(""), Column(names[0], shortens=True), Column(names[1], shortens=True))
        out().table(columns, [_without_repeats(rows, at) for at in range(len(rows))])
    alike = sum(section.alike for section in found.sections)
    err().line(f"{len(rows)} differences; {format_count(alike)} facts and settings are the same.")
    return EXIT_OK


def _place(named: str, workspace: Workspace) -> Path:
    return user_path(named) if is_foreign(named) else checkpoint_named(named, workspace)


def _without_repeats(rows: list[list[str]], at: int) -> list[str]:
    """A row whose section is named only where it begins."""
    section, *rest = rows[at]
    return ["" if at and rows[at - 1][0] == section else section, *rest]


def _name(folder: Path) -> str:
    run = folder.parent.parent.name
    return f"{run}@{int(folder.name[5:])}" if folder.parent.name == "checkpoints" else folder.name


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "first": str(found.first.path),
        "second": str(found.second.path),
        "sections": [asdict(section) for section in found.sections],
    }
