"""Making a run's folder: built beside, synced, then renamed, so that a run is there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import __version__
from engine.durable import sync_directory, write_atomically, write_json_atomically
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.records import Origin, Parent, RunRecord

if TYPE_CHECKING:
    from engine.profile.schema import Profile


@dataclass(frozen=True)
class Inheritance:
    """What a child run is given of its parent; one of the three."""

    weights: Path | None = None
    """A checkpoint's ``trainable.safetensors``."""
    lora: Path | None = None
    """A LoRA file."""
    checkpoint: Path | None = None
    """A whole checkpoint, whose state goes on."""

    def copies(self, run: RunDirectory) -> list[tuple[Path, Path]]:
        """(source, target) of every file."""
        if self.checkpoint is not None:
            files = sorted(entry for entry in self.checkpoint.iterdir() if entry.is_file())
            return [(file, run.start_checkpoint / file.name) for file in files]
        pairs = ((self.weights, run.start_weights), (self.lora, run.start_lora))
        return [(source, target) for source, target in pairs if source is not None]


BUILD_PREFIX: Final = ".new-"
ABANDONED_SECONDS: Final = 3600.0


def create_run(
    runs_root: Path,
    profile: Profile,
    *,
    source: Path | None,
    parent: Parent | None = None,
    inherits: Inheritance | None = None,
    overrides: Sequence[str] = (),
    origin: Origin | None = None,
    stage: int | None = None,
    extended: Sequence[Path] = (),
) -> RunDirectory:
    """Make the folder of a new run of ``profile`` in ``runs_root``, readable by its owner only.

    source and overrides: the file the profile came from and what changed it, for the record. parent and inherits: for a
    child run, the checkpoint it comes from and what of it to copy; origin: what it comes from if that is no checkpoint of ours.
    stage: which of the source's stages ``profile`` is, from 1; extended: the profiles that the source extends, for the comment
    above the snapshot, which is complete without them. The id is the profile's name and the local time, with a number
    if that is taken. Raises ``RunError`` if the profile has stages, of which a run trains one, or if the folder cannot be
    written; nothing is left behind then.
    """
    if profile.stages:
        count = len(profile.stages)
        raise RunError(f"a run trains one stage, and the profile has {count}", hint="Launch it: each becomes a run.")
    created = time.time()
    build = runs_root / f"{BUILD_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        runs_root.mkdir(parents=True, exist_ok=True)
        _sweep(runs_root, created)
        try:
            _fill(RunDirectory(build), profile, _made_of(source, extended), inherits)
            from_file = None if source is None else str(source.absolute())
            said = tuple(overrides)
            record = RunRecord("", profile.name, created, from_file, __version__, parent, said, origin, stage)
            return _publish(build, record)
        except BaseException:
            shutil.rmtree(build, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(
            f"the run cannot be written: {error.strerror}",
            where=str(error.filename or runs_root),
            hint=f"Check free space and permissions of {runs_root}, or choose another folder with --workspace.",
        ) from error


def _made_of(source: Path | None, extended: Sequence[Path]) -> str:
    """The comment of a snapshot whose source extends others; empty for every other one."""
    if source is None or not extended:
        return ""
    from engine.profile.to_toml import toml_text  # noqa: PLC0415 - pydantic, only where a run is made

    files = [toml_text(str(path.absolute())) for path in (source, *extended)]  # quoted: a name can hold a line break
    extends = "".join(f"#   which extends {file}\n" for file in files[1:])
    return f"# Complete: what these files say later does not change it.\n# Launched from {files[0]}\n{extends}\n"


def _fill(build: RunDirectory, profile: Profile, head: str, inherits: Inheritance | None) -> None:
    from engine.profile.to_toml import profile_to_toml  # noqa: PLC0415 - pydantic, only where a run is made

    build.path.mkdir(mode=0o700)
    build.path.chmod(0o700)  # whatever the umask made of it
    for folder in (build.attempts, build.commands, build.samples, build.checkpoints):
        folder.mkdir(mode=0o700)
    write_atomically(build.profile, f"{head}{profile_to_toml(profile)}".encode(errors="backslashreplace"), mode=0o400)
    if inherits is not None:
        _copy_all(build, inherits)


def _copy_all(build: RunDirectory, inherits: Inheritance) -> None:
    build.start.mkdir(mode=0o700)
    for source, target in inherits.copies(build):
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _copy_durably(source, target)
    sync_directory(build.start)


def give_start(run: RunDirectory, inherits: Inheritance, parent: Parent) -> None:
    """Give a run that was made without it what it starts from; from then on its record names ``parent``.

    The caller holds the run's lock. Nothing half is left at any moment: the record is replaced last. Raises ``RunError``.
    """
    record = RunRecord.read(run.record)
    if record is None:
        raise RunError("run.json is missing or damaged", where=run.id)
    build = RunDirectory(run.path / f"{BUILD_PREFIX}start")
    try:
        for old in (build.path, run.start):
            shutil.rmtree(old, ignore_errors=True)
        build.path.mkdir(mode=0o700)
        _copy_all(build, inherits)
        build.start.rename(run.start)
        build.path.rmdir()
        sync_directory(run.path)
        write_json_atomically(run.record, replace(record, parent=parent).to_json())
    except OSError as error:
        shutil.rmtree(build.path, ignore_errors=True)
        raise RunError(f"what it starts from cannot be copied: {error.strerror}", where=run.id) from error


def _publish(build: Path, record: RunRecord) -> RunDirectory:
    """Give the finished folder its id: a rename that fails where another run has that id already."""
    stem = f"{record.name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(record.created))}"
    number = 1
    while True:
        run = RunDirectory(build.with_name(stem if number == 1 else f"{stem}-{number}"))
        number += 1
        if run.path.exists():
            continue
        write_json_atomically(build / run.record.name, replace(record, id=run.id).to_json())
        try:
            build.rename(run.path)
        except OSError:
            if run.path.exists():
                continue
            raise
        sync_directory(run.path.parent)
        return run


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_directory(target.parent)


def _sweep(runs_root: Path, now: float) -> None:
    """Remove what a launch that was killed an hour ago or earlier left half built."""
    with os.scandir(runs_root) as entries:
        abandoned = [
            Path(entry.path)
            for entry in entries
            if entry.name.startswith(BUILD_PREFIX)
            and now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS
        ]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
