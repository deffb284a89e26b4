"""Names of models on the Hugging Face Hub, and where this machine keeps those it has fetched. Nothing is fetched here.

The layout of the cache is the hub's own (huggingface.co/docs/huggingface_hub/guides/manage-cache), shared with every other
program. Fetching is ``hub.py``'s business.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.user_path import user_path

_PART: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_PATTERN: Final = re.compile(rf"(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]*))?")
_FILES: Final = (".safetensors", ".ckpt", ".pt", ".bin")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_TRUE: Final = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True)
class HubId:
    """A model on the hub: ``owner/name``, at a branch, tag or commit."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def parse_hub_id(text: str) -> HubId | None:
    """The model that ``owner/name`` or ``owner/name@revision`` stands for; None for any other text, a path say."""
    match = _PATTERN.fullmatch(text)
    if match is None or match["repo"].endswith(_FILES):
        return None
    return HubId(match["repo"], match["revision"])


def hub_cache() -> Path:
    """The folder of fetched models, as ``HF_HUB_CACHE``, ``HF_HOME`` or ``XDG_CACHE_HOME`` say."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return user_path(cache)
    if home := os.environ.get("HF_HOME"):
        return user_path(home) / "hub"
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(caches) / "huggingface" / "hub"


def is_offline() -> bool:
    """Whether the environment forbids to fetch anything (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def cached_snapshot(hub_id: HubId) -> Path | None:
    """The folder of what has been fetched of a model; None if nothing has. It may be incomplete."""
    model = hub_cache() / f"models--{hub_id.repo.replace('/', '--')}"
    revision = hub_id.revision or "main"
    if not _COMMIT.fullmatch(revision):
        try:
            revision = (model / "refs" / revision).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
    snapshot = model / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def base_in(snapshot: Path) -> Path | None:
    """The base in a fetched model: the folder itself if it is a pipeline's, or else the one file that lies in it."""
    if (snapshot / "model_index.json").is_file():
        return snapshot
    return only_file_in(snapshot)


def vae_in(snapshot: Path) -> Path:
    """The VAE in a fetched model: the folder itself (its own, or a pipeline's), or else the one file that lies in it."""
    has_config = any((snapshot / name).is_file() for name in ("config.json", "model_index.json"))
    return snapshot if has_config else only_file_in(snapshot) or snapshot


def only_file_in(snapshot: Path) -> Path | None:
    """The one ``.safetensors`` file that lies directly in a fetched model; None if there is not exactly one."""
    files = sorted(snapshot.glob("*.safetensors"))
    return files[0] if len(files) == 1 else None
