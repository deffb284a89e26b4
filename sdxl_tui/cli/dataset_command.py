"""The command ``dataset``: what a profile's images and captions come to, looked at by the engine in a process of its own."""

from __future__ import annotations

import argparse
from typing import Any, Final

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, add_overrides_option
from sdxl_tui.cli.output import Column, Printer, out
from sdxl_tui.fleet.ask_engine import ask_engine
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.workspace import find_workspace

COLUMNS: Final = (Column("BUCKET"), Column("IMAGES", right=True), Column("", shortens=True))
BAR: Final = 24
"""Width of the longest bar of a bucket."""
SHOWN: Final = 10
"""Files left out, and remarks, that are printed; --json has them all."""


def add_commands(commands: Commands) -> None:
    """Declare it."""
    dataset = add_command(
        commands,
        "dataset",
        show_dataset,
        summary="say what a profile's images and captions come to",
        about="""Look at the images, captions and masks of a profile as a training would, and say what they come to: images per
        bucket, what is enlarged, left out or there twice, how long the captions are and which are cut, how often
        regularisation images are seen, steps per epoch. Nothing is encoded and no picture decoded: one that is cut short is
        found when it is encoded.

        Counting tokens takes a few seconds, for it needs the base's tokenizers; --no-tokens leaves it out.""",
        examples=["sdxl-tui dataset character", "sdxl-tui dataset ./my.toml --set dataset.resolution=768 --json"],
        json=True,
    )
    dataset.add_argument("profile", metavar="PROFILE", help="file or name of a profile")
    add_overrides_option(dataset)
    dataset.add_argument("--no-tokens", action="store_true", help="do not count the captions' tokens")


def show_dataset(arguments: argparse.Namespace) -> int:
    """``sdxl-tui dataset PROFILE``."""
    from engine.profile.load import load_profile  # noqa: PLC0415
    from engine.profile.preflight import check_inputs  # noqa: PLC0415
    from engine.profile.problems import ProfileError  # noqa: PLC0415
    from engine.profile.shipped import find_profile  # noqa: PLC0415

    path = find_profile(arguments.profile, find_workspace(getattr(arguments, "workspace", None)).profiles)
    loaded = load_profile(path, arguments.overrides)  # what is wrong with it is told with lines and columns
    try:
        check_inputs(loaded.profile, loaded)
    except ProfileError as error:
        of_data = tuple(problem for problem in error.problems if problem.field.startswith("dataset"))
        if of_data:
            raise ProfileError(of_data) from None
    words = [word for override in arguments.overrides for word in ("--set", override)]
    words += ["--no-tokens"] if arguments.no_tokens else []
    report = ask_engine("dataset", str(path.absolute()), *words)
    if arguments.json:
        out().json(report)
    else:
        _print(out(), report)
    return EXIT_OK


def _print(printer: Printer, report: dict[str, Any]) -> None:
    buckets: dict[str, int] = report["buckets"]
    most = max(buckets.values())
    rows = [
        [name.replace("x", " × "), format_count(count), "█" * max(1, round(BAR * count / most))]
        for name, count in buckets.items()
    ]
    printer.table(COLUMNS, rows)
    printer.line()
    steps = f"{report['steps_per_epoch']:g}"
    printer.fields(
        [
            (
                "images",
                f"{format_count(report['images'])}, seen {format_count(report['seen_per_epoch'])} times per epoch",
            ),
            (
                "epoch",
                f"{format_count(report['batches_per_epoch'])} batches, {steps} steps; {report['epochs']:g} epochs in "
                f"{format_count(report['steps'])} steps",
            ),
            ("left out", f"{format_count(report['skipped'])} file{'' if report['skipped'] == 1 else 's'}"),
        ]
    )
    for sentence in report["summary"]:
        printer.line(clean(sentence))
    _print_some(printer, [f"left out: {one['path']}: {one['reason']}" for one in report["skipped_files"]])
    _print_some(printer, [f"{one['where']}: {one['message']}" for one in report["remarks"]])


def _print_some(printer: Printer, sentences: list[str]) -> None:
    for sentence in sentences[:SHOWN]:
        printer.line(f"{printer.paint('note:', 'yellow')} {clean(sentence)}")
    if len(sentences) > SHOWN:
        printer.line(f"and {len(sentences) - SHOWN} more: --json has them all")
