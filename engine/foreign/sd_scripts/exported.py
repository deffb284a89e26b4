"""The result of an export: sd-scripts' files, and a line for every field of the profile that they cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.profile.fields import SOURCES, ProfileField, find_field, profile_fields
from engine.profile.schema import Profile
from engine.profile.to_toml import toml_value


@dataclass(frozen=True)
class LeftOut:
    """A field that sd-scripts has no words for."""

    field: str
    value: str
    """As TOML."""
    why: str


@dataclass(frozen=True)
class Exported:
    """A profile in sd-scripts' words."""

    options: Mapping[str, Any]
    """Of ``--config_file``."""
    datasets: tuple[Mapping[str, Any], ...]
    """[[datasets]] of ``--dataset_config``, each with its subsets."""
    prompts: tuple[str, ...]
    """Lines of the file that ``sample_prompts`` names; empty where there are no samples."""
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...]
    """What is done otherwise there, as sentences."""

    def config_text(self, name: str, further: Mapping[str, Any]) -> str:
        """The config file. name: of the profile; further: options that are known when the files are, such as paths."""
        head = [f"# Exported from the profile {name} by sdxl-tui export --sd-scripts."]
        head += [f"# Not expressed: {one.field} = {one.value}: {one.why}" for one in self.left_out]
        head += [f"# {remark}" for remark in self.remarks]
        return "\n".join([*head, "", *_pairs({**self.options, **further})]) + "\n"

    def dataset_text(self, name: str) -> str:
        """The data set's file."""
        lines = [f"# The data set of the profile {name}, exported by sdxl-tui export --sd-scripts."]
        for dataset in self.datasets:
            own = {key: value for key, value in dataset.items() if key != "subsets"}
            lines += ["", "[[datasets]]", *_pairs(own)]
            for subset in dataset["subsets"]:
                lines += ["", "[[datasets.subsets]]", *_pairs(subset)]
        return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {toml_value(value)}" for key, value in values.items()]


@dataclass
class Export:
    """One export while it is made."""

    profile: Profile
    values: Mapping[str, Any]
    """The profile's values by path."""
    options: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    _spoken_of: set[str] = field(default_factory=set)

    def say(self, option: str, value: Any, *paths: str) -> None:
        """Set an option, which expresses the fields ``paths``."""
        if value is not None:
            self.options[option] = value
        self._spoken_of.update(paths)

    def done(self, *paths: str) -> None:
        """Take the fields as expressed by what sd-scripts does where it is told nothing."""
        self._spoken_of.update(paths)

    def leave(self, path: str, why: str, value: Any = None) -> None:
        """Name a field that cannot be expressed."""
        if path not in self._spoken_of:
            self._spoken_of.add(path)
            written = self.values.get(path) if value is None else value
            self.left_out.append(LeftOut(path, toml_value(written) if written is not None else "", why))

    def leave_the_rest(self, reasons: Mapping[str, str]) -> None:
        """Name every field that nobody has spoken of and that is not at its default. reasons: by path or section."""
        for declared in profile_fields():
            if declared.path not in self._spoken_of and not _is_default(declared, self.values[declared.path]):
                self.leave(
                    declared.path, reasons.get(declared.path) or reasons.get(declared.section) or NOTHING_LIKE_IT
                )


NOTHING_LIKE_IT = "sd-scripts has nothing like it"


def _is_default(declared: ProfileField, value: Any) -> bool:
    return value is None or value == declared.default or declared.path == SOURCES


def source_default(name: str) -> Any:
    """What holds for a source's field that is not set."""
    declared = find_field(f"dataset.sources.{name}")
    return None if declared is None else declared.default
