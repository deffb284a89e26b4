"""File systems of a test's own, for what only a real one shows: a full disk, a power cut. They need root and loop devices."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(source: str, folder: Path, *options: str) -> Iterator[Path]:
    """``mount OPTIONS SOURCE FOLDER`` for the while; the test is skipped where mounting is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", *options, source, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount on this machine")
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def small_disk(folder: Path, size: str) -> contextlib.AbstractContextManager[Path]:
    """A disk of ``size`` (``2m``) at ``folder``."""
    return mounted("none", folder, "-t", "tmpfs", "-o", f"size={size}")


def disk_image(path: Path, megabytes: int) -> Path:
    """An ext4 file system in a file."""
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("there is no mkfs.ext4 on this machine")
    return path
