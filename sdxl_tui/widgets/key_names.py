"""Names for keys, by which a user's configuration gives what they do other keys: ``runs.stop``, ``chart.zoom-1``.

A name is the screen's and the action's, made from the class and the binding; ``sdxl-tui keys`` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from textual.binding import Binding, BindingType

ENDINGS: Final = re.compile(r"(Screen|Page|Place)$")


def area_name(class_name: str) -> str:
    """``CompareRunsPage`` → ``compare-runs``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", ENDINGS.sub("", class_name)).lower()


def action_name(action: str) -> str:
    """``zoom(1)`` → ``zoom-1``, ``app.back`` → ``back``, ``move('up')`` → ``move-up``."""
    words = action.removeprefix("app.").removeprefix("screen.").replace("(-", "(back-").replace("_", "-")
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def named(area: str, bindings: Iterable[BindingType]) -> list[BindingType]:
    """The same bindings, each with its name; one that has a name keeps it."""
    found: list[BindingType] = []
    for binding in bindings:
        if isinstance(binding, Binding) and binding.id is None:
            binding = replace(binding, id=f"{area}.{action_name(binding.action)}")  # noqa: PLW2901
        found.append(binding)
    return found
