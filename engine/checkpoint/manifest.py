"""The manifest that makes a folder a checkpoint: which files it consists of, with sizes and digests.

It is written last. Reading trusts nothing: names must be plain, files regular, sizes right; digests are compared on demand,
since that reads every byte. What the files say is left to ``describe.py`` and ``load.py``.
"""

from __future__ import annotations

import hashlib
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engine.durable import write_json_atomically
from engine.errors import UserError
from engine.run.records import as_float, as_int, read_json_object

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
STATE: Final = "state.json"
LORA: Final = "lora.safetensors"
TRAINABLE: Final = "trainable.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
EMA: Final = "ema.safetensors"
"""Only where an average is kept."""
_PIECE: Final = 8 << 20
"""Bytes that are digested at once: large, since a busy interpreter lets a thread in only now and then."""
REQUIRED: Final = (LORA, TRAINABLE, OPTIMIZER, STATE)


class CheckpointError(UserError):
    """A checkpoint that does not exist, is none, or is damaged."""


@dataclass(frozen=True)
class FileRecord:
    """One file of a checkpoint: size and SHA-256 (hexadecimal)."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``. created: Unix seconds. files: by plain name."""

    step: int
    created: float
    files: dict[str, FileRecord]

    @property
    def bytes(self) -> int:
        """Size of all files together, the manifest left out."""
        return sum(record.bytes for record in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        files = {name: asdict(record) for name, record in sorted(self.files.items())}
        return {"format": FORMAT, "step": self.step, "created": self.created, "files": files}


def write_manifest(folder: Path, step: int) -> Manifest:
    """Record every file in ``folder`` and write ``manifest.json``, synced; the last write of a save.

    Raises ``CheckpointError`` for anything in the folder that is not a regular file: it would not be part of the checkpoint.
    """
    files = {}
    for entry in sorted(folder.iterdir()):
        if entry.name == MANIFEST:
            continue
        if not stat.S_ISREG(entry.lstat().st_mode):
            raise CheckpointError(f"{entry.name} is not a regular file", where=str(folder))
        files[entry.name] = FileRecord(entry.stat().st_size, _sha256(entry))
    manifest = Manifest(step, time.time(), files)
    write_json_atomically(folder / MANIFEST, manifest.to_json())
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the checkpoint in ``folder``. Raises ``CheckpointError`` if the folder is no checkpoint."""
    stored = read_json_object(folder / MANIFEST)
    if stored is None:
        raise _no_manifest(folder)
    version = as_int(stored.get("format"))
    if version is not None and version > FORMAT:
        what = f"it was written by a newer version (manifest format {version}; this one reads {FORMAT})"
        raise CheckpointError(what, where=str(folder), hint="Update sdxl-tui to read it.")
    step, created, files = as_int(stored.get("step")), as_float(stored.get("created")), stored.get("files")
    if version != FORMAT or step is None or step < 0 or created is None or not isinstance(files, dict):
        raise CheckpointError("its manifest.json is not a manifest", where=str(folder))
    manifest = Manifest(step, created, {name: _file_record(folder, name, record) for name, record in files.items()})
    if missing := [name for name in REQUIRED if name not in manifest.files]:
        raise CheckpointError(f"its manifest names no {missing[0]}", where=str(folder))
    return manifest


def verify(folder: Path, digests: bool) -> None:
    """Check that every file of the checkpoint is there, regular and of the recorded size; with ``digests`` also its content.

    Raises ``CheckpointError`` naming the damaged file. Sizes take microseconds; digests read everything, about 1.5 GB/s.
    """
    manifest = read_manifest(folder)
    if damage := find_damage(folder, manifest, digests=digests):
        raise CheckpointError(
            f"the checkpoint is damaged: {damage}", where=str(folder), hint="Use an older checkpoint."
        )


def is_whole(folder: Path) -> bool:
    """Whether every byte is what was saved."""
    try:
        verify(folder, digests=True)
    except CheckpointError:
        return False
    return True


def find_damage(folder: Path, manifest: Manifest, *, digests: bool) -> str | None:
    """What is wrong with the files of a checkpoint, in one line that names the file; None if nothing is."""
    for name, record in manifest.files.items():
        path = folder / name
        try:
            status = path.lstat()
        except OSError:
            return f"{name} is missing"
        if not stat.S_ISREG(status.st_mode):
            return f"{name} is not a regular file"
        if status.st_size != record.bytes:
            return f"{name} has {status.st_size:,} bytes instead of {record.bytes:,}"
        if digests and _sha256(path) != record.sha256:
            return f"{name} has other contents than were saved (SHA-256 differs)"
    return None


def _no_manifest(folder: Path) -> CheckpointError:
    try:
        mode = folder.stat().st_mode
        has_manifest = (folder / MANIFEST).exists()
    except FileNotFoundError:
        what = "a link to nothing" if folder.is_symlink() else "there is no such folder"
        return CheckpointError(what, where=str(folder))
    except OSError as error:
        return CheckpointError(f"it cannot be read: {error.strerror}", where=str(folder))
    if not stat.S_ISDIR(mode):
        return CheckpointError("not a checkpoint: a file, not a folder", where=str(folder))
    if has_manifest:
        return CheckpointError("not a checkpoint: its manifest.json is not readable", where=str(folder))
    return CheckpointError("not a checkpoint: it has no manifest.json", where=str(folder))


def _file_record(folder: Path, name: str, record: object) -> FileRecord:
    if name in {"", ".", "..", MANIFEST} or "/" in name or "\\" in name or "\0" in name:
        raise CheckpointError(f"its manifest names {name!r}, which is no plain file name", where=str(folder))
    if isinstance(record, dict):
        size, digest = as_int(record.get("bytes")), record.get("sha256")
        if size is not None and size >= 0 and isinstance(digest, str) and len(digest) == 64:
            return FileRecord(size, digest)
    raise CheckpointError(f"its manifest has no size and digest for {name!r}", where=str(folder))


def _sha256(path: Path) -> str:
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            digest.update(piece[:size])
    return digest.hexdigest()
