"""The terminal handed to ``$VISUAL`` or ``$EDITOR`` for a while."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

from textual.app import App, SuspendNotSupported

from engine.errors import UserError

USUAL: Final = ("nano", "vi")
"""What is tried where neither variable is set."""


def editor_command() -> list[str]:
    """The editor with its own arguments. Raises ``UserError`` if there is none."""
    hint = 'Set it before you start the app, for instance: export EDITOR="nano"'
    for name in ("VISUAL", "EDITOR"):
        if not (value := os.environ.get(name, "").strip()):
            continue
        try:
            command = shlex.split(value)
        except ValueError:
            raise UserError("is not a command line: a quote is not closed", where=f"${name}", hint=hint) from None
        if shutil.which(command[0]) is None:
            raise UserError(f"there is no program {command[0]!r}", where=f"${name}", hint=hint)
        return command
    found = next((path for name in USUAL if (path := shutil.which(name))), None)
    if found is None:
        raise UserError("no editor is named and neither nano nor vi is installed", where="$EDITOR", hint=hint)
    return [found]


def edit_outside(app: App[Any], file: Path) -> None:
    """Let the user's editor have the terminal until it ends. Raises ``UserError`` if it cannot be started or failed."""
    command = editor_command()
    before = signal.signal(signal.SIGINT, lambda *_: None)  # ctrl+c is the editor's while it is in front
    try:
        with app.suspend():
            code = subprocess.run([*command, str(file)], check=False).returncode
    except SuspendNotSupported:
        raise UserError("this terminal cannot be handed to another program", where=command[0]) from None
    except OSError as error:
        raise UserError(f"cannot be started: {error.strerror}", where=command[0]) from None
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        raise UserError(f"ended with status {code}; the file is as it left it", where=command[0])
