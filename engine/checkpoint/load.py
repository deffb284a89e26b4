"""Reading a whole checkpoint back: digests first, then state and tensors. What is done with them is ``engine.train``'s."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.checkpoint.describe import describe, read_state
from engine.checkpoint.manifest import EMA, OPTIMIZER, STATE, TRAINABLE, CheckpointError, read_manifest, verify
from engine.checkpoint.summary import CheckpointSummary


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint whose files are what was saved. Tensors are on the CPU, in the format they were stored in."""

    folder: Path
    summary: CheckpointSummary
    state: dict[str, Any]
    """state.json (docs/files.md)."""
    trainable: dict[str, Tensor]
    """By parameter name."""
    optimizer: dict[str, Tensor]
    """By ``<parameter name>/<slot>``."""
    ema: dict[str, Tensor] | None = None
    """The running average by parameter name; None if none was kept."""

    def part(self, name: str) -> dict[str, Any]:
        """The object ``name`` of state.json. Raises ``CheckpointError`` if it is not there."""
        value = self.state.get(name)
        if not isinstance(value, dict):
            raise CheckpointError(f"its {STATE} has no {name}", where=str(self.folder))
        return value


def load_checkpoint(folder: Path) -> StoredCheckpoint:
    """Everything in the checkpoint ``folder`` that a resume needs.

    Raises ``CheckpointError``, naming the file, if the folder is no checkpoint or anything in it differs from what was
    saved. Reads every byte twice: once for the digests, once for the tensors.
    """
    verify(folder, digests=True)
    summary = describe(folder)
    state = read_state(folder)
    ema = load_tensors(folder / EMA) if EMA in read_manifest(folder).files else None
    return StoredCheckpoint(
        folder, summary, state, load_tensors(folder / TRAINABLE), load_tensors(folder / OPTIMIZER), ema
    )


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises ``CheckpointError`` if it cannot be read as one."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}", where=str(path.parent)) from error
    return tensors
