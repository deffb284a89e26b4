"""Writing small configs in the shapes of the wild, and importing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.foreign.sd_scripts.imported import Imported, Line
from engine.foreign.sd_scripts.importing import import_file
from engine.foreign.sd_scripts.option import Fate
from engine.profile.load import parse_profile
from engine.profile.schema import Profile
from engine.profile.to_toml import toml_value

BASE = {
    "pretrained_model_name_or_path": "owner/sdxl",
    "resolution": "1024,1024",
    "enable_bucket": True,
    "max_bucket_reso": 2048,
}
"""What nearly every config has; with it sd-scripts' defaults play no part in the data set."""


def import_text(folder: Path, text: str, name: str = "config.toml", **options: Any) -> tuple[Profile, Imported]:
    """The profile of a config with this text, and the whole result."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    imported = import_file(file, **options)
    return parse_profile(imported.text, folder=folder).profile, imported


def import_options(folder: Path, **options: Any) -> tuple[Profile, Imported]:
    """The profile of a flat config_file with these options beside ``BASE``."""
    merged = {name: value for name, value in (BASE | options).items() if value is not None}
    return import_text(folder, "\n".join(f"{name} = {toml_value(value)}" for name, value in merged.items()))


def import_gui(folder: Path, **fields: Any) -> tuple[Profile, Imported]:
    """The profile of a file of the GUI with these fields beside those that every such file has."""
    usual = {
        "LoRA_type": "Standard",
        "pretrained_model_name_or_path": "owner/sdxl",
        "max_resolution": "1024,1024",
        "enable_bucket": True,
        "learning_rate": 1e-4,
        "unet_lr": 1e-4,
        "text_encoder_lr": 0,
        "lr_scheduler": "cosine",
        "lr_warmup": 0,
        "epoch": 1,
        "max_train_steps": 1000,
        "network_dim": 16,
        "network_alpha": 8,
        "optimizer": "AdamW",
        "train_batch_size": 1,
    }
    return import_text(folder, json.dumps(usual | fields), "gui.json")


def line_of(imported: Imported, option: str) -> Line:
    """The one line of an option that stands in the file."""
    (found,) = [line for line in imported.lines if line.option == option and line.fate is not Fate.DEFAULT]
    return found


def make_images(folder: Path, count: int, *, captions: int | None = None, extension: str = ".txt") -> Path:
    """A folder of empty files named like images, ``captions`` of them (by default all) with a caption file."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:03}.png").touch()
        if captions is None or number < captions:
            (folder / f"{number:03}{extension}").write_text("a thing", encoding="utf-8")
    return folder
