"""The numbers that lists look for and sort by, the same for our checkpoints and for states and LoRA files of sd-scripts."""

from __future__ import annotations

from dataclasses import dataclass

from engine.checkpoint.describe import CheckpointSummary
from engine.foreign.lora_facts import LoraFacts
from engine.foreign.sd_scripts_state import SdScriptsState


@dataclass(frozen=True)
class StoredFacts:
    """What is stored; None for what is not."""

    saved: float
    """Unix seconds."""
    bytes: int
    step: int | None = None
    loss: float | None = None
    """The mean of the latest steps."""
    held_out: float | None = None
    lr: float | None = None
    """Of the first group, as its row shows it: the last one used, of a state the next one."""
    base_lr: float | None = None
    share_done: float | None = None
    """0 to 1."""
    epoch: int | None = None
    rank: int | None = None


def facts_of(found: CheckpointSummary) -> StoredFacts:
    """Of one of our checkpoints."""
    group = found.groups[0] if found.groups else None
    return StoredFacts(
        saved=found.created,
        bytes=found.bytes,
        step=found.step,
        loss=found.loss_avg,
        held_out=found.validation_loss,
        lr=group.used_lr if group else None,
        base_lr=group.base_lr if group else None,
        share_done=found.share_done,
        epoch=found.epoch,
        rank=found.network.rank,
    )


def facts_of_foreign(found: SdScriptsState | LoraFacts, changed: float) -> StoredFacts:
    """Of a state, and of the LoRA file saved beside it; of a LoRA file what its metadata say.

    changed: when the file or folder last changed, Unix seconds: no time is stored in a state.
    """
    named = found if isinstance(found, LoraFacts) else found.lora
    network = named if isinstance(found, LoraFacts) else named or found.weights
    total = named.count("ss_max_train_steps") if named else None
    if isinstance(found, LoraFacts):
        step, epoch, lr = found.count("ss_steps"), found.count("ss_epoch"), None
        base = found.number("ss_unet_lr") or found.number("ss_learning_rate")
    else:
        group = found.groups[0] if found.groups else None
        step, epoch, lr = found.true_step, found.epoch, group.effective_lr if group else None
        base = group.base_lr if group else None
    return StoredFacts(
        saved=changed,
        bytes=found.bytes,
        step=step,
        lr=lr,
        base_lr=base,
        share_done=min(1.0, step / total) if step is not None and total else None,
        epoch=epoch,
        rank=network.ranks[0] if network and network.ranks else None,
    )
