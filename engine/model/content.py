"""What identifies a base and its parts by content: digests over configurations, weights and vocabularies. Torch-free.

Whoever loads a base keys its caches and checkpoints by these; whoever only wants to know whether two paths name the same
base asks ``content_of``. At most a few megabytes of each part are read (see ``fingerprint``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.demo import locate
from engine.model.architecture import has_bundled_vocabulary
from engine.model.base_check import NETWORKS, TOKENIZERS, find_weights, read_configs
from engine.model.clip_vocabulary import clip_tokenizers_key
from engine.model.errors import ModelError
from engine.model.fingerprint import fingerprint, fingerprint_tensors
from engine.model.hub_id import base_in, cached_snapshot, hub_cache, parse_hub_id, vae_in
from engine.model.original_layout import TEXT_1, TEXT_2, UNET, VAE
from engine.model.single_file import SingleFile, read_single_file
from engine.model.vae_file import VaeFile, read_vae


def content_of(reference: str, vae: str | None = None) -> str:
    """The digest that a checkpoint stores of the base that ``model.base`` and ``model.vae`` name.

    Nothing is fetched. Raises ``ModelError`` if there is no such base on this machine, or if it is not SDXL.
    """
    path = _located(reference, "model.base", base_in)
    separate = None if vae is None else vae_key(read_vae(_located(vae, "model.vae", vae_in)))
    if path.is_file():
        file = read_single_file(path, needs_vae=separate is None)
        return file_digest(file, file_text_key(file), separate or file_vae_key(file))
    read_configs(path)
    return folder_digest(path, separate)


def vae_key(file: VaeFile) -> str:
    """Identifies a separate VAE: its configuration and weights, not the file."""
    content = fingerprint_tensors(file.header, file.names)
    return hashlib.sha256(f"{json.dumps(file.config, sort_keys=True)} {content}".encode()).hexdigest()


def folder_key(folder: Path, parts: Iterable[str]) -> str:
    """Identifies parts of a diffusers folder, such as ``unet`` or ``tokenizer``."""
    files: list[Path] = []
    for part in parts:
        if part in NETWORKS:
            files += [folder / part / "config.json", *find_weights(folder, part).files]
        else:
            files += (file for file in (folder / part).iterdir() if file.is_file())
    return fingerprint(files, relative_to=folder)


def folder_digest(folder: Path, separate_vae: str | None) -> str:
    """Identifies the base in a diffusers folder, noise schedule included. separate_vae: the key of one beside its own."""
    own = folder_key(folder, [*NETWORKS, *TOKENIZERS, "scheduler"])
    return own if separate_vae is None else hashlib.sha256(f"{own} {separate_vae}".encode()).hexdigest()


def file_vae_key(file: SingleFile) -> str:
    """Identifies a single file's own VAE. The same in every file that holds the same VAE."""
    return _digest(file.configs.vae, _part(file, VAE))


def file_text_key(file: SingleFile) -> str:
    """Identifies both text encoders and tokenizers of a single file: configurations, weights and vocabulary."""
    bundled = has_bundled_vocabulary(file.configs.text_encoder)
    vocabulary = folder_key(locate("bundled:demo-base"), TOKENIZERS) if bundled else clip_tokenizers_key()
    configs = (file.configs.text_encoder, file.configs.text_encoder_2)
    return _digest(*configs, _part(file, TEXT_1), _part(file, TEXT_2), vocabulary)


def file_digest(file: SingleFile, text: str, vae: str) -> str:
    """Identifies the base in a single file from the keys of its text encoders and of the VAE used with it."""
    unet = _digest(file.configs.unet, file.configs.scheduler, _part(file, UNET))
    return _digest(unet, text, vae)


def _located(reference: str, setting: str, within: Callable[[Path], Path | None]) -> Path:
    """Where it lies: a path, or what has been fetched of a hub id."""
    path, hub_id = locate(reference), parse_hub_id(reference)
    if hub_id is not None and not path.exists():
        snapshot = cached_snapshot(hub_id)
        found = within(snapshot) if snapshot is not None else None
        if found is None:
            raise ModelError(
                f"{hub_id} is not on this machine yet, so it cannot be compared with what was trained on",
                where=setting,
                hint=f"Fetch it first, into {hub_cache()}, or name a file or folder that is here.",
            )
        return found
    if not path.exists():
        raise ModelError(
            f"there is no such file or folder: {reference}",
            where=setting,
            hint="Name where the model lies now.",
        )
    return path


def _part(file: SingleFile, prefix: str) -> str:
    return fingerprint_tensors(file.header, file.parts[prefix])


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
