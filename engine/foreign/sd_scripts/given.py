"""What a file of sd-scripts says, the same for every kind of file: options by name, and data sets with their subsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.foreign.sd_scripts.network_options import ALIASES
from engine.foreign.sd_scripts.table import ARGUMENTS, OPTIONS


class ImportFileError(UserError):
    """A file that is none of those that can be imported."""


class Scope(StrEnum):
    """For which options sd-scripts' defaults hold where the file says nothing."""

    TRAINING = "training"
    """All: the file says how a training is started."""
    DATA = "data"
    """Those about images and captions alone: the file is a dataset_config."""
    NOTHING = "nothing"
    """None: the file is a report of a training, and old ones report less."""


@dataclass(frozen=True)
class Entry:
    """One setting of the file."""

    name: str
    """sd-scripts' name."""
    value: Any
    label: str = ""
    """How the file names it, where that differs: ``datasets[1].batch_size``, ``LoRA_type``."""
    written: Any = None
    """Its value as the file has it, where that differs."""

    @property
    def shown_name(self) -> str:
        """What a report calls it."""
        return self.label or self.name


Level = dict[str, Entry]
"""Options that stand side by side, by name."""


@dataclass
class GivenSubset:
    """A folder of images as the file describes it."""

    options: Level
    images: int | None = None
    """How many it held, where the file tells."""


@dataclass
class GivenDataset:
    """A data set of the file: its own options, and its folders."""

    options: Level
    subsets: list[GivenSubset]


@dataclass
class Given:
    """The content of a file."""

    format: str
    """What the file is, in words: ``config_file (TOML)``."""
    origin: str
    """The file's name."""
    scope: Scope = Scope.TRAINING
    options: Level = field(default_factory=dict)
    general: Level = field(default_factory=dict)
    """[general] of a dataset_config."""
    datasets: list[GivenDataset] = field(default_factory=list)
    arguments: Level = field(default_factory=dict)
    """What the GUI has apart and sd-scripts takes in network_args."""
    set_aside: list[tuple[Entry, str]] = field(default_factory=list)
    """Settings that do not count in this file, each with the reason."""
    folder: Path | None = None
    """Where the file lies; relative paths are looked for there."""
    batches_per_epoch: int | None = None
    trains_text: tuple[bool, bool] | None = None
    """Whether the two encoders have weights in the file, where a file of weights is read."""
    is_gui: bool = False
    remarks: list[str] = field(default_factory=list)
    """What a person must know about the file as a whole."""

    def add(self, name: str, value: Any, label: str = "") -> None:
        """Take one setting; an earlier one of that name is set aside. Some front ends have network_args apart."""
        if name not in OPTIONS and ALIASES.get(name, name) in ARGUMENTS:
            self.arguments[ALIASES.get(name, name)] = Entry(ALIASES.get(name, name), value, label or name)
            return
        if name in self.options:
            self.set_aside.append((self.options[name], "stands twice: the later one counts"))
        self.options[name] = Entry(name, value, label)

    def entries(self) -> Iterator[Entry]:
        """Every setting of the file that counts."""
        yield from self.options.values()
        yield from self.arguments.values()
        yield from self.general.values()
        for dataset in self.datasets:
            yield from dataset.options.values()
            for subset in dataset.subsets:
                yield from subset.options.values()
