"""Starts a training from the weights of a LoRA file (``network.start_from``); everything else of it is new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.errors import UserError
from engine.model.adapter import Adapter
from engine.model.lora_read import read_lora


def start_from_file(adapter: Adapter, path: Path, names: Mapping[str, str]) -> list[str]:
    """Give ``adapter`` the weights in ``path``; returns what a person should know of it, in sentences.

    names: sd-scripts' name of every module of the base. Raises a ``UserError`` that names the file if it does not fit.
    """
    try:
        missing = adapter.start_from(read_lora(path, names).weights)
    except UserError as error:
        error.where = error.where or str(path)
        raise
    if not missing:
        return []
    return [
        f"{path.name} lacks {len(missing)} of the {adapter.modules_count} modules that are trained, {missing[0]} first: "
        "they start afresh"
    ]
