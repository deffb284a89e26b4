"""Opening the app, and finding the workspace that a command is about."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from engine.errors import UserError
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import find_workspace

if TYPE_CHECKING:
    from sdxl_tui.workspace import Workspace


def workspace_to_read(arguments: argparse.Namespace) -> Workspace:
    """The workspace of a command that only looks. One that was named must be there; the default may be empty."""
    named: str | None = getattr(arguments, "workspace", None)
    workspace = find_workspace(named)
    if named is not None and not workspace.path.is_dir():
        raise UserError("there is no such workspace", where=named, hint="A launch would make it: sdxl-tui launch demo")
    return workspace


def workspace_to_write(arguments: argparse.Namespace) -> Workspace:
    """The workspace of a command that starts something; made if it is not there."""
    workspace = find_workspace(getattr(arguments, "workspace", None))
    workspace.create()
    return workspace


def program(arguments: argparse.Namespace) -> str:
    """How a hint begins: the program, with the workspace if it was named."""
    named: str | None = getattr(arguments, "workspace", None)
    return "sdxl-tui" if named is None else f"sdxl-tui --workspace {shlex.quote(clean(named))}"


def open_app(arguments: argparse.Namespace) -> int:
    """The command without a command."""
    require_terminal("sdxl-tui runs")
    workspace = find_workspace(getattr(arguments, "workspace", None))
    if not workspace.read_only:
        workspace.create()
    return run_app_on(workspace)


def run_app_on(workspace: Workspace, open_run: str | None = None) -> int:
    """Open the app, on the page of run ``open_run`` if one is given; its exit code."""
    from sdxl_tui.app import run_app  # noqa: PLC0415  # Textual is loaded for the app alone

    return run_app(workspace, open_run=open_run)


def require_terminal(instead: str) -> None:
    """Raise ``UserError`` where the app could not be shown. instead: a command that works here."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise UserError("the app needs a terminal for input and output", hint=f"Without one: {instead}")
