"""The ways on into a child run: ``continue``, ``reschedule`` and ``extend``. Each prints its plan before anything is made."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from engine.errors import UserError
from sdxl_tui.cli.arguments import (
    WAIT_EXITS,
    Commands,
    add_command,
    add_overrides_option,
    add_wait_option,
    rate_or_factor,
    whole_number,
)
from sdxl_tui.cli.checkpoint_commands import CHECKPOINT_HELP, add_checkpoint_argument, run_of
from sdxl_tui.cli.checkpoint_place import checkpoint_named
from sdxl_tui.cli.file_starts import continue_from_file, is_start, refuse
from sdxl_tui.cli.finishing import add_finish_first_option, finish_first
from sdxl_tui.cli.opening import workspace_to_read
from sdxl_tui.cli.output import err
from sdxl_tui.cli.planned_run import carry_out
from sdxl_tui.cli.queueing import add_queue_options

if TYPE_CHECKING:
    from pathlib import Path

    from engine.checkpoint.describe import CheckpointSummary
    from engine.profile.schema import Profile
    from engine.routes.plan import ChildPlan
    from engine.run.layout import RunDirectory

    Planner = Callable[[CheckpointSummary, Profile, argparse.Namespace], ChildPlan]

HOW = ("hold", "stretch", "constant", "linear", "cosine")
RATE_HELP = "1e-4, or a factor of the rate the checkpoint stands at, x0.5, or of the stored base, 'base x0.5' or 'base'"


def add_commands(commands: Commands) -> None:
    """Declare them."""
    _add_continue(commands)
    _add_reschedule(commands)
    _add_extend(commands)


def _add_continue(commands: Commands) -> None:
    onward = add_command(
        commands,
        "continue",
        _continue,
        summary="train on from a checkpoint's weights, or a LoRA file's, with a new learning rate",
        about="""Start a child run from a checkpoint's weights with a new learning rate. The optimizer and the schedule
        start anew, so the new rate takes effect at once; the parent run stays as it is. With --rank the weights are first
        brought to that rank, by singular value decomposition.

        A training state of sd-scripts, a LoRA file (sd-scripts', ours, diffusers') or a folder of peft's can stand in the
        checkpoint's place. The network is then the file's; all other settings are those of --profile, or what the file's
        ss_ metadata tell; so are schedule, warmup and steps unless options say otherwise. What is not stored is said to be not
        stored. The run gets a copy of the weights.

        Prints what is kept, what is new and by what factor the rate jumps, then the id of the new run.
        With --dry-run nothing is started.""",
        examples=[
            "sdxl-tui continue latest --lr 5e-5 --dry-run",
            "sdxl-tui continue demo@20 --lr 1e-4 --schedule constant --warmup 10 --wait",
            "sdxl-tui continue demo@20 --lr x0.5 --schedule rex --shape min_factor=0.1",
            "sdxl-tui continue demo@20 --lr base --rank 8",
            "sdxl-tui continue latest --lr x0.5 --finish-first",
            "sdxl-tui continue output/last-state --lr x0.5 --profile mine",
            "sdxl-tui continue mine.safetensors --lr 1e-5 --dry-run",
        ],
        exits=WAIT_EXITS,
        json=True,
    )
    add_checkpoint_argument(onward, f"{CHECKPOINT_HELP}; or a state of sd-scripts, a LoRA file, a folder of peft's")
    onward.add_argument(
        "--profile",
        metavar="PROFILE",
        help="of a state or LoRA file: the profile with all other settings, by name or path (default: what its metadata tell)",
    )
    onward.add_argument(
        "--lr", type=rate_or_factor, required=True, metavar="LR", help=f"new base learning rate: {RATE_HELP}"
    )
    _add_schedule_options(onward)
    onward.add_argument("--rank", type=whole_number(1), metavar="N", help="bring the LoRA to this rank first")
    onward.add_argument("--alpha", type=float, metavar="A", help="its alpha then (default: alpha / rank stays)")
    add_finish_first_option(onward)
    _add_common_options(onward)


def _add_reschedule(commands: Commands) -> None:
    reschedule = add_command(
        commands,
        "reschedule",
        lambda arguments: _go_on(arguments, partial(_planned, route="reschedule"), "reschedule"),
        summary="go on with the optimizer's moments under a new learning rate or schedule",
        about="""Start a child run that goes on with everything of a checkpoint but its schedule: weights, the optimizer's
        moments, data position and random state stay, the learning rate follows a new schedule from here. Its steps are
        counted from 0.

        Choose continue instead where the moments of the old rate would be in the way, or to change other settings.""",
        examples=[
            "sdxl-tui reschedule latest --lr x0.5",
            "sdxl-tui reschedule demo@20 --schedule constant --steps 200 --wait",
            "sdxl-tui reschedule demo@20 --lr 1e-4 --warmup 20 --dry-run",
        ],
        exits=WAIT_EXITS,
        json=True,
    )
    add_checkpoint_argument(reschedule)
    reschedule.add_argument(
        "--lr", type=rate_or_factor, metavar="LR", help=f"new base LR (default: the stored one): {RATE_HELP}"
    )
    _add_schedule_options(reschedule)
    add_finish_first_option(reschedule)
    _add_common_options(reschedule)


def _add_extend(commands: Commands) -> None:
    extend = add_command(
        commands,
        "extend",
        lambda arguments: _go_on(arguments, _plan_extension, "extend"),
        summary="train more steps than planned, and say what the rate does in them",
        about="""Start a child run that goes on exactly from a checkpoint and trains more steps than were planned. The steps
        that were left are trained as planned, to the bit. What the learning rate does in the added ones is to be said:

        hold keeps the curve's last rate; constant, linear and cosine begin at --lr (default: the curve's last rate) and the
        latter two fall to --end-lr (default: 0); stretch lays the whole curve over all steps, which moves the rate at once.""",
        examples=[
            "sdxl-tui extend latest --steps 500 --then hold",
            "sdxl-tui extend demo@20 --steps 200 --then linear --lr base",
            "sdxl-tui extend demo@20 --steps 200 --then stretch --dry-run",
        ],
        exits=WAIT_EXITS,
        json=True,
    )
    add_checkpoint_argument(extend)
    extend.add_argument("--steps", type=whole_number(1), required=True, metavar="N", help="how many more than planned")
    extend.add_argument("--then", choices=HOW, required=True, help="what the learning rate does in them")
    extend.add_argument("--lr", type=rate_or_factor, metavar="LR", help=f"where the added part begins: {RATE_HELP}")
    extend.add_argument("--end-lr", metavar="LR", help="where a falling one ends (default: 0)")
    _add_common_options(extend)


def _add_schedule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group-lr",
        action="append",
        default=[],
        metavar="GROUP=LR",
        help="base rate of one group, such as text_encoder_1=5e-5; may be given several times (default: its ratio to the "
        "first group stays)",
    )
    parser.add_argument(
        "--schedule",
        metavar="KIND",
        help="kind of schedule, such as constant, cosine or rex: schedule.kind of docs/profile-reference.md "
        "(default: the checkpoint's)",
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what shapes the schedule, such as cycles=3 or min_factor=0.1: another field of the profile's [schedule]; "
        "may be given several times (default: the checkpoint's)",
    )
    parser.add_argument(
        "--warmup", type=whole_number(0), metavar="N", help="steps in which the rate rises from 0 (default: 0)"
    )
    parser.add_argument(
        "--steps",
        type=whole_number(1),
        metavar="N",
        help="steps to train (default: those that were left, or all again)",
    )


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    add_overrides_option(
        parser, "change another field for the child, such as samples.every_steps=50; may be given several times"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would happen and start nothing")
    add_queue_options(parser)
    add_wait_option(parser)


def _continue(arguments: argparse.Namespace) -> int:
    if is_start(arguments.checkpoint):
        return continue_from_file(arguments)
    if arguments.profile is not None:
        hint = "Change single fields with --set; a LoRA file or state takes a profile."
        raise UserError("a checkpoint brings its run's own profile", where="--profile", hint=hint)
    return _go_on(arguments, partial(_planned, route="continue"), "continue")


def _go_on(arguments: argparse.Namespace, planner: Planner, route: str) -> int:
    from engine.checkpoint.describe import describe  # noqa: PLC0415
    from engine.profile.load import read_snapshot  # noqa: PLC0415
    from sdxl_tui.cli.plan_text import print_left_out, print_plan  # noqa: PLC0415
    from sdxl_tui.fleet.children import inheritance, make_child  # noqa: PLC0415
    from sdxl_tui.fleet.edits import edits_left_out  # noqa: PLC0415

    workspace = workspace_to_read(arguments)
    refuse(arguments.checkpoint, route)
    folder = checkpoint_named(arguments.checkpoint, workspace)
    if getattr(arguments, "finish_first", False):
        return finish_first(arguments, workspace, folder, planner)
    summary = describe(folder)
    run = run_that_holds(folder)
    plan = planner(summary, read_snapshot(run.latest_profile), arguments)
    left = edits_left_out(run, folder, (plan,))
    if not arguments.json:
        print_plan(err(), plan)
        print_left_out(err(), left, plan)
    return carry_out(
        arguments,
        workspace,
        plan,
        left=left,
        given=partial(inheritance, plan),
        make=lambda told: make_child(workspace, plan, told=told),
    )


def run_that_holds(folder: Path) -> RunDirectory:
    """The run around a checkpoint. Raises ``UserError`` for one that lies elsewhere."""
    run = run_of(folder)
    if run is None:
        hint = "This needs the run's folder around the checkpoint; inspect and verify do without it."
        raise UserError("the checkpoint does not lie in a run", where=str(folder), hint=hint)
    return run


def _planned(summary: CheckpointSummary, parent: Profile, arguments: argparse.Namespace, *, route: str) -> ChildPlan:
    from engine.routes.child import read_shape  # noqa: PLC0415
    from engine.routes.continuing import plan_continuation  # noqa: PLC0415
    from engine.routes.route import Route  # noqa: PLC0415

    return plan_continuation(
        summary,
        parent,
        lr=rate_of(arguments.lr, summary),
        group_lrs=dict(group_rate(text, summary) for text in arguments.group_lr),
        kind=arguments.schedule,
        warmup_steps=arguments.warmup,
        steps=arguments.steps,
        shape=read_shape(arguments.shape),
        rank=getattr(arguments, "rank", None),
        alpha=getattr(arguments, "alpha", None),
        route=Route(route),
        overrides=arguments.overrides,
    )


def _plan_extension(summary: CheckpointSummary, parent: Profile, arguments: argparse.Namespace) -> ChildPlan:
    from engine.routes.extending import Extension, plan_extension  # noqa: PLC0415

    return plan_extension(
        summary,
        parent,
        steps=arguments.steps,
        how=Extension(arguments.then),
        lr=rate_of(arguments.lr, summary),
        end_lr=0.0 if arguments.end_lr in {"0", "0.0"} else rate_of(arguments.end_lr, summary, "--end-lr"),
        overrides=arguments.overrides,
    )


def rate_of(
    text: str | None, summary: CheckpointSummary, option: str = "--lr", group: str | None = None
) -> float | None:
    """The rate that an option means; None without one. Raises ``UserError``."""
    from engine.routes.plan import stands_at  # noqa: PLC0415
    from engine.routes.rates import read_rate  # noqa: PLC0415

    if text is None:
        return None
    try:
        return read_rate(text, current=stands_at(summary, group), base=base_lr_of(summary, group))
    except ValueError as error:
        raise UserError(str(error), where=option) from None


def base_lr_of(summary: CheckpointSummary, group: str | None) -> float:
    """The stored base rate of a group, by default the first."""
    return next((one.base_lr for one in summary.groups if one.name == group), summary.groups[0].base_lr)


def group_rate(text: str, summary: CheckpointSummary) -> tuple[str, float]:
    """``GROUP=LR`` as the group and its rate. Raises ``UserError``."""
    name, equals, written = (part.strip() for part in text.partition("="))
    groups = ", ".join(group.name for group in summary.groups)
    if not equals:
        raise UserError(f"{text!r} is not written as GROUP=LR", where="--group-lr", hint=f"The groups are {groups}.")
    rate = rate_of(written, summary, "--group-lr", name)
    assert rate is not None
    return name, rate
