"""Putting a stored state back, exactly, or saying why it does not fit; and naming every setting that will not count.

What a changed setting means at a resume is declared once per field, in the profile's schema.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import ValidationError

from engine.checkpoint.load import StoredCheckpoint
from engine.checkpoint.manifest import CheckpointError
from engine.errors import UserError
from engine.profile.schema import Profile
from engine.routes.effects import shown
from engine.routes.moved import plan_resume_by_content
from engine.routes.resuming import ResumePlan
from engine.routes.route import Route, RouteError
from engine.run.records import as_int
from engine.train import rng
from engine.train.training import Progress, Training, versions

log = logging.getLogger(__name__)


def settle(
    stored: StoredCheckpoint, profile: Profile, *, route: Route = Route.RESUME, keep_stored: bool = False
) -> tuple[Profile, list[str]]:
    """The profile that is trained from ``stored``, and sentences about each setting that was changed since, for the log.

    keep_stored: whether it was agreed that the checkpoint's values win where a resume restores them. Raises
    ``CheckpointError`` if it was not, or if a setting was changed that rules going on out.
    """
    try:
        before = Profile.model_validate(stored.part("profile"))
    except ValidationError:
        return profile, ["the profile stored in the checkpoint is not readable here; its settings are not compared"]
    with _errors_name(stored):
        plan = plan_resume_by_content(stored.state, before, profile, log.info)
        try:
            if route is not Route.RESUME:
                _require_same_state(plan)
                return profile, []
            return plan.profile(keep_stored=keep_stored), [
                f"{effect.field} = {shown(effect.new)} is not applied: the checkpoint's {shown(effect.stored)} goes on"
                for effect in plan.restored
            ]
        except RouteError as error:
            raise CheckpointError(f"{error.field} {error.what}".strip(), hint=error.hint) from error


def _require_same_state(plan: ResumePlan) -> None:
    """A child that goes on with the state may change what a resume applies, and rates and schedule. Raises ``RouteError``."""
    held = plan.fixed + tuple(one for one in plan.restored if Route.RESCHEDULE not in one.applied_by)
    held = tuple(one for one in held if one.field != "network.start_from")
    if held:
        raise RouteError(
            f"was {shown(held[0].stored)} and is now {shown(held[0].new)}: the stored state does not fit",
            field=held[0].field,
            hint="Continue from the checkpoint: that keeps the weights alone.",
        )


def changed_surroundings(stored: StoredCheckpoint, training: Training) -> list[str]:
    """What differs in machine and libraries, in sentences: the resume goes on, but perhaps not bit for bit."""
    now = versions()
    then = stored.state.get("versions")
    found = [
        f"{name} was {then[name]}, is {now[name]}"
        for name in ("torch", "diffusers", "peft")
        if isinstance(then, Mapping) and name in then and then[name] != now[name]
    ]
    device, threads = stored.state.get("device"), stored.state.get("threads")
    if device != training.compute.label:
        found.append(f"the device was {device}, is {training.compute.label}")
    elif training.compute.device.type == "cpu" and threads != torch.get_num_threads():
        found.append(f"torch had {threads} threads, has {torch.get_num_threads()}")
    return [f"{difference}: the last bits of the results may differ" for difference in found]


def restore(training: Training, stored: StoredCheckpoint, route: Route = Route.RESUME) -> list[str]:
    """Put every component of ``training`` into the stored state. Returns what could not be, as sentences for warnings.

    route: a resume takes the schedule and the base rates that are stored; a child, by any other route that keeps the state,
    those of its profile, and a reschedule counts its steps from 0.

    Raises a ``UserError`` naming what does not fit: another base or adapter, another optimizer, other data.
    """
    with _errors_name(stored):
        _require_same_base(training, stored)
        training.adapter.load_state_dict(stored.trainable)
        planned = training.optimizer.base_lrs
        training.optimizer.restore(stored.part("optimizer"), stored.optimizer)
        training.order.load_state_dict(stored.part("data"))
        training.average.load_state_dict(stored.part("average"))
        if route is Route.RESUME:
            training.schedule = stored.summary.schedule
        else:
            training.optimizer.set_base_lrs(planned)
        if route.keeps_step:
            training.progress = _progress(stored)
        found = _restore_ema(training, stored)
        if training.compute.scaler is not None:
            training.compute.scaler.load_state_dict(stored.part("grad_scaler"))
        # Last: nothing after this may draw a random number.
        return found + rng.restore(stored.part("rng"), training.noise)


def _progress(stored: StoredCheckpoint) -> Progress:
    summary, dropped = stored.summary, stored.state.get("dropped")
    counts = dropped if isinstance(dropped, dict) else {}
    return Progress(
        step=summary.step,
        images_seen=summary.images_seen,
        elapsed_seconds=summary.elapsed_seconds,
        loss=summary.loss,
        validated_step=summary.validated_step,
        validation_loss=summary.validation_loss,
        dropped=as_int(counts.get("steps")) or 0,
        dropped_in_a_row=as_int(counts.get("in_a_row")) or 0,
    )


def _restore_ema(training: Training, stored: StoredCheckpoint) -> list[str]:
    """Go on with the stored average of the weights; without one it begins here, which is said."""
    if training.ema is None:
        return []
    if stored.ema is None:
        training.ema.restart()
        return ["the checkpoint holds no average of the weights (ema.decay): it begins with the checkpoint's weights"]
    training.ema.restore(stored.part("ema"), stored.ema)
    return []


def _require_same_base(training: Training, stored: StoredCheckpoint) -> None:
    base = stored.part("base_model")
    now = {"path": training.profile.model.base, "vae": training.profile.model.vae}
    if base.get("digest") != training.base.digest:
        raise CheckpointError(
            f"it was trained on another base model ({_base_text(base)}) than {_base_text(now)}",
            hint="Set model.base and model.vae to what it was trained on.",
        )


def _base_text(base: Mapping[str, Any]) -> str:
    vae = base.get("vae")
    return f"{base.get('path')} with the VAE {vae}" if vae else str(base.get("path"))


@contextmanager
def _errors_name(stored: StoredCheckpoint) -> Iterator[None]:
    """Have every error that says what does not fit also say which checkpoint."""
    try:
        yield
    except UserError as error:
        if error.where is None:
            error.where = str(stored.folder)
        raise
