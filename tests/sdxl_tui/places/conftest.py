"""The workspace that the tests of the places grow runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_tui.workspace import Workspace
from tests.sdxl_tui.places.place_field import Field


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Field:
    """An empty workspace, shown as ~/ws."""
    monkeypatch.setenv("HOME", str(tmp_path))
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    return Field(workspace)
