"""Where everything of a run lies. Pure paths: nothing here touches the disk except to list.

The formats of the files are described in docs/files.md and read and written by the modules beside this one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
CHECKPOINT_NAME = re.compile(r"^step-(\d{8})$")
REPLACED_NAME = re.compile(r"^replaced-step-(\d{8})-(\d+)$")
"""A pinned checkpoint whose step was reached again: (step, the attempt that replaced it)."""


def checkpoint_name(step: int) -> str:
    """The name of the checkpoint taken after ``step`` optimizer steps."""
    return f"step-{step:08d}"


@dataclass(frozen=True)
class AttemptDirectory:
    """``attempts/NNN``: one start of the engine."""

    path: Path

    @property
    def number(self) -> int:
        """1 for the first start, one more per resume."""
        return int(self.path.name)

    @property
    def process(self) -> Path:
        """Who was started: pids with their start times, host, boot."""
        return self.path / "process.json"

    @property
    def exit(self) -> Path:
        """How it ended; blank (preallocated) until then."""
        return self.path / "exit.json"

    @property
    def profile(self) -> Path:
        """The profile of this attempt where it is not the run's: what a resume applied of later edits."""
        return self.path / "profile.toml"

    @property
    def log(self) -> Path:
        """Everything the engine printed."""
        return self.path / "engine.log"


@dataclass(frozen=True)
class RunDirectory:
    """``runs/<run-id>``: all that manager and engine share about one run."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def profile(self) -> Path:
        """The resolved profile this run trains: a snapshot."""
        return self.path / "profile.toml"

    @property
    def record(self) -> Path:
        """``run.json``: identity, parent and origin."""
        return self.path / "run.json"

    @property
    def lock(self) -> Path:
        """Held (flock) by the keeper and the engine for as long as anything of the run is alive."""
        return self.path / "run.lock"

    @property
    def status(self) -> Path:
        """The engine's latest word about itself; replaced as a whole."""
        return self.path / "status.json"

    @property
    def events(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def metrics(self) -> Path:
        """One JSON object per optimizer step."""
        return self.path / "metrics.jsonl"

    @property
    def commands(self) -> Path:
        """Requests to the live engine, one file each."""
        return self.path / "commands"

    @property
    def samples(self) -> Path:
        """Sample pictures, ``step-00000500-00.png``."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint, ``step-00000500``."""
        return self.path / "checkpoints"

    @property
    def pins(self) -> Path:
        """Which checkpoints the user pinned; absent where none ever was."""
        return self.path / "pins.json"

    @property
    def labels(self) -> Path:
        """What its user says of it: tags, a note, that it is put away; absent where nothing ever was."""
        return self.path / "labels.json"

    @property
    def start(self) -> Path:
        """A child run's own copy of what it starts from."""
        return self.path / "start"

    @property
    def start_weights(self) -> Path:
        """A child run's own copy of the LoRA weights it starts from (safetensors, training precision)."""
        return self.start / "trainable.safetensors"

    @property
    def start_lora(self) -> Path:
        """A child run's own LoRA file to start from: its parent's at another rank."""
        return self.start / "lora.safetensors"

    @property
    def start_checkpoint(self) -> Path:
        """A child run's own copy of the whole checkpoint whose state it goes on with."""
        return self.start / "checkpoint"

    @property
    def workspace(self) -> Path:
        """The workspace it belongs to."""
        return self.path.parent.parent

    @property
    def cache(self) -> Path:
        """The workspace's cache of latents and text embeddings, shared between runs."""
        return self.workspace / "cache"

    @property
    def attempts(self) -> Path:
        """One folder per start of the engine."""
        return self.path / "attempts"

    def attempt(self, number: int) -> AttemptDirectory:
        """The folder of start ``number`` (from 1)."""
        return AttemptDirectory(self.attempts / f"{number:03d}")

    def profile_of(self, number: int) -> Path:
        """The profile that start ``number`` trains: its own, else the newest one before it that has one, else the run's."""
        own = (self.attempt(earlier).profile for earlier in range(number, 0, -1))
        return next((path for path in own if path.exists()), self.profile)

    @property
    def latest_profile(self) -> Path:
        """The profile that the newest start trains; before the first one the run's."""
        return self.profile_of(max((attempt.number for attempt in self.existing_attempts()), default=0))

    @property
    def unreadable(self) -> str:
        """Why what the folder holds is hidden from us, in the system's words; empty if it is not, or is not there."""
        try:
            os.close(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            (self.path / ".").stat()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def existing_attempts(self) -> list[AttemptDirectory]:
        """The starts so far, oldest first."""
        if not self.attempts.is_dir():
            return []
        found = [AttemptDirectory(entry) for entry in self.attempts.iterdir() if entry.name.isdecimal()]
        return sorted(found, key=lambda attempt: attempt.number)

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint taken after ``step`` optimizer steps."""
        return self.checkpoints / checkpoint_name(step)

    def checkpoint_folders(self) -> list[Path]:
        """Visible checkpoints by step, lowest first; leftovers and strangers are not among them."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(entry for entry in self.checkpoints.iterdir() if CHECKPOINT_NAME.match(entry.name))
