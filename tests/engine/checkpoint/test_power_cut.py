"""A power cut, played on an ext4 image: what was said to be saved is there and whole, whatever moment the machine went down at.

A process saves and prunes on the mounted image without a pause. At random moments it is stopped, and the image is copied as
the device has it; what only the page cache held is lost. The copy is mounted, which replays its journal, and looked at.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine.checkpoint.manifest import verify
from engine.run.layout import RunDirectory
from tests.engine.mounts import disk_image, mounted

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from pathlib import Path
import torch
from engine.checkpoint.retention import Retention, prune
from engine.checkpoint.save import CheckpointContent, save_checkpoint
from engine.run.layout import RunDirectory
from tests.engine.checkpoint.checkpoint_files import state_of

run = RunDirectory(Path(sys.argv[1]))
for step in range(1, 100000):
    tensors = {f"layer.{index}": torch.full((64, 256), float(step + index)) for index in range(6)}
    state = state_of(0) | {"step": step}
    content = CheckpointContent(step, tensors, tensors, state, lambda path: path.write_bytes(b"lora" * 999))
    saved = save_checkpoint(run.checkpoint(step), content)
    print(step, flush=True)
    prune(run, Retention(3), latest=saved.folder)
"""
CUTS = 8


def snapshot(image: Path, writer: subprocess.Popen[bytes]) -> bytes | None:
    """The image as the device has it at one moment; None if it changed while it was read."""
    writer.send_signal(signal.SIGSTOP)
    try:
        first = image.read_bytes()
        return first if image.read_bytes() == first else None
    finally:
        writer.send_signal(signal.SIGCONT)


def last_line(path: Path) -> int:
    """The newest step that the writer had said to be saved."""
    lines = path.read_text().split()
    return int(lines[-1]) if lines else 0


def test_every_checkpoint_that_is_visible_after_a_power_cut_is_whole(tmp_path: Path) -> None:
    image, said, chance = disk_image(tmp_path / "disk", 48), tmp_path / "said", random.Random()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with mounted(str(image), tmp_path / "mounted", "-o", "loop") as disk, said.open("wb") as out:
        run = RunDirectory(disk / "runs" / "demo")
        run.path.mkdir(parents=True)
        command = [sys.executable, "-P", "-c", WRITER, str(run.path)]
        writer = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out)
        try:
            deadline = time.monotonic() + 120
            while last_line(said) < 5:
                assert writer.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            cuts = 0
            while cuts < CUTS:
                assert writer.poll() is None and time.monotonic() < deadline
                time.sleep(chance.uniform(0, 0.1))
                before = last_line(said)
                content = snapshot(image, writer)
                if content is not None:
                    look_at(tmp_path / f"cut-{cuts}", content, saved=before)
                    cuts += 1
        finally:
            writer.kill()
            writer.wait()


def look_at(copy: Path, content: bytes, *, saved: int) -> None:
    """The image after the cut, as the machine finds it when it is switched on again."""
    copy.write_bytes(content)
    with mounted(str(copy), copy.with_name(f"{copy.name}-mounted"), "-o", "loop") as disk:
        visible = RunDirectory(disk / "runs" / "demo").checkpoint_folders()
        steps = [int(folder.name[5:]) for folder in visible]
        for folder in visible:
            verify(folder, digests=True)
        assert saved in steps, f"step {saved} was said to be on the disk, there are {steps}"
        assert saved - 1 in steps, "the one before was not to be pruned yet"
    copy.unlink()
