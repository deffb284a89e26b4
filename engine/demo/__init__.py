"""The bundled demo, found by ``bundled:`` paths: a small SDXL-architecture base, two dozen captioned pictures and eight more.

The eight (``bundled:demo-held-out``) show the same subject and are not trained on: what a run has learned is measured on them.
"""

from __future__ import annotations

from pathlib import Path

from engine.user_path import user_path

BUNDLED = "bundled:"
_FOLDERS = {"demo-base": "base", "demo-images": "images", "demo-held-out": "held-out"}


def locate(path: str) -> Path:
    """The folder or file a profile's path names: ``bundled:demo-base``, ``bundled:demo-images``, or a real path (~ expanded).

    An unknown bundled name gives a path that does not exist, so that it is reported as any missing folder is.
    """
    if path.startswith(BUNDLED):
        name = path.removeprefix(BUNDLED)
        return Path(__file__).parent / _FOLDERS.get(name, f"unknown-{name}")
    return user_path(path)
