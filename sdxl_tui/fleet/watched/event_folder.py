"""Folders with TensorBoard event files: which files are theirs, and what the run in them is called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sdxl_tui.terminal.clean import clean

EVENT_FILE: Final = re.compile(r"events\.out\.tfevents\.(\d{1,12})(\..*)?")
"""As every writer of TensorBoard's names them; the number is when it began (Unix seconds)."""
HPARAMS_FOLDER: Final = re.compile(r"\d{9,11}\.\d{1,9}")
"""What torch and accelerate put a run's settings into, inside its folder: the moment, in seconds."""
MOMENT: Final = re.compile(r"(?P<name>.*?)[-_ ]?(?P<day>20\d\d-?\d\d-?\d\d)[-_ T]?(?P<time>\d\d-?\d\d-?\d\d)")
"""``fox20240612103000``: sd-scripts' ``--log_prefix`` and the moment it began; ``2024-06-12_10-30-00``: OneTrainer's."""
GENERIC: Final = frozenset(
    {
        *(
            "network_train",
            "lora_train",
            "finetuning",
            "dreambooth",
            "textual_inversion",
            "controlnet",
            "controlnet_train",
        ),
        *("control_net_train", "lllite_control_net_train", "sd3_train", "flux_train", "train", "training", "tracker"),
        *("log", "logs", "logging", "tb", "tensorboard", "tensorboard_logs", "events", "runs", "output", "outputs"),
        *("model", "models", "lora", "results"),
    }
)
"""Folders that tell nothing of the run in them: the trackers' default names, and where people let logs lie."""
NAME_CHARACTERS: Final = 60
_SETTING: Final = re.compile(r"^(output_name|max_train_steps): *(.*?) *$", re.MULTILINE)
_SETTINGS_BYTES: Final = 65_536


def event_file_began(name: str) -> int | None:
    """When a file of this name was begun (Unix seconds, as far as it says so); None if it is no event file's."""
    match = EVENT_FILE.fullmatch(name)
    return int(match[1]) if match else None


def event_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The event files in ``folder``, the first written first. Raises ``OSError`` if it cannot be listed."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if (match := EVENT_FILE.fullmatch(entry.name)) is None:
                continue
            try:
                if entry.is_file(follow_symlinks=False):
                    found.append((int(match[1]), entry.name, Path(entry.path), entry.stat(follow_symlinks=False)))
            except OSError:
                continue
    return [(path, status) for _, _, path, status in sorted(found, key=lambda one: one[:2])]


def began(files: Sequence[tuple[Path, os.stat_result]]) -> float:
    """When the first of them was begun: Unix seconds, by its name."""
    path, status = files[0]
    match = EVENT_FILE.fullmatch(path.name)
    moment = float(match[1]) if match else 0.0
    return moment if 0 < moment <= status.st_mtime + 86_400 else status.st_mtime


def settings_of(folder: Path) -> dict[str, str]:
    """``output_name`` and ``max_train_steps``, where the trainer wrote its settings down (sd-scripts' ``--log_config``)."""
    try:
        with os.scandir(folder) as entries:
            places = sorted(entry.name for entry in entries if HPARAMS_FOLDER.fullmatch(entry.name))
        if not places:
            return {}
        with (folder / places[-1] / "hparams.yml").open("rb") as file:
            text = file.read(_SETTINGS_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    return {name: value.strip("'\"") for name, value in _SETTING.findall(text) if value not in ("null", "~", "")}


def run_name(folder: Path, shown: Path, output_name: str = "") -> tuple[str, str]:
    """(name, id) of the run in ``folder``, which was found in ``shown``; both safe to print and to type.

    ``fox`` and ``fox-20240612-103000`` where a moment is known, else both the same.
    """
    parts = [*folder.relative_to(shown).parts]
    telling = [part for part in (shown.name, *parts) if part.lower() not in GENERIC]
    moment, name = "", clean(output_name)
    if telling and (match := MOMENT.fullmatch(telling[-1])):
        moment = "-".join(match[part].replace("-", "") for part in ("day", "time"))
        telling[-1:] = [match["name"]] if match["name"] else []
    name = _typed(name or (telling[-1] if telling else "")) or "run"
    return name, f"{name}-{moment}" if moment else name


def _typed(name: str) -> str:
    """Only what is typed without quotes: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+", "-", clean(name)).strip("-.")[:NAME_CHARACTERS]
