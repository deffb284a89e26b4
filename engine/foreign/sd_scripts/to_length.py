"""Steps from epochs, and how often to save, sample and measure: in epochs, as sd-scripts counts, they need the images counted."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_number, as_text, as_whole

_UNCOUNTED: Final = "the images cannot be counted here"
_DIVISORS: Final = ("training.gradient_accumulation", "launch.processes")
_PER_EPOCH: Final = "one epoch is images × repeats / (batch_size × gradient_accumulation) steps"


def steps_per_epoch(t: Translation) -> int | None:
    """Optimizer steps of one epoch, as sd-scripts counts them; None where the images are not here."""
    accumulation, processes = (max(1, int(t.values.get(path, 1))) for path in _DIVISORS)
    if t.given.batches_per_epoch is not None:
        return max(1, ceil(t.given.batches_per_epoch / processes / accumulation))
    if not t.images_per_epoch:
        return None
    batches = ceil(t.images_per_epoch / max(1, int(t.values.get("training.batch_size", 1))))
    return max(1, ceil(batches / processes / accumulation))


def translate_steps(t: Translation) -> int | None:
    """``training.steps``; returns them where they are known."""
    given, epochs = t.entry("max_train_steps"), t.entry("max_train_epochs")
    steps = t.read(given, as_whole, 0) if given is not None else 0
    if steps > 0 and t.given.is_gui and epochs is not None and not t.read(epochs, as_whole, 0):
        epochs = None
    if epochs is None and t.given.is_gui and steps <= 0:
        epochs = t.entry("epoch")  # the GUI makes steps of it
    count = t.read(epochs, as_whole, 0) if epochs is not None else 0
    if epochs is not None and count > 0:
        return _from_epochs(t, epochs, count, given, steps)
    if given is not None and steps > 0:
        t.put("training.steps", steps, given)
        return steps
    return 1600 if t.takes_defaults else None


def _from_epochs(t: Translation, epochs: Entry, count: int, given: Entry | None, steps: int) -> int | None:
    each = steps_per_epoch(t)
    if each is not None:
        total = count * each
        t.put("training.steps", total, epochs, note=f"{count} epochs of {each} steps")
        t.comments["training.steps"] = f"{count} epochs of {each} steps"
        if given is not None:
            t.tell(given, Fate.MEANINGLESS, note=f"sd-scripts trains {epochs.name} instead")
        return total
    if given is not None and steps > 0:
        t.put(
            "training.steps",
            steps,
            given,
            note=f"sd-scripts trains {count} epochs instead, but {_UNCOUNTED}",
            warning=True,
        )
    note = f"{_UNCOUNTED}: set training.steps; {_PER_EPOCH}"
    t.tell(epochs, Fate.UNSUPPORTED, note=note)
    t.missing.append(f"{count} epochs cannot be turned into steps: {_UNCOUNTED}. Set training.steps; {_PER_EPOCH}")
    t.comments["training.steps"] = f"to do: {count} × the steps of an epoch"
    t.values["training.steps"] = steps if steps > 0 else 1600
    return steps if steps > 0 else None


def translate_saving(t: Translation, steps: int | None) -> None:
    """``[checkpoints]``: how often, and how many are kept."""
    every = _interval(t, "checkpoints.every_steps", ("save_every_n_steps",), "save_every_n_epochs")
    ratio = t.entry("save_n_epoch_ratio")
    if ratio is not None and every is None:
        parts = t.read(ratio, as_whole, 0)
        if parts > 0 and steps:
            every = max(1, steps // parts)
            t.put("checkpoints.every_steps", every, ratio)
    if (
        every is None
        and t.takes_defaults
        and not t.has_any("save_every_n_steps", "save_every_n_epochs", "save_n_epoch_ratio")
    ):
        t.put_default(
            "checkpoints.every_steps",
            0,
            "save_every_n_steps",
            "only at the end; here also every few minutes",
            there="none",
        )
    _kept(t)


def _kept(t: Translation) -> None:
    for unit, names in (
        ("save_every_n_epochs", ("save_last_n_epochs_state", "save_last_n_epochs")),
        ("save_every_n_steps", ("save_last_n_steps_state", "save_last_n_steps")),
    ):
        interval = max(1, t.read(t.entry(unit), as_whole, 1))
        entries = [entry for name in names if (entry := t.entry(name)) is not None and t.read(entry, as_whole, 0) > 0]
        for entry in entries:
            if entry is not entries[0]:
                t.tell(entry, Fate.MEANINGLESS, note=f"{entries[0].name} counts")
                continue
            if unit == "save_every_n_steps" and t.entry(unit) is None:
                t.tell(entry, Fate.MEANINGLESS, note=f"counts with {unit}")
                continue
            amount = t.read(entry, as_whole, 0)
            kept = ceil(amount / interval) + (unit == "save_every_n_steps")
            note = "counted in checkpoints; a lone one would not be safe" if kept < 2 else "counted in checkpoints"
            t.put("checkpoints.keep_last", max(2, kept), entry, note=note)


def translate_intervals(t: Translation) -> None:
    """How often samples are drawn and held-out images measured."""
    every = _interval(t, "samples.every_steps", ("sample_every_n_steps",), "sample_every_n_epochs")
    if t.values.get("samples.prompts") and every is None and not t.has_any("sample_every_n_epochs"):
        t.values["samples.every_steps"] = 0
    if not t.values.get("samples.prompts"):
        t.values.pop("samples.every_steps", None)
        for name in ("sample_every_n_steps", "sample_every_n_epochs", "sample_sampler"):
            t.amend(t.entry(name), Fate.MEANINGLESS, "there are no prompts to draw")
    _interval(t, "validation.every_steps", ("validate_every_n_steps",), "validate_every_n_epochs")


def _interval(t: Translation, path: str, in_steps: Sequence[str], in_epochs: str) -> int | None:
    """Sets a number of steps; the option in epochs goes before, as in sd-scripts' samples."""
    epochs = t.entry(in_epochs)
    count = t.read(epochs, as_number, 0.0)
    each = steps_per_epoch(t)
    steps = next((entry for name in in_steps if (entry := t.entry(name)) is not None), None)
    amount = t.read(steps, as_whole, 0)
    if steps is not None and amount > 0:
        t.put(path, amount, steps)
        if epochs is not None and count > 0:
            t.tell(epochs, Fate.UNSUPPORTED, note=f"beside {steps.name}: one interval is kept", warning=True)
        return amount
    if epochs is None or count <= 0:
        return None
    if each is None:
        t.tell(epochs, Fate.UNSUPPORTED, note=f"{_UNCOUNTED}: set {path}; {_PER_EPOCH}", warning=True)
        return None
    value = max(1, round(count * each))
    t.put(path, value, epochs, note=f"{as_text(epochs.value)} × {each} steps")
    return value
