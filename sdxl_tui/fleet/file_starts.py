"""Runs that start from a state of sd-scripts or a LoRA file: checked against base and data, given a copy of the weights, started.

The plan is ``engine.routes.starting``'s. Nothing of the state or file is changed, and it may be deleted once the run is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.checkpoint.manifest import LORA
from engine.errors import UserError
from engine.foreign.fitting import misfit, modules_left_out
from engine.foreign.lora_network import read_lora_network
from engine.profile.load import load_profile
from engine.profile.places import PLACEHOLDER
from engine.profile.preflight import check_inputs
from engine.profile.schema import Profile
from engine.profile.shipped import find_profile
from engine.routes.plan import FilePlan
from engine.routes.route import Route
from engine.run.create import Inheritance, create_run
from engine.run.layout import RunDirectory
from engine.run.records import Origin
from sdxl_tui.fleet.ask_engine import ask_engine
from sdxl_tui.fleet.children import ResizeReport, resize
from sdxl_tui.fleet.launch import start_new
from sdxl_tui.workspace import Workspace


def profile_named(workspace: Workspace, named: str) -> Profile:
    """The profile of the workspace, a shipped one or one at a path. Raises ``ProfileError``."""
    return load_profile(find_profile(named, workspace.profiles)).profile


def unknown_places(profile: Profile) -> dict[str, str]:
    """What of the places that a profile names is a name alone, by field: metadata tell no paths."""
    written = {"model.base": profile.model.base, "model.vae": profile.model.vae}
    for number, source in enumerate(profile.dataset.sources):
        for name in ("path", "mask_folder", "metadata"):
            written[f"dataset.sources[{number}].{name}"] = getattr(source, name)
    return {field: path for field, path in written.items() if path is not None and path.startswith(PLACEHOLDER)}


def check_start(plan: FilePlan) -> tuple[str, ...]:
    """What a person should know of how the file sits on the base, in sentences.

    Raises ``UserError`` where the plan's places are not known or its base is another one than the file was made for, and
    ``ProfileError`` where they rule a launch out.
    """
    start, base = plan.start, plan.profile.model.base
    if unknown := unknown_places(plan.profile):
        listed = ", ".join(f"{field} ({path.removeprefix(PLACEHOLDER)})" for field, path in unknown.items())
        told_by = start.told_by.path if start.told_by else start.path
        raise UserError(
            f"the metadata tell names alone, not where these lie here: {listed}",
            where=str(start.path),
            hint=f"sdxl-tui import {shlex.quote(str(told_by))} writes a profile to fill in; then continue with --profile NAME.",
        )
    check_inputs(plan.profile)
    if reason := misfit(start.network, base):
        raise UserError(
            f"it was made for another base model: {reason}",
            where=str(start.path),
            hint=f"model.base is {base}: name the base it was trained on.",
        )
    left_out = modules_left_out(start.network, base)
    return (
        (f"It lacks {left_out:,} of the modules that are trained with these parts of the base: they start afresh.",)
        if left_out
        else ()
    )


def start_from_file(
    workspace: Workspace, plan: FilePlan, *, told: Callable[[ResizeReport], None] | None = None
) -> RunDirectory:
    """Start the run of ``plan``; returns once it runs. Arguments and errors are those of ``make_from_file``."""
    return start_new(make_from_file(workspace, plan, told=told))


def make_from_file(
    workspace: Workspace, plan: FilePlan, *, told: Callable[[ResizeReport], None] | None = None
) -> RunDirectory:
    """The run of ``plan``, not started. told: hears what a resize has kept.

    Raises ``UserError`` as ``check_start`` and as a launch do, and where the file is another one by now; nothing is left behind
    then.
    """
    check_start(plan)
    start = plan.start
    workspace.create()
    with file_inheritance(plan, told) as inherits:
        digest = _digest(start.weights)
        if read_lora_network(start.weights) != start.network:
            raise UserError("it has changed since it was looked at", where=str(start.weights), hint="Try again.")
        origin = Origin(str(start.path), start.kind.value, plan.route.value, start.step, digest)
        return create_run(workspace.runs, plan.profile, source=None, origin=origin, inherits=inherits)


@contextlib.contextmanager
def file_inheritance(plan: FilePlan, told: Callable[[ResizeReport], None] | None = None) -> Iterator[Inheritance]:
    """What the run is given: the file, or for the while a copy at another rank or in sd-scripts' format. That takes seconds."""
    weights = plan.start.weights
    if plan.route is not Route.RESIZE and plan.start.network.is_sd_scripts:
        yield Inheritance(lora=weights)
        return
    with tempfile.TemporaryDirectory(prefix="sdxl-tui-") as scratch:
        made = Path(scratch) / LORA
        if plan.route is Route.RESIZE:
            report = resize(weights, plan.profile, made)
            if told is not None:
                told(report)
        else:
            ask_engine("export-lora", str(weights), "--output", str(made), "--format", "sd-scripts", "--dtype", "fp32")
        yield Inheritance(lora=made)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None for a folder."""
    if path.is_dir():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
