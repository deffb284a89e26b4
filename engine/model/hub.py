"""Fetches a model from the Hugging Face Hub: configurations, vocabularies and safetensors weights, nothing else.

What has been fetched once is used as it is and never looked up again, so that a run can be resumed offline and on the same
weights; another revision is another name (``owner/name@revision``). Of two precisions the half one is taken: it is
half of the gigabytes, and SDXL's own training is no finer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from engine.model.base_check import NETWORKS, TOKENIZERS, read_configs
from engine.model.errors import ModelError
from engine.model.hub_id import HubId, base_in, cached_snapshot, hub_cache, is_offline, vae_in
from engine.model.vae_file import STEM, read_vae

HALF: Final = ".fp16"
_ELSEWHERE: Final = (
    "Fetch it where there is a connection (hf download {id}) and copy the folder here, or name a file or folder that is "
    "here."
)
_HTTP_TROUBLES: Final = ("TransportError", "HTTPError", "RequestException")
"""Of the HTTP libraries that huggingface_hub has been built on."""

Choose = Callable[[Sequence[str]], list[str]]

log = logging.getLogger(__name__)


def hub_base(hub_id: HubId) -> Path:
    """The folder or file of a base, fetched if it is not complete on this machine. Raises ``ModelError`` if it cannot be had."""
    snapshot = cached_snapshot(hub_id)
    if snapshot is not None and _is_complete_base(snapshot):
        return base_in(snapshot) or snapshot
    snapshot = _fetch(hub_id, base_files)
    return base_in(snapshot) or snapshot


def hub_vae(hub_id: HubId) -> Path:
    """The folder or file of a VAE, fetched if it is not on this machine. Raises ``ModelError`` if it cannot be had."""
    snapshot = cached_snapshot(hub_id)
    if snapshot is None or not _is_complete_vae(snapshot):
        snapshot = _fetch(hub_id, vae_files)
    return vae_in(snapshot)


def base_files(files: Sequence[str]) -> list[str]:
    """Of a repository's ``files`` those that make up a base. Raises ``ModelError`` if there is none."""
    if "model_index.json" not in files:
        return [_only_root_file(files)]
    chosen = ["model_index.json", "scheduler/scheduler_config.json"]
    for network, stem in NETWORKS.items():
        chosen += [f"{network}/config.json", *_weights(files, network, stem)]
    chosen += [
        file for file in files if PurePosixPath(file).parent.name in TOKENIZERS and file.endswith((".json", ".txt"))
    ]
    return [file for file in chosen if file in set(files)]


def vae_files(files: Sequence[str]) -> list[str]:
    """Of a repository's ``files`` those that make up a VAE: its own, or else that of a whole pipeline."""
    for folder in ("", "vae"):
        prefix = f"{folder}/" if folder else ""
        weights = _weights(files, folder, STEM)
        if weights and f"{prefix}config.json" in files:
            return [f"{prefix}config.json", *weights]
    return [_only_root_file(files)]


def _weights(files: Sequence[str], folder: str, stem: str) -> list[str]:
    """One precision of a network's weights: one file, or shards and their index."""
    inside = [file for file in files if str(PurePosixPath(file).parent) == (folder or ".")]
    mine = [file for file in inside if PurePosixPath(file).name.startswith(stem)]
    for variant in (HALF, ""):
        fitting = [file for file in mine if _variant(PurePosixPath(file).name, stem) == variant]
        if weights := [file for file in fitting if file.endswith(".safetensors")]:
            return weights + [file for file in fitting if file.endswith(".json") and ".safetensors.index" in file]
    return []


def _variant(name: str, stem: str) -> str:
    """``""`` or ``.fp16``, for the names both libraries give to files, shards and indices; any other variant as it is."""
    rest = name.removeprefix(stem)
    if HALF in rest:
        return HALF
    return "" if rest.startswith(("-", ".safetensors")) else rest


def _only_root_file(files: Sequence[str]) -> str:
    root = [file for file in files if "/" not in file and file.endswith(".safetensors")]
    if len(root) == 1:
        return root[0]
    found = (
        f"several .safetensors files ({', '.join(root[:5])})"
        if root
        else "no model_index.json and no .safetensors file"
    )
    raise ModelError(f"the repository has {found}", hint="Download the one you want and name its path.")


def _is_complete_base(snapshot: Path) -> bool:
    base = base_in(snapshot)
    if base is None or base.is_file():
        return base is not None
    try:
        read_configs(base)
    except ModelError:
        return False
    return True


def _is_complete_vae(snapshot: Path) -> bool:
    try:
        read_vae(vae_in(snapshot))
    except ModelError:
        return False
    return True


def _fetch(hub_id: HubId, choose: Choose) -> Path:
    """Fetch the chosen files of a model, each with a line in the log; the folder they lie in."""
    where = f"Hugging Face model {hub_id}"
    if is_offline():
        raise ModelError(
            f"it is not in {hub_cache()}, and HF_HUB_OFFLINE forbids to fetch it",
            where=where,
            hint=f"Unset HF_HUB_OFFLINE. {_ELSEWHERE.format(id=hub_id.repo)}",
        )
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # noqa: PLC0415

    disable_progress_bars()  # one line per file in the log instead
    try:
        api = HfApi()
        info = api.model_info(hub_id.repo, revision=hub_id.revision, files_metadata=True)
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
        chosen = choose(list(sizes))
        for number, file in enumerate(chosen, start=1):
            log.info("fetching %s of %s (%s), %d of %d", file, hub_id, _size(sizes[file]), number, len(chosen))
            # By the name that was asked for, so that the cache knows it by that name again.
            api.hf_hub_download(hub_id.repo, file, revision=hub_id.revision, cache_dir=hub_cache())
    except ModelError as error:
        raise ModelError(error.what, where=where, hint=error.hint) from error
    except Exception as error:
        explained = _explained(error, hub_id, where)
        if explained is None:
            raise
        raise explained from error
    snapshot = cached_snapshot(hub_id)
    if snapshot is None:
        raise ModelError(f"what was fetched is not in {hub_cache()}", where=where)
    return snapshot


def _explained(error: Exception, hub_id: HubId, where: str) -> ModelError | None:
    """``error`` of the hub's library as one line a person can act on; None if it is no trouble with the hub."""
    from huggingface_hub import errors  # noqa: PLC0415

    kinds: Mapping[type[Exception], tuple[str, str]] = {
        errors.GatedRepoError: (
            "its owner asks for an agreement first",
            f"Accept it on huggingface.co/{hub_id.repo}, and log in here (hf auth login).",
        ),
        errors.RevisionNotFoundError: (
            f"there is no revision {hub_id.revision}",
            "Look at the repository's branches and tags.",
        ),
        errors.RepositoryNotFoundError: (
            "there is no such file or folder here, and no such model on the hub (or it is private)",
            "Check the spelling; for a private model log in (hf auth login).",
        ),
    }
    for kind, (what, hint) in kinds.items():
        if isinstance(error, kind):
            return ModelError(what, where=where, hint=hint)
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return ModelError(
            f"it cannot be stored: {error.strerror}", where=str(error.filename), hint="Make room, or set HF_HOME."
        )
    if isinstance(error, OSError) or any(kind.__name__ in _HTTP_TROUBLES for kind in type(error).__mro__):
        return ModelError(
            f"it is not on this machine and cannot be fetched: {_first_line(error.__cause__ or error)}",
            where=where,
            hint=f"Is this machine online? {_ELSEWHERE.format(id=hub_id.repo)}",
        )
    return None


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
