"""Putting a stored state back, exactly, or saying why it does not fit; and naming every setting that will not count.

What a changed setting means at a resume is declared once per field, in the profile's schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from pydantic import ValidationError

from engine.checkpoint.load import StoredCheckpoint
from engine.checkpoint.manifest import CheckpointError
from engine.continuation import effects
from engine.errors import UserError
from engine.profile.schema import Profile
from engine.profile.setting import AtResume
from engine.run.records import as_int
from engine.train import rng
from engine.train.training import Progress, Training, versions

_BY_CONTENT: Final = frozenset({"model.base", "model.vae", "dataset.sources"})
"""Paths that may change as long as what lies there is the same, which digests tell."""


def refuse_changed_settings(stored: StoredCheckpoint, profile: Profile) -> list[str]:
    """Sentences about settings of ``profile`` that the resume will not apply, for warnings.

    Raises ``CheckpointError`` if one was changed that rules an exact resume out.
    """
    try:
        before = Profile.model_validate(stored.part("profile"))
    except ValidationError:
        return ["the profile stored in the checkpoint is not readable here; its settings are not compared"]
    changed = [effect for effect in effects(before, profile) if effect.field not in _BY_CONTENT]
    fixed = [effect for effect in changed if effect.at_resume is AtResume.FIXED]
    if fixed:
        first = fixed[0]
        others = f" (and {', '.join(effect.field for effect in fixed[1:])})" if fixed[1:] else ""
        raise CheckpointError(
            f"{first.field} was {_text(first.stored)} and is now {_text(first.new)}{others}: no exact resume is possible",
            where=str(stored.folder),
            hint="Change it back to resume, or continue from the checkpoint as a new run.",
        )
    return [
        f"{effect.field} = {_text(effect.new)} is not applied: the checkpoint's {_text(effect.stored)} goes on "
        "(continue with a new LR to change it)"
        for effect in changed
        if effect.at_resume is AtResume.RESTORED
    ]


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


def restore(training: Training, stored: StoredCheckpoint) -> list[str]:
    """Put every component of ``training`` into the stored state. Returns what could not be, as sentences for warnings.

    Raises a ``UserError`` naming what does not fit: another base or adapter, another optimizer, other data.
    """
    with _errors_name(stored):
        _require_same_base(training, stored)
        training.adapter.load_state_dict(stored.trainable)
        training.optimizer.restore(stored.part("optimizer"), stored.optimizer)
        training.order.load_state_dict(stored.part("data"))
        training.average.load_state_dict(stored.part("average"))
        training.schedule = stored.summary.schedule
        training.progress = Progress(
            step=stored.summary.step,
            images_seen=stored.summary.images_seen,
            elapsed_seconds=stored.summary.elapsed_seconds,
            loss=stored.summary.loss,
            validated_step=stored.summary.validated_step,
            validation_loss=stored.summary.validation_loss,
        )
        dropped = stored.state.get("dropped")
        if isinstance(dropped, dict):
            training.progress.dropped = as_int(dropped.get("steps")) or 0
            training.progress.dropped_in_a_row = as_int(dropped.get("in_a_row")) or 0
        found = _restore_ema(training, stored)
        if training.compute.scaler is not None:
            training.compute.scaler.load_state_dict(stored.part("grad_scaler"))
        # Last: nothing after this may draw a random number.
        return found + rng.restore(stored.part("rng"), training.noise)


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


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
