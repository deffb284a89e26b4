"""Asking another program of the machine, such as nvidia-smi or tmux."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def answer_of(command: Sequence[str], seconds: float) -> str:
    """What ``command`` prints; empty if there is no such program, it fails, or it takes longer than ``seconds``."""
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
