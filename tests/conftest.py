"""Shared by all tests: no network, few threads, and a workspace of one's own."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SDXL_TUI_WORKSPACE", None)
