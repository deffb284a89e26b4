"""The log reaches its file, and a file that takes nothing more ends nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import logging, sys, warnings
from pathlib import Path
from engine.train.logs import set_up_logging
set_up_logging(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
log = logging.getLogger("engine.train.reporter")
log.info("a line about %s", "step 1")
logging.getLogger("some.library").info("chatter")
warnings.warn("a library's warning")
print("printed by a library")
print("to standard error", file=sys.stderr)
sys.stdout.writelines(["a", "b"])
sys.stdout.flush()
log.info("still here")
"""


def run(*arguments: str, stdout: int | None = subprocess.PIPE, stderr: int | None = subprocess.PIPE) -> tuple[int, str]:
    """The program's exit code and what it logged."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, stdout=stdout, stderr=stderr, text=True, check=False
    )
    return result.returncode, result.stderr or ""


def test_lines_are_dated_and_libraries_chatter_is_left_out(tmp_path: Path) -> None:
    code, log = run(str(tmp_path / "engine.log"))
    assert code == 0
    assert "  a line about step 1\n" in log
    assert log[:2] == "20"
    assert "chatter" not in log
    assert "a library's warning" in log
    assert (tmp_path / "engine.log").read_text() == log.replace("to standard error\n", "")


def test_a_full_disk_under_every_stream_ends_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        code, _ = run("/dev/full", stdout=full.fileno(), stderr=full.fileno())
    assert code == 0


def test_a_log_file_that_cannot_be_opened_ends_nothing(tmp_path: Path) -> None:
    code, log = run(str(tmp_path / "no folder" / "engine.log"))
    assert code == 0
    assert "still here" in log
