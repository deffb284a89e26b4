"""All keys of the app that have names, and a user's keys held against them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual.binding import Binding


@dataclass(frozen=True)
class NamedKey:
    """What a key does, under its name."""

    name: str
    keys: tuple[str, ...]
    """As Textual names them: ``s``, ``ctrl+r``, ``question_mark``."""
    words: str


def named_keys() -> list[NamedKey]:
    """Every key that has a name, by name. Imports every screen."""
    from importlib import import_module  # noqa: PLC0415
    from pkgutil import iter_modules  # noqa: PLC0415

    import sdxl_tui.screens  # noqa: PLC0415
    from sdxl_tui.app import SdxlTui  # noqa: PLC0415
    from sdxl_tui.screens.place import Place  # noqa: PLC0415
    from sdxl_tui.widgets.explored_chart import ExploredChart  # noqa: PLC0415
    from sdxl_tui.widgets.live_table import LiveTable  # noqa: PLC0415

    for module in iter_modules(sdxl_tui.screens.__path__):
        import_module(f"sdxl_tui.screens.{module.name}")
    found: dict[str, NamedKey] = {}
    for owner in (SdxlTui, LiveTable, ExploredChart, *_below(Place)):
        for binding in owner.__dict__.get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id and binding.description:
                before = found.get(binding.id)
                keys = (*(before.keys if before else ()), *(key.strip() for key in binding.key.split(",")))
                found[binding.id] = NamedKey(binding.id, keys, binding.description)
    return sorted(found.values(), key=lambda key: key.name)


def _below(kind: type[Any]) -> list[type[Any]]:
    found: list[type[Any]] = []
    for one in kind.__subclasses__():
        found += [one, *_below(one)]
    return found


def unknown_names(keys: Mapping[str, str], known: Sequence[NamedKey]) -> list[str]:
    """A sentence for each name of ``keys`` that there is not."""
    names = [key.name for key in known]
    said = []
    for name in keys:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else "see sdxl-tui keys"
            said.append(f"keys.{name}: there is no such key; {hint}")
    return said


def lost_keys(keys: Mapping[str, str], known: Sequence[NamedKey]) -> list[str]:
    """A sentence for each key that means something else now on the screen where a user has given it to another action."""
    said = []
    names = {key.name for key in known}
    for name, given in keys.items():
        if name not in names:
            continue
        area = name.partition(".")[0]
        for key in _normal(given):
            for other in known:
                here = other.name.partition(".")[0] == area and other.name not in {name, *keys}
                if here and key in _normal(",".join(other.keys)):
                    said.append(f"keys.{name}: {key} no longer means “{other.words}” there (keys.{other.name})")
    return said


def _normal(keys: str) -> list[str]:
    """Keys by Textual's names: ``/`` is ``slash``."""
    return [binding.key for binding in Binding.make_bindings([Binding(keys, "")])] if keys.strip(", ") else []
