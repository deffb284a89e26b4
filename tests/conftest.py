"""Shared by all tests: no network, few threads, a workspace of one's own, no user's settings, and locks nobody else knows."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SDXL_TUI_WORKSPACE", None)
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="sdxl-tui-tests-")
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="sdxl-tui-tests-")
