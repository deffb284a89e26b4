"""The command line called inside the test process, not on a terminal."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.run.layout import RunDirectory
from sdxl_tui.cli import main


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """``sdxl-tui --workspace DIR``, not on a terminal."""

    workspace: Path

    def __call__(self, *words: str) -> Result:
        """Run one command line in this process."""
        return run_in_process("--workspace", str(self.workspace), *words)

    def end_runs(self) -> None:
        """End what a failed test left alive."""
        listed = self("runs", "--json")
        for run in listed.json if listed.code == 0 else ():
            if run["alive"]:
                self("stop", run["id"], "--now")

    def run(self, run_id: str) -> RunDirectory:
        """The folder of a run."""
        return RunDirectory(self.workspace / "runs" / run_id)


def run_in_process(*words: str) -> Result:
    """The exit code and what was printed by ``main(words)``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return Result(code, out.getvalue(), err.getvalue())
