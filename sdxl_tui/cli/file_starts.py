"""``continue`` from a state of sd-scripts or a LoRA file: prints the plan, then makes and starts a run from its weights."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err
from sdxl_tui.cli.planned_run import carry_out

if TYPE_CHECKING:
    from engine.foreign.starting_point import StartingPoint
    from engine.profile.schema import Profile
    from engine.routes.plan import FilePlan


def is_start(named: str) -> bool:
    """Whether a person who names ``named`` means a foreign state or a LoRA file rather than a checkpoint."""
    from engine.foreign.starting_point import may_be_starting_point  # noqa: PLC0415 - slow

    return may_be_starting_point(named)


def refuse(named: str, command: str) -> None:
    """Raises ``RouteError`` where ``named`` is a state or file, which ``command`` cannot go on with."""
    if is_start(named):
        from engine.routes.starting import refuse_command  # noqa: PLC0415

        raise refuse_command(command, Path(named))


def continue_from_file(arguments: argparse.Namespace) -> int:
    """``sdxl-tui continue FILE``."""
    from engine.foreign.starting_point import read_starting_point  # noqa: PLC0415
    from sdxl_tui.cli.plan_text import print_plan  # noqa: PLC0415
    from sdxl_tui.fleet.file_starts import (  # noqa: PLC0415
        check_start,
        file_inheritance,
        make_from_file,
        profile_named,
    )
    from sdxl_tui.workspace import find_workspace  # noqa: PLC0415

    if arguments.finish_first:
        raise UserError("a state or LoRA file has no run to finish", where="--finish-first", hint="Leave it out.")
    workspace = workspace_to_read(arguments) if arguments.dry_run else find_workspace(_named_workspace(arguments))
    start = read_starting_point(Path(arguments.checkpoint))
    given = None if arguments.profile is None else profile_named(workspace, arguments.profile)
    plan = _planned(start, given, arguments)
    if not arguments.json:
        print_plan(err(), plan)
    for remark in check_start(plan):
        err().paragraph(remark, indent=2)
    return carry_out(
        arguments,
        workspace,
        plan,
        given=partial(file_inheritance, plan),
        make=lambda told: make_from_file(workspace, plan, told=told),
    )


def _named_workspace(arguments: argparse.Namespace) -> str | None:
    return getattr(arguments, "workspace", None)


def _planned(start: StartingPoint, given: Profile | None, arguments: argparse.Namespace) -> FilePlan:
    from engine.routes.child import read_shape  # noqa: PLC0415
    from engine.routes.starting import plan_start  # noqa: PLC0415

    return plan_start(
        start,
        given,
        lr=_rate(start, arguments.lr, "--lr", start.network.groups[0]),
        group_lrs=dict(_group_rate(start, text) for text in arguments.group_lr),
        kind=arguments.schedule,
        warmup_steps=arguments.warmup,
        steps=arguments.steps,
        shape=read_shape(arguments.shape),
        rank=arguments.rank,
        alpha=arguments.alpha,
        overrides=arguments.overrides,
    )


def _rate(start: StartingPoint, text: str, option: str, group: str) -> float:
    from engine.routes.rates import read_rate  # noqa: PLC0415

    stored = start.rates[group]
    try:
        return read_rate(text, current=stored.now, base=stored.base, source=f"the {start.kind}")
    except ValueError as error:
        raise UserError(str(error), where=option) from None


def _group_rate(start: StartingPoint, text: str) -> tuple[str, float]:
    name, equals, written = (part.strip() for part in text.partition("="))
    groups = f"The groups are {', '.join(start.rates)}."
    if not equals:
        raise UserError(f"{text!r} is not written as GROUP=LR", where="--group-lr", hint=groups)
    if name not in start.rates:
        raise UserError(f"there is no group {name!r}", where="--group-lr", hint=groups)
    return name, _rate(start, written, "--group-lr", name)
