"""A workspace to show, and the app on it with a clock that stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdxl_tui.app import SdxlTui
from tests.sdxl_tui.app.run_field import NOW, RunField, open_workspace

OpenApp = Callable[..., SdxlTui]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local times are the same wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunField]:
    """An empty workspace, ``~/ws``, to grow runs in; live ones die with the test.

    Whether a run stands still is judged by the frozen clock, too: else these tests fail from some day on.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("engine.run.liveness.time", SimpleNamespace(time=lambda: NOW))
    field = open_workspace(tmp_path / "ws")
    yield field
    field.close()


@pytest.fixture
def open_app(runs: RunField) -> OpenApp:
    """The app on the workspace, its clock frozen."""

    def opened(open_run: str | None = None) -> SdxlTui:
        return SdxlTui(runs.workspace, open_run=open_run, now=lambda: NOW)

    return opened
