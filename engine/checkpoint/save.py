"""Writing a checkpoint so that it appears whole or not at all: after a crash, a kill, a power cut or on a full disk.

Everything is written into ``.tmp-…`` in the same folder and synced, the manifest last; one rename makes it visible. What
goes into a checkpoint is decided by ``engine.train``; reading one back is ``load.py``.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoint.manifest import EMA, LORA, OPTIMIZER, STATE, TRAINABLE, write_manifest
from engine.checkpoint.retention import discard, leftover_path
from engine.durable import sync_directory, write_atomically
from engine.errors import UserError


class SaveError(Exception):
    """A checkpoint could not be written, or not be made safe from a power cut. Every earlier one is as it was."""


@dataclass(frozen=True)
class CheckpointContent:
    """All that a checkpoint holds. What is written while training goes on must be copies (``host_copies``)."""

    step: int
    trainable: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    """JSON values; NaN and infinities are refused."""
    write_lora: Callable[[Path], None]
    """Writes ``lora.safetensors`` to the path it is given."""
    ema: Mapping[str, Tensor] | None = None
    """The weights' running average, if one is kept."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that is on the disk and visible."""

    folder: Path
    step: int
    bytes: int
    seconds: float


def host_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of ``tensors`` in the host's memory: all that training has to wait for when it is saved."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def save_checkpoint(
    folder: Path, content: CheckpointContent, *, keep_replaced_as: Path | None = None
) -> SavedCheckpoint:
    """Write ``content`` as the checkpoint ``folder`` (``…/checkpoints/step-NNNNNNNN``); replaces one that is there.

    keep_replaced_as: where the replaced one then lies; None deletes it. Raises ``SaveError`` for whatever the disk refuses.
    """
    began = time.monotonic()
    parent = folder.parent
    beside = parent / f".tmp-{content.step}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        _write_files(beside, content)
        manifest = write_manifest(beside, content.step)
        sync_directory(beside)
        replaced = _put_in_place(beside, folder, keep_replaced_as or leftover_path(folder))
        sync_directory(parent)
    except (OSError, SafetensorError, UserError) as error:
        discard(beside)
        raise SaveError(_reason(error)) from error
    except BaseException:
        discard(beside)
        raise
    if replaced is not None and keep_replaced_as is None:
        discard(replaced)
    return SavedCheckpoint(folder, content.step, manifest.bytes, time.monotonic() - began)


def _write_files(folder: Path, content: CheckpointContent) -> None:
    write_atomically(folder / STATE, _one_line_per_entry(content.state).encode())
    # safetensors makes its files readable by the owner alone, whatever the umask; they get the mode of any new file.
    mode = (folder / STATE).stat().st_mode & 0o777
    save_file(_contiguous(content.trainable), folder / TRAINABLE)
    save_file(_contiguous(content.optimizer), folder / OPTIMIZER)
    content.write_lora(folder / LORA)
    names = [TRAINABLE, OPTIMIZER, LORA]
    if content.ema is not None:
        save_file(_contiguous(content.ema), folder / EMA)
        names.append(EMA)
    for name in names:
        (folder / name).chmod(mode)
        _sync_file(folder / name)


def _one_line_per_entry(state: Mapping[str, Any]) -> str:
    """JSON for the eye: long lists, such as an epoch's batches, stay on one line."""
    entries = (
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}" for key, value in state.items()
    )
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(beside: Path, folder: Path, aside: Path) -> Path | None:
    """Make the checkpoint visible. Returns ``aside`` if one was there before, which is there now; else None.

    Only a checkpoint of another lineage is ever replaced (a resume from before it has come to the same step), so that
    between the two renames the newest one of this lineage is still there.
    """
    try:
        folder.rename(aside)
    except FileNotFoundError:
        beside.rename(folder)
        return None
    try:
        beside.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    return aside


def _reason(error: Exception) -> str:
    """Why it failed, in one line for a person."""
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or text
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk is full ({text})"
        return f"{text} ({Path(error.filename).name})" if isinstance(error.filename, str) else text
    if "No space left" in text:  # safetensors wraps the system's error in its own
        return f"the disk is full ({text})"
    return text
