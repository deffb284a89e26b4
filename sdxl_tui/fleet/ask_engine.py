"""A question to the engine, answered in a process of its own: what needs torch or decoded pictures is never loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from engine.errors import UserError
from sdxl_tui.fleet.launch import engine_environment

ENGINE_OK: Final = 0
ENGINE_USER_ERROR: Final = 2


def ask_engine(*words: str) -> dict[str, Any]:
    """What ``python -m engine WORDS`` prints as JSON in its last line.

    What a person can mend comes back as a ``UserError``; any other end of the engine is a defect, a ``RuntimeError``.
    """
    argv = [sys.executable, "-P", "-m", "engine", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=engine_environment())
    if done.returncode == ENGINE_USER_ERROR:
        raise UserError(done.stderr.strip().rpartition("error: ")[2])
    if done.returncode != ENGINE_OK:
        raise RuntimeError(f"the engine ended with {done.returncode}:\n{done.stderr.strip()}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report
