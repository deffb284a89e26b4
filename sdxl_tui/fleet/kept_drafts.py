"""Unsaved text of profiles, kept in the workspace so that a crash of the app or a lost connection costs none of it.

Each editor keeps one file, and beside it a lock for as long as it lives: what nobody holds was left behind by one that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from engine.durable import write_json_atomically
from engine.run.lock import LockState, lock_state


@dataclass(frozen=True)
class KeptDraft:
    """What an editor left behind."""

    file: Path
    text: str
    kept: float
    """Unix seconds."""

    def remove(self) -> None:
        """It was taken up or is not wanted."""
        self.file.unlink(missing_ok=True)
        _lock_of(self.file).unlink(missing_ok=True)


def left_behind(folder: Path, profile: Path) -> list[KeptDraft]:
    """Drafts of ``profile`` whose editors are gone, the newest first; what cannot be read is left out."""
    found = []
    for file in _files(folder, profile):
        if lock_state(_lock_of(file)) is LockState.HELD:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(file.read_text(encoding="utf-8"))
            found.append(KeptDraft(file, str(said["text"]), float(said["kept"])))
    return sorted(found, key=lambda draft: draft.kept, reverse=True)


def is_edited_elsewhere(folder: Path, profile: Path) -> bool:
    """Another editor that is alive has unsaved changes to ``profile``; asked before this one keeps any."""
    return any(lock_state(_lock_of(file)) is LockState.HELD for file in _files(folder, profile))


class DraftKeeper:
    """Keeps the unsaved text of one editor. ``want`` costs nothing; ``write`` is for a thread."""

    def __init__(self, folder: Path, profile: Path) -> None:
        self._profile = profile
        self._file = folder / f"{_digest(profile)}-{secrets.token_hex(4)}.json"
        self._wanted: str | None = None
        self._written: str | None = None
        self._held: int | None = None
        self._turn = threading.Lock()

    def want(self, text: str | None) -> bool:
        """What is to be kept, None: nothing. Whether there is anything to write."""
        self._wanted = text
        return text != self._written

    def write(self) -> None:
        """Make the disk hold what is wanted; synced. Raises ``OSError``."""
        with self._turn:
            while (wanted := self._wanted) != self._written:  # it may be another by the time one is written
                if wanted is None:
                    self._file.unlink(missing_ok=True)
                    self._let_go()
                else:
                    self._hold()
                    record = {"profile": str(self._profile.absolute()), "kept": time.time(), "text": wanted}
                    write_json_atomically(self._file, record)
                self._written = wanted

    def forget(self) -> None:
        """Nothing is to be kept any more. Raises ``OSError``."""
        self.want(None)
        self.write()

    def _hold(self) -> None:
        if self._held is not None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._held = os.open(_lock_of(self._file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # a file system without flock: the draft is kept all the same
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(self) -> None:
        if self._held is not None:
            _lock_of(self._file).unlink(missing_ok=True)
            os.close(self._held)
            self._held = None


def _digest(profile: Path) -> str:
    return hashlib.sha256(os.fsencode(profile.absolute())).hexdigest()[:16]


def _files(folder: Path, profile: Path) -> list[Path]:
    return list(folder.glob(f"{_digest(profile)}-*.json")) if folder.is_dir() else []


def _lock_of(file: Path) -> Path:
    return file.with_suffix(".lock")
