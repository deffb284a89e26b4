"""The engine's commands on LoRA files: another rank, another format. Each reads a file, writes another and reports in JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from engine.errors import UserError
from engine.model.lora_file import write_lora
from engine.model.lora_read import LoraFile, read_lora
from engine.model.peft_file import write_diffusers, write_peft
from engine.model.resize import Wanted, resize, resized_metadata

DTYPES: Final = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SD_SCRIPTS, DIFFUSERS, PEFT = "sd-scripts", "diffusers", "peft"


def resize_file(arguments: argparse.Namespace) -> int:
    """``python -m engine resize``: write the LoRA at another rank and print what was kept of each module."""
    wanted = Wanted(
        rank=arguments.rank,
        conv_rank=arguments.conv_rank,
        keep=arguments.keep,
        keep_frobenius=arguments.keep_frobenius,
        keep_ratio=arguments.keep_ratio,
        alpha=arguments.alpha,
        to_lora=arguments.to_lora,
    )
    if problem := wanted.problem():
        raise UserError(problem, hint="Give --rank N, or one of --keep, --keep-frobenius, --keep-ratio.")
    _require_free(arguments.output, overwrite=arguments.overwrite)
    read = read_lora(arguments.file)
    dtype = _dtype(arguments.dtype, read)
    with _named(arguments.file):
        weights, kept = resize(read.weights, wanted)
    with _named(arguments.output):
        write_lora(
            arguments.output,
            weights,
            names=read.names,
            metadata=resized_metadata(read.metadata, weights),
            dtype=dtype,
        )
    _report(arguments.output, {"modules": [module.to_json() for module in kept]})
    return 0


def export_file(arguments: argparse.Namespace) -> int:
    """``python -m engine export-lora``: write the LoRA in another program's format."""
    _require_free(arguments.output, overwrite=arguments.overwrite)
    read = read_lora(arguments.file)
    dtype = _dtype(arguments.dtype, read)
    metadata = {name: value for name, value in read.metadata.items() if not name.startswith("sshs_")}
    with _named(arguments.output):
        if arguments.format == SD_SCRIPTS:
            write_lora(arguments.output, read.weights, names=read.names, metadata=metadata, dtype=dtype)
        else:
            write = write_diffusers if arguments.format == DIFFUSERS else write_peft
            write(arguments.output, read.weights, metadata=metadata, dtype=dtype)
    _report(arguments.output, {"format": arguments.format, "modules": len(read.weights)})
    return 0


def _dtype(asked: str | None, read: LoraFile) -> torch.dtype:
    """What was asked for, else what most of the file is in."""
    if asked is not None:
        return DTYPES[asked]
    found = [tensor.dtype for own in read.weights.values() for tensor in own.tensors.values()]
    most = max(set(found), key=found.count)
    return most if most in DTYPES.values() else torch.float32


def _require_free(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise UserError("there is something of that name", where=str(path), hint="Name another, or add --overwrite.")
    if not path.absolute().parent.is_dir():
        raise UserError("there is no such folder", where=str(path.absolute().parent))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have errors that do not say where name ``path``."""
    try:
        yield
    except UserError as error:
        error.where = error.where or str(path)
        raise
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}", where=str(path)) from error


def _report(output: Path, facts: dict[str, Any]) -> None:
    files = [output] if output.is_file() else sorted(file for file in output.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    print(json.dumps({"output": str(output), "bytes": size, **facts}))
