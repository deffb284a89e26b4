"""What sd-scripts itself does at ``--resume`` with a setting that was changed since the state was saved.

Measured with its ``sdxl_train_network.py`` (0.10): its answer depends on whether the schedule is one of its own (a lambda, whose
shape is made anew from the arguments) or one of torch's (which restores all its parameters).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.foreign.scheduler_state import LAMBDA
from engine.foreign.sd_scripts_state import SdScriptsState


@dataclass(frozen=True)
class Answer:
    """What becomes of one changed argument."""

    argument: str
    happens: str
    """``ignored``, ``applied``, ``jumps`` or ``fails``."""
    sentence: str


def answers(state: SdScriptsState) -> tuple[Answer, ...]:
    """For each argument that people change: what sd-scripts does with a new value when it resumes from ``state``."""
    base = _rate(state.scheduler.base_lrs[0] if state.scheduler and state.scheduler.base_lrs else _first(state, "base"))
    now = _rate(_first(state, "now"))
    keeps = f"the stored base LR {base} goes on, and no message says so"
    found = [Answer("--learning_rate, --unet_lr, --text_encoder_lr", "ignored", keeps)]
    if state.scheduler is not None and state.scheduler.kind not in (None, LAMBDA):
        stored = state.scheduler.kind
        found += [
            Answer("--lr_scheduler_args", "ignored", f"{stored} restores all its parameters"),
            Answer("--max_train_steps", "ignored", f"{stored} goes on past its end: a cosine rises again"),
            Answer("--lr_scheduler (one of its own)", "fails", "another scheduler's state does not load: a traceback"),
        ]
    elif state.scheduler is not None:
        once = f"one step at {now}"
        found += [
            Answer(
                "--lr_scheduler", "jumps", f"{once}, then the new curve at the stored position, on the base LR {base}"
            ),
            Answer("--lr_warmup_steps", "jumps", f"{once}, then the new warmup's curve at the stored position"),
            Answer("--max_train_steps", "jumps", f"{once}, then the stretched curve; a finished run starts with LR 0"),
            Answer("--lr_scheduler_type (torch's)", "fails", "another scheduler's state does not load: a traceback"),
        ]
    else:
        found.append(Answer("--lr_scheduler, --lr_warmup_steps", "ignored", "there is no scheduler in this state"))
    found += [
        Answer(
            "--optimizer_args (weight decay, betas, eps)", "ignored", "the stored values are restored without a word"
        ),
        Answer(
            "--optimizer_type",
            "jumps",
            "some take over foreign moments silently (AdamW to Lion), some end in a traceback",
        ),
        Answer("--network_dim, --network_alpha, trained parts", "fails", "shapes or groups differ: a traceback"),
    ]
    return tuple(found)


def _first(state: SdScriptsState, which: str) -> float | None:
    if not state.groups:
        return None
    group = state.groups[0]
    return group.base_lr if which == "base" else group.lr


def _rate(rate: float | None) -> str:
    if rate is None:
        return "(not stored)"
    mantissa, _, power = f"{rate:.2e}".partition("e")
    return f"{mantissa}e{int(power)}" if rate else "0"
