"""``commands/``: requests from a manager to the live engine, one file each, and the engine's side that takes them.

The engine looks between steps, acts, and removes the file; the answer is a ``command`` event, which the engine writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.durable import write_json_atomically
from engine.run.errors import RunError
from engine.run.layout import RunDirectory
from engine.run.records import read_json_object

COMMANDS: Final = ("stop", "save", "sample", "validate", "pause", "unpause", "scale_lr")
_FILE_NAME: Final = re.compile(r"^\d{1,20}-([a-z_]{1,32})\.json$")


@dataclass(frozen=True)
class Command:
    """A request as found in the folder. ``problem`` says why it cannot be followed (then it is only acknowledged)."""

    id: str
    command: str
    arguments: dict[str, Any] = field(default_factory=dict)
    path: Path = Path()
    problem: str | None = None


def send_command(run: RunDirectory, command: str, **arguments: Any) -> str:
    """Put a request to the run's engine into its folder; returns the request's id, which its event will carry.

    command: ``stop`` (``save`` bool, ``at_step`` int), ``save``, ``sample``, ``validate``, ``pause``, ``unpause`` or
    ``scale_lr`` (``factor``). Raises ``RunError`` if it cannot be written.
    """
    if command not in COMMANDS:
        raise ValueError(f"unknown command {command!r}")
    try:
        run.commands.mkdir(mode=0o700, exist_ok=True)
        moment = time.time_ns()
        while (path := run.commands / f"{moment}-{command}.json").exists():
            moment += 1
        write_json_atomically(path, {"id": path.stem, "command": command, "arguments": arguments}, durable=False)
    except OSError as error:
        raise RunError(
            f"the command cannot be written: {error.strerror}",
            where=str(run.commands),
            hint=f"Send SIGTERM to the engine instead, or free space and ask for {command} again.",
        ) from error
    return path.stem


class CommandBox:
    """The engine's side of ``commands/``."""

    def __init__(self, run: RunDirectory) -> None:
        self.folder = run.commands

    def poll(self) -> list[Command]:
        """The waiting requests, oldest first. Costs a few microseconds when there is none; foreign files are ignored."""
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries if _FILE_NAME.match(entry.name)]
        except OSError:
            return []
        return [self._read(name) for name in sorted(names, key=lambda name: (int(name.partition("-")[0]), name))]

    def _read(self, name: str) -> Command:
        path = self.folder / name
        named = name.partition("-")[2].removesuffix(".json")
        stored = read_json_object(path, limit=65_536)
        if stored is None:
            return Command(path.stem, named, path=path, problem="the command file is not readable")
        command, arguments = stored.get("command"), stored.get("arguments", {})
        if command not in COMMANDS:
            return Command(path.stem, named, path=path, problem=f"unknown command {command!r}")
        if not isinstance(arguments, dict):
            return Command(path.stem, str(command), path=path, problem="the arguments are not an object")
        return Command(str(stored.get("id", path.stem)), str(command), arguments, path)

    def acknowledge(self, command: Command, ok: bool, message: str = "") -> dict[str, Any]:
        """Remove the request and return the fields of its ``command`` event, which the caller writes."""
        with contextlib.suppress(OSError):
            command.path.unlink()
        return {"id": command.id, "command": command.command, "ok": ok, "message": message}

    def clear(self) -> None:
        """Remove every waiting request: a new attempt does not follow what was asked of the one before."""
        for command in self.poll():
            self.acknowledge(command, ok=False)
