"""sd-scripts' TOML files: config_file with or without sections, dataset_config, and LoRA Easy Training Scripts' nested ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.foreign.sd_scripts.data_options import LEVELLED
from engine.foreign.sd_scripts.given import Entry, Given, GivenDataset, GivenSubset, Level, Scope

_TABLES: Final = frozenset({"optimizer_args", "network_args", "lr_scheduler_args"})
"""Options whose value may be a table of arguments."""
MAX_DEPTH: Final = 20


def read_tables(tables: Mapping[str, Any], given: Given, *, prefix: str = "") -> None:
    """Fill ``given`` with everything in ``tables``. prefix: of the labels, for a second file."""
    general = tables.get("general")
    has_sets = isinstance(tables.get("datasets"), list)
    if has_sets and isinstance(general, Mapping):
        given.general = {name: Entry(name, value, f"{prefix}general.{name}") for name, value in general.items()}
    _collect(
        {key: value for key, value in tables.items() if not (has_sets and key in ("general", "datasets"))},
        given,
        prefix,
        0,
    )
    for number, dataset in enumerate(tables["datasets"] if has_sets else (), 1):
        if isinstance(dataset, Mapping):
            given.datasets.append(_dataset(dataset, f"{prefix}datasets[{number}]"))
    if given.datasets and not any(name not in LEVELLED for name in given.options):
        given.scope = Scope.DATA


def _collect(tables: Mapping[str, Any], given: Given, prefix: str, depth: int) -> None:
    for key, value in tables.items():
        name = str(key)
        if isinstance(value, Mapping):
            if name in _TABLES and not {"args", "dataset_args"} & value.keys():
                given.add(name, dict(value), f"{prefix}{name}" if prefix else "")
            elif depth < MAX_DEPTH:
                _collect(value, given, prefix, depth + 1)
        elif name == "subsets" and isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            given.datasets.append(_dataset({"subsets": value}, f"{prefix}", ""))
        else:
            given.add(name, value, f"{prefix}{name}" if prefix else "")


def _dataset(table: Mapping[str, Any], label: str, join: str = ".") -> GivenDataset:
    options = _level({key: value for key, value in table.items() if key != "subsets"}, f"{label}{join}")
    subsets = table.get("subsets")
    found = [
        GivenSubset(_level(subset, f"{label}{join}subsets[{number}]."))
        for number, subset in enumerate(subsets if isinstance(subsets, list) else (), 1)
        if isinstance(subset, Mapping)
    ]
    return GivenDataset(options, found)


def _level(table: Mapping[str, Any], label: str) -> Level:
    return {str(key): Entry(str(key), value, f"{label}{key}") for key, value in table.items()}
