"""Finding and describing checkpoints: one, all of a run, the one a resume starts from, the one a person named.

Reads JSON and file sizes only, so that a thousand checkpoints list at once. Loading tensors is left to ``load.py``.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.checkpoint.manifest import MANIFEST, STATE, CheckpointError, find_damage, read_manifest, verify
from engine.checkpoint.summary import (
    WHOLE,
    BrokenCheckpoint,
    CheckpointSummary,
    NetworkFacts,
    RateGroup,
    summarize,
)
from engine.run.layout import CHECKPOINT_NAME, RUN_ID, RunDirectory
from engine.run.records import ProcessRecord, RunRecord, read_json_object
from engine.user_path import user_path

__all__ = [
    "BrokenCheckpoint",
    "CheckpointError",
    "CheckpointSummary",
    "NetworkFacts",
    "RateGroup",
    "describe",
    "list_checkpoints",
    "newest_whole",
    "read_state",
    "resolve_checkpoint",
    "resume_candidates",
    "resume_point",
    "verify",
]

_STATE_LIMIT: Final = 256_000_000
"""Bytes of a state.json: the batch order of a large data set is part of it."""


def describe(folder: Path) -> CheckpointSummary:
    """What the checkpoint in ``folder`` holds. Damage that sizes show is told in ``integrity``.

    Raises ``CheckpointError`` if the folder is not a checkpoint, or its state cannot be read.
    """
    manifest = read_manifest(folder)
    damage = find_damage(folder, manifest, digests=False)
    state = read_json_object(folder / STATE, limit=_STATE_LIMIT)
    if state is None:
        raise CheckpointError(damage or f"its {STATE} is not readable", where=str(folder))
    return summarize(folder, manifest, state, damage or WHOLE)


def read_state(folder: Path) -> dict[str, Any]:
    """A checkpoint's state.json. Raises ``CheckpointError`` if it is not readable."""
    state = read_json_object(folder / STATE, limit=_STATE_LIMIT)
    if state is None:
        raise CheckpointError(f"its {STATE} is not readable", where=str(folder))
    return state


def list_checkpoints(run: RunDirectory) -> list[CheckpointSummary | BrokenCheckpoint]:
    """All checkpoints of a run by step, lowest first; those that cannot be described with the reason."""
    found: list[CheckpointSummary | BrokenCheckpoint] = []
    for folder in run.checkpoint_folders():
        try:
            summary = describe(folder)
        except CheckpointError as error:
            if folder.exists():  # else it was pruned while we looked
                found.append(BrokenCheckpoint(folder, error.what))
            continue
        claimed = BrokenCheckpoint(folder, "").step
        if summary.step == claimed:
            found.append(summary)
        else:
            found.append(BrokenCheckpoint(folder, f"the folder's name says step {claimed}, its state {summary.step}"))
    return found


def resume_candidates(run: RunDirectory) -> list[Path]:
    """The whole checkpoints (by sizes) that a resume may start from, the newest on the latest attempt's lineage first.

    An attempt that was resumed from step S continues the checkpoints up to S of the attempt that wrote S; what that one
    saved beyond S belongs to a branch that was left. Who compares digests takes the first candidate that passes.
    """
    whole = [item for item in list_checkpoints(run) if isinstance(item, CheckpointSummary) and item.is_whole]
    writers = {item.step: item.attempt for item in whole}
    origins = {
        attempt.number: _resumed_from(ProcessRecord.read(attempt.process)) for attempt in run.existing_attempts()
    }
    attempt = max([*origins, *writers.values()], default=0)
    limit: float = math.inf
    candidates: list[CheckpointSummary] = []
    while attempt >= 0:
        own = [item for item in whole if item.attempt == attempt and item.step <= limit]
        candidates += sorted(own, key=lambda item: item.step, reverse=True)
        start = origins.get(attempt)
        if start is not None:
            limit = min(limit, start)
        writer = writers.get(start, attempt - 1) if start is not None else attempt - 1
        attempt = min(writer, attempt - 1)
    return [item.folder for item in candidates]


def resume_point(run: RunDirectory) -> Path | None:
    """The checkpoint that a resume of ``run`` starts from: the first of ``resume_candidates``; None if there is none."""
    return next(iter(resume_candidates(run)), None)


def newest_whole(run: RunDirectory, *, besides: Path | None = None) -> Path | None:
    """The first of ``resume_candidates`` whose files are what was saved, all bytes compared; None if there is none.

    besides: one that is passed over.
    """
    for folder in resume_candidates(run):
        if folder != besides:
            with contextlib.suppress(CheckpointError):
                verify(folder, digests=True)
                return folder
    return None


def _resumed_from(record: ProcessRecord | None) -> int | None:
    """The step an attempt was resumed from; None for a fresh start and where nothing is known."""
    match = CHECKPOINT_NAME.match(record.resumed_from) if record and record.resumed_from else None
    return int(match.group(1)) if match else None


def resolve_checkpoint(text: str, runs_root: Path) -> Path:
    """The checkpoint folder that a person means by ``text``: a path, ``RUN/step-00000020``, ``RUN@20`` or ``RUN``.

    RUN is a run's id, a beginning of it that fits one run only, ``latest``, or a path to a run folder; alone it stands for
    its resume point. Raises ``CheckpointError`` with the nearest names.
    """
    text = text.strip().rstrip("/")
    try:
        path = Path(text).expanduser()
        if text and path.is_dir() and (CHECKPOINT_NAME.match(path.absolute().name) or (path / MANIFEST).exists()):
            return path.absolute()
    except (OSError, ValueError, RuntimeError):
        raise CheckpointError("is not a path or a run", where=repr(text[:80])) from None
    run_text, separator, step_text = text.partition("@")
    if not separator and (match := re.fullmatch(r"(.+)/(step-\d+)", text)):
        run_text, step_text = match.groups()
    run = _run(run_text, runs_root)
    if step_text and step_text != "latest":
        return _at_step(run, step_text)
    found = resume_point(run)
    if found is None:
        broken = [item for item in list_checkpoints(run) if isinstance(item, BrokenCheckpoint) or not item.is_whole]
        reason = f" that is whole: {len(broken)} are damaged" if broken else " yet"
        raise CheckpointError(f"the run has no checkpoint{reason}", where=run.id)
    return found


def _at_step(run: RunDirectory, text: str) -> Path:
    digits = text.removeprefix("step-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 8):
        raise CheckpointError(f"{text!r} is not a step", where=run.id, hint="Write RUN@20 or RUN/step-00000020.")
    folder = run.checkpoint(int(digits))
    if folder.is_dir():
        return folder
    if folder.is_symlink():
        raise CheckpointError("is a symbolic link that leads to no folder", where=str(folder))
    steps = [BrokenCheckpoint(entry, "").step for entry in run.checkpoint_folders()]
    if not steps:
        raise CheckpointError(f"the run has no checkpoint at step {int(digits)}, nor any other yet", where=run.id)
    near = sorted(sorted(steps, key=lambda step: abs(step - int(digits)))[:5])
    hint = f"{'It has' if len(steps) == len(near) else 'The nearest are'} {', '.join(f'{run.id}@{step}' for step in near)}."
    raise CheckpointError(f"the run has no checkpoint at step {int(digits)}", where=run.id, hint=hint)


def _run(text: str, runs_root: Path) -> RunDirectory:
    path = user_path(text)
    if "/" in text and (path / "run.json").is_file():
        return RunDirectory(path.absolute())
    ids = _run_ids(runs_root)
    if text in ids:
        return RunDirectory(runs_root / text)
    if text == "latest" and ids:
        return max((RunDirectory(runs_root / name) for name in ids), key=_created)
    matches = [name for name in ids if text and name.startswith(text)]
    if len(matches) == 1:
        return RunDirectory(runs_root / matches[0])
    if matches:
        raise CheckpointError(f"{len(matches)} runs begin with {text!r}", where=str(runs_root), hint=_list(matches))
    if "/" in text:
        raise CheckpointError("neither a checkpoint folder nor a run", where=text, hint=_nearest(text, ids))
    raise CheckpointError(f"there is no run {text!r}", where=str(runs_root), hint=_nearest(text, ids))


def _run_ids(runs_root: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in runs_root.iterdir() if RUN_ID.match(entry.name) and entry.is_dir())
    except OSError:
        return []


def _created(run: RunDirectory) -> float:
    record = RunRecord.read(run.record)
    return record.created if record else 0.0


def _nearest(text: str, ids: Sequence[str]) -> str:
    if not ids:
        return "There are no runs here yet."
    wanted = text.rpartition("/")[2] or text
    close = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5) or [name for name in ids if wanted in name][:3]
    return f"Did you mean {' or '.join(close)}?" if close else _list(ids[-3:], "The newest runs are")


def _list(names: Sequence[str], beginning: str = "They are") -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{beginning} {', '.join(names[:5])}{more}."
