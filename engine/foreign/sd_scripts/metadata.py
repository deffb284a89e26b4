"""What the ``ss_*`` metadata of a LoRA file say of its training, as options."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry, Given, GivenDataset, GivenSubset, Level, Scope
from engine.foreign.sd_scripts.table import OPTIONS
from engine.foreign.sd_scripts.values import as_whole, is_nothing
from engine.profile.places import PLACEHOLDER

_NAMES: Final = {
    "ss_sd_model_name": "pretrained_model_name_or_path",
    "ss_vae_name": "vae",
    "ss_batch_size_per_device": "batch_size",
    "ss_debiased_estimation": "debiased_estimation_loss",
}
"""Where it is not the option's name after ``ss_``."""
_RECORDS: Final = frozenset(
    {
        "ss_session_id", "ss_training_started_at", "ss_training_finished_at", "ss_steps", "ss_epoch", "ss_num_epochs",
        "ss_num_train_images", "ss_num_reg_images", "ss_num_batches_per_epoch", "ss_num_validation_images",
        "ss_sd_scripts_commit_hash", "ss_sd_model_hash", "ss_new_sd_model_hash", "ss_vae_hash", "ss_new_vae_hash",
        "ss_base_model_version", "ss_tag_frequency", "ss_bucket_info", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_datasets",
        "ss_total_batch_size", "ss_unet_loss", "sdxl_tui_version",
    }
)  # fmt: skip
"""Entries that record what happened, and are no settings."""


def has_training(metadata: Mapping[str, str]) -> bool:
    """Whether the metadata say anything of a training."""
    return any(name.startswith("ss_") for name in metadata)


def given_of_metadata(metadata: Mapping[str, str], origin: str) -> Given:
    """The options of the training that made the file."""
    given = Given("a LoRA file's metadata", origin, Scope.NOTHING)
    for key, value in metadata.items():
        if key in _RECORDS or not key.startswith("ss_"):
            if key in _RECORDS:
                given.set_aside.append((Entry(key, value), "a record, not a setting"))
            continue
        name = _NAMES.get(key, key.removeprefix("ss_"))
        if name in ("max_bucket_reso", "min_bucket_reso") and is_nothing(value):
            continue
        given.options[name] = Entry(name, _value(name, value), key)
    _optimizer(given)
    _named_places(given)
    if "v_parameterization" not in given.options and metadata.get("modelspec.prediction_type") == "v":
        given.options["v_parameterization"] = Entry("v_parameterization", True, "modelspec.prediction_type", "v")
    _datasets(metadata, given)
    try:
        given.batches_per_epoch = as_whole(metadata.get("ss_num_batches_per_epoch"))
    except ValueError:
        given.batches_per_epoch = None
    return given


def _value(name: str, text: str) -> Any:
    """The text as it was before Python wrote it."""
    if name == "network_args":
        return _json(text) or {}
    try:
        return ast.literal_eval(text) if re.fullmatch(r"None|True|False|[\[(].{0,200}[\])]", text.strip()) else text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def _optimizer(given: Given) -> None:
    """``bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))`` as type and arguments."""
    entry = given.options.pop("optimizer", None)
    if entry is None or is_nothing(entry.value):
        return
    name, bracket, rest = str(entry.value).partition("(")
    given.options["optimizer_type"] = Entry("optimizer_type", name.strip(), entry.shown_name, entry.value)
    if bracket:
        pairs = re.split(r",\s*(?=[A-Za-z_]\w*\s*=)", rest.rpartition(")")[0])
        given.options["optimizer_args"] = Entry("optimizer_args", pairs, f"{entry.shown_name} (arguments)")


def _named_places(given: Given) -> None:
    """The metadata hold names of files, not their places."""
    for name in ("pretrained_model_name_or_path", "vae"):
        entry = given.options.get(name)
        if entry is None or is_nothing(entry.value):
            continue
        written = str(entry.value)
        is_hub = written.count("/") == 1 and not written.startswith(("/", "."))
        place = written if is_hub else PLACEHOLDER + re.split(r"[\\/]", written)[-1]
        given.options[name] = Entry(name, place, entry.shown_name, entry.value)


def _datasets(metadata: Mapping[str, str], given: Given) -> None:
    found = _json(metadata.get("ss_datasets"))
    if isinstance(found, list) and found:
        for number, dataset in enumerate(found, 1):
            if isinstance(dataset, dict):
                given.datasets.append(_dataset(dataset, f"ss_datasets[{number}]"))
        return
    subsets = []
    for key, is_reg in (("ss_dataset_dirs", False), ("ss_reg_dataset_dirs", True)):
        folders = _json(metadata.get(key))
        for name, facts in folders.items() if isinstance(folders, dict) else ():
            if isinstance(facts, dict):
                subsets.append(_subset(str(name), facts, f"{key} {name}", is_reg=is_reg))
    if subsets:
        given.datasets.append(GivenDataset({}, subsets))


def _subset(name: str, facts: Mapping[str, Any], label: str, *, is_reg: bool) -> GivenSubset:
    options: Level = {"image_dir": Entry("image_dir", PLACEHOLDER + name, label)}
    if not is_nothing(facts.get("n_repeats")):
        options["num_repeats"] = Entry("num_repeats", facts["n_repeats"], f"{label} n_repeats")
    if is_reg:
        options["is_reg"] = Entry("is_reg", True, label)
    return GivenSubset(options, _count(facts))


def _dataset(table: Mapping[str, Any], label: str) -> GivenDataset:
    def level(of: Mapping[str, Any], where: str) -> Level:
        return {str(key): Entry(str(key), value, f"{where}.{key}") for key, value in of.items() if key in OPTIONS}

    own = level(table, label)
    if not is_nothing(table.get("batch_size_per_device")):
        own["batch_size"] = Entry("batch_size", table["batch_size_per_device"], f"{label}.batch_size_per_device")
    subsets = []
    for number, subset in enumerate(table.get("subsets") or (), 1):
        if isinstance(subset, dict):
            options = level(subset, f"{label}.subsets[{number}]")
            name = re.split(r"[\\/]", str(subset.get("image_dir") or "images"))[-1]
            options["image_dir"] = Entry("image_dir", PLACEHOLDER + name, f"{label}.subsets[{number}].image_dir")
            subsets.append(GivenSubset(options, _count(subset)))
    return GivenDataset(own, subsets)


def _count(facts: Mapping[str, Any]) -> int | None:
    count = facts.get("img_count")
    return count if isinstance(count, int) and 0 <= count < 10**9 else None
