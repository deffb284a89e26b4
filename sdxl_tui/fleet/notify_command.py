"""The user's own command for what happens to runs (``notify`` in their configuration): run by ``sh``, told everything in its
environment, so that no text of a run is ever part of a command line. What came of it stands in ``WORKSPACE/notify.log``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Final

from sdxl_tui.config import Event
from sdxl_tui.fleet.happenings import Happening
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import Workspace

SECONDS: Final = 60.0
"""A command that takes longer is ended: nobody would know that it hangs."""
LOG_BYTES: Final = 256 * 1024
SAID: Final = 400
"""Characters of what a failed command said that are kept."""


def run_notify_command(command: str, workspace: Workspace, happening: Happening, *, step: int = 0) -> str:
    """Run it and wait; what went wrong, safe to print, or an empty text."""
    event = happening.event or Event.FINISHED
    environment = {
        **os.environ,
        "SDXL_TUI_WORKSPACE": str(workspace.path),
        "SDXL_TUI_EVENT": event.value,
        "SDXL_TUI_RUN": happening.run_id,
        "SDXL_TUI_STEP": str(step),
        "SDXL_TUI_TEXT": f"{happening.run_id}: {happening.words}",
    }
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=workspace.path if workspace.path.is_dir() else "/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return clean(f"the command cannot be run: {error}")
    try:
        said, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"the command was ended: it took more than {SECONDS:.0f} s"
    if process.returncode == 0:
        return ""
    words = clean(said.decode(errors="replace").strip()[-SAID:])
    return f"the command ended with {process.returncode}" + (f": {words}" if words else "")


def log_notification(workspace: Workspace, happening: Happening, problem: str) -> None:
    """Append a line; a full disk is nobody's concern here."""
    path = workspace.path / "notify.log"
    moment = time.strftime("%Y-%m-%d %H:%M:%S")
    line = f"{moment}  {happening.run_id}  {happening.words}  {problem or 'told'}\n"
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("a", encoding="utf-8") as log:
            log.write(line)
