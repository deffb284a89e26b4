"""What sd-scripts itself does at ``--resume`` with a setting that was changed since the state was saved.

Measured with its ``sdxl_train_network.py`` (0.10): its answer depends on whether the schedule is one of its own (a lambda, whose
shape is made anew from the arguments) or one of torch's (which restores all its parameters).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.foreign.scheduler_state import LAMBDA
from engine.foreign.sd_scripts_state import SdScriptsState

_NUMBER: Final = re.compile(r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Answer:
    """What becomes of one changed argument."""

    argument: str
    happens: str
    """``ignored``, ``applied``, ``jumps`` or ``fails``."""
    sentence: str


def answers(state: SdScriptsState) -> tuple[Answer, ...]:
    """For each argument that people change: what sd-scripts does with a new value when it resumes from ``state``."""
    bases = state.scheduler.base_lrs if state.scheduler else ()
    base = _rates(bases or (group.base_lr for group in state.groups))
    now = _rates(group.lr for group in state.groups)
    goes_on = f"base {base}" if base else now or "LR (not stored)"
    found = [
        Answer(
            "--learning_rate, --unet_lr, --text_encoder_lr",
            "ignored",
            f"the stored {goes_on} goes on, and no message says so",
        )
    ]
    if state.scheduler is None:
        found.append(Answer("--lr_scheduler, --lr_warmup_steps", "ignored", "there is no scheduler in this state"))
        found.append(Answer("--max_train_steps", "applied", "there is no curve that it would stretch"))
    elif state.scheduler.stores_its_shape:
        stored = state.scheduler.kind or "the stored scheduler"
        found += [
            Answer("--lr_scheduler_args", "ignored", f"{stored} restores all its parameters"),
            _past_its_end(stored),
            Answer("--lr_scheduler (one of its own)", "fails", "another scheduler's state does not load: a traceback"),
        ]
    else:
        once = f"one step at the stored {now}"
        found += [
            Answer("--lr_scheduler", "jumps", f"{once}, then the new curve at the stored position, on {goes_on}"),
            Answer("--lr_warmup_steps", "jumps", f"{once}, then the new warmup's curve at the stored position"),
            Answer(
                "--max_train_steps",
                "jumps",
                f"{once}, then the curve over the new length (a finished run starts with one step at LR 0); "
                "fewer than are done: a traceback",
            ),
            Answer("--lr_scheduler_type (torch's)", "fails", "another scheduler's state does not load: a traceback"),
        ]
    return (
        *found,
        Answer(
            "--optimizer_args (weight decay, betas, eps)", "ignored", "the stored values are restored without a word"
        ),
        Answer(
            "--optimizer_type",
            "jumps",
            "some take over foreign moments silently (AdamW to Lion), some end in a traceback",
        ),
        Answer("--network_dim, --network_alpha, trained parts", "fails", "shapes or groups differ: a traceback"),
    )


def rate_passed_over(state: SdScriptsState) -> str | None:
    """That the LoRA file names other rates than the state was trained on, as after a resume that ignored them; None if not.

    Nothing is said where rates are spread over blocks or by LoRA+, or where the scheduler makes base rates of its own.
    """
    lora, scheduler = state.lora, state.scheduler
    if lora is None or scheduler is None or scheduler.kind not in (LAMBDA, "CosineAnnealingLR"):
        return None
    if re.search(r"loraplus|lr_weight|block_lr|reg_lrs", lora.text("ss_network_args") or ""):
        return None
    texts = (lora.text(name) or "" for name in ("ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr"))
    named = [float(number) for text in texts for number in _NUMBER.findall(text)]
    trained = [group.base_lr for group in state.groups if group.base_lr is not None]
    others = [base for base in trained if not any(math.isclose(base, one, rel_tol=1e-3) for one in named)]
    if not named or not others:
        return None
    return (
        f"the LoRA file names {_rates(named)}, and the state trains on base {_rates(others)}: "
        "at a resume sd-scripts passes over a changed LR without a word"
    )


def _past_its_end(kind: str) -> Answer:
    """What more steps come to where the scheduler's own length is restored."""
    argument = "--max_train_steps"
    match kind:
        case "CosineAnnealingLR":
            return Answer(argument, "ignored", f"{kind} keeps its T_max, and past it the LR rises again")
        case "OneCycleLR":
            return Answer(argument, "fails", f"{kind} keeps its total_steps: a traceback at the first step past them")
    return Answer(argument, "ignored", f"the curve of {kind} keeps its own length and goes on as it does past it")


def _rates(rates: Iterable[float | None]) -> str:
    """``LR 1.00e-4``, or those of all groups that differ; empty where none is stored."""
    known = dict.fromkeys(_rate(rate) for rate in rates if rate is not None)
    return f"LR {' / '.join(known)}" if known else ""


def _rate(rate: float) -> str:
    mantissa, _, power = f"{rate:.2e}".partition("e")
    return f"{mantissa}e{int(power)}" if rate else "0"
