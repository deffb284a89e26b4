"""From a file to what it says: config_file or dataset_config (TOML), a GUI's JSON, a command line, a LoRA's metadata."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from engine.data.regular_file import UnreadableFileError, read_regular_file
from engine.foreign.lora_facts import LoraFacts, read_lora_facts
from engine.foreign.sd_scripts.command_line import looks_like_a_command, read_command
from engine.foreign.sd_scripts.given import Entry, Given, ImportFileError
from engine.foreign.sd_scripts.gui import is_gui_file, read_gui
from engine.foreign.sd_scripts.metadata import given_of_metadata, has_training
from engine.foreign.sd_scripts.other_options import LAUNCHER
from engine.foreign.sd_scripts.read_toml import read_tables
from engine.foreign.sd_scripts.table import OPTIONS
from engine.foreign.sd_scripts.values import as_text, is_nothing
from engine.profile.problems import ProfileError
from engine.profile.syntax import MAX_BYTES, decode, parse_toml

_NO_LORA: Final = re.compile(r"textual_inversion|control|lllite|leco")
_KINDS: Final = (
    "a config_file or dataset_config (TOML), a kohya_ss JSON, a text with the command line, or a LoRA (.safetensors)"
)

_CONDITIONAL: Final = re.compile(r"\w*args\w*(?:\.Add\(|\s*\+=\s*[(\"'])", re.IGNORECASE)
_LAUNCHERS: Final = {"mixed_precision": "sd-scripts takes its own mixed_precision, which is no where it is not given"}


def read_given(path: Path, *, dataset_config: Path | None = None) -> Given:
    """What the file at ``path`` says. dataset_config: the file of its data set, where the one it names is not to be found.

    Raises ``ImportFileError`` for what cannot be imported, ``ForeignFileError`` for a file of weights that is damaged, and
    ``ProfileError`` with line and column for text that is not UTF-8 or not TOML.
    """
    if path.suffix.lower() == ".safetensors":
        return given_of_lora(read_lora_facts(path))
    given = _of_text(_text(path), path)
    given.folder = path.absolute().parent
    _command_config(given)
    _dataset_config(given, dataset_config)
    unknown = sum(entry.name not in OPTIONS for entry in given.options.values())
    if unknown > 5 and unknown > len(given.options) / 2:
        given.remarks.append(
            f"{unknown} of its {len(given.options)} settings are none of sd-scripts: is it one of its files?"
        )
    if not (given.arguments or any(entry.name in OPTIONS for entry in given.entries())):
        raise ImportFileError("holds no option of sd-scripts", where=str(path), hint=f"What can be imported: {_KINDS}.")
    return given


def _text(path: Path) -> str:
    if path.is_dir():
        raise ImportFileError("is a folder", where=str(path), hint=f"Name a file: {_KINDS}.")
    try:
        data = read_regular_file(path, limit=MAX_BYTES)
    except UnreadableFileError as error:
        raise ImportFileError(
            f"cannot be imported: {error}", where=str(path), hint=f"What can be: {_KINDS}."
        ) from error
    if data is None:
        raise ImportFileError("there is no such file", where=str(path), hint="Check the path.")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportFileError("is not a text", where=str(path), hint=f"What can be imported: {_KINDS}.")
    text = decode(data, str(path))
    if not text.strip():
        raise ImportFileError("is empty", where=str(path), hint=f"What can be imported: {_KINDS}.")
    return text


def _of_text(text: str, path: Path) -> Given:
    if text.lstrip().startswith("{") or path.suffix.lower() == ".json":
        return _of_json(text, path)
    try:
        tables, _ = parse_toml(text, str(path))
    except ProfileError:
        if not looks_like_a_command(text):
            raise
    else:
        if "schema" in tables and isinstance(tables.get("model"), dict) and "base" in tables["model"]:
            raise ImportFileError(
                "is a profile already", where=str(path), hint="Launch it, or copy it into the workspace."
            )
        given = Given("TOML of sd-scripts", path.name)
        read_tables(tables, given)
        return given
    given = Given("a command line of sd-scripts", path.name)
    command = read_command(text)
    if command.trainings > 1:
        given.remarks.append(f"the text starts {command.trainings} trainings: the last one is read")
    if reason := _other_training(command.script):
        given.remarks.append(f"{command.script} trains {reason}: look at base, rates and resolution")
    for name, value in command.launcher.items():
        own = "accelerate_config_file" if name == "config_file" else name
        entry = Entry(own, value, f"{name} (of the launcher)")
        if own in ("num_processes", "accelerate_config_file", *(option.name for option in LAUNCHER)):
            given.options[own] = entry
        else:
            given.set_aside.append(
                (entry, _LAUNCHERS.get(own, "of the launcher: the engine is started otherwise here"))
            )
    for name, value in command.options.items():
        given.add(name, value)
    if _CONDITIONAL.search(text):
        given.remarks.append("the script adds further options by itself (ext_args or the like), which are not read")
    return given


def _of_json(text: str, path: Path) -> Given:
    try:
        data: Any = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise ImportFileError(
            f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", where=where, hint="Mend that line."
        ) from None
    except (RecursionError, ValueError) as error:
        raise ImportFileError(
            "cannot be read as JSON", where=str(path), hint="It nests too deeply, or holds a huge number."
        ) from error
    if not isinstance(data, dict):
        raise ImportFileError("holds no object of settings", where=str(path), hint=f"What can be imported: {_KINDS}.")
    if has_training(data):
        given = given_of_metadata({str(key): as_text(value) for key, value in data.items()}, path.name)
        given.remarks.append("read as the metadata of a LoRA file")
        return given
    given = Given("JSON of kohya_ss' GUI" if is_gui_file(data) else "JSON with options of sd-scripts", path.name)
    if is_gui_file(data):
        read_gui(data, given)
    else:
        read_tables(data, given)
    return given


def given_of_lora(facts: LoraFacts) -> Given:
    """What a LoRA file says of its training, and by its tensors of the encoders.

    Raises ``ImportFileError`` if it says nothing.
    """
    if not has_training(facts.metadata):
        raise ImportFileError(
            "says nothing of its training: it has no ss_ metadata",
            where=str(facts.path),
            hint="sdxl-tui inspect shows what the file holds; a profile can start from it with network.start_from.",
        )
    given = given_of_metadata(facts.metadata, facts.path.name)
    given.folder = facts.path.absolute().parent
    given.trains_text = (
        "text encoder 1" in facts.parts or "text encoder" in facts.parts,
        "text encoder 2" in facts.parts,
    )
    return given


def _command_config(given: Given) -> None:
    """The config file that a command line names: what stands on the line goes before it."""
    entry = given.options.get("config_file")
    if entry is None or is_nothing(entry.value) or given.folder is None:
        return
    name = as_text(entry.value)
    path = _beside(given.folder, name) or _beside(given.folder, f"{name}.toml")
    if path is None:
        given.remarks.append(f"the options in {name} are missing: it is not on this machine")
        return
    tables, _ = parse_toml(_text(path), str(path))
    own = dict(given.options)
    given.options = {}
    read_tables(tables, given, prefix=f"{path.name}: ")
    for option, one in own.items():
        if option in given.options:
            given.set_aside.append((given.options[option], "the command line says otherwise"))
        given.options[option] = one


def _dataset_config(given: Given, named: Path | None) -> None:
    entry = given.options.get("dataset_config")
    written = "" if entry is None or is_nothing(entry.value) else as_text(entry.value)
    path = named
    if path is None and written and given.folder is not None:
        path = _beside(given.folder, written)
    if path is None:
        if written:
            given.remarks.append(
                f"the data set stands in {written}, which is not on this machine: name the file with --dataset-config"
            )
        return
    tables, _ = parse_toml(_text(path), str(path))
    scope = given.scope
    given.datasets = []
    own = dict(given.options)
    read_tables(tables, given, prefix=f"{path.name}: ")
    given.options |= own
    given.scope = scope
    if entry is not None:
        given.set_aside.append((given.options.pop("dataset_config"), f"read along: {len(given.datasets)} data sets"))


def _beside(folder: Path, written: str) -> Path | None:
    """The file as written, from here or from ``folder``, or one of its name in ``folder``; None if there is none."""
    for candidate in (Path(written), folder / written, folder / Path(written.replace("\\", "/")).name):
        try:
            if (path := candidate.expanduser()).is_file():
                return path
        except (OSError, ValueError, RuntimeError):
            continue
    return None


def _other_training(script: str) -> str:
    """What a script trains that is not LoRAs of SDXL; empty where it does, or cannot be told."""
    name = script.lower()
    if not name.endswith(".py") or name == "sdxl_train_network.py":
        return ""
    if name == "train_network.py":
        return "LoRAs of Stable Diffusion 1 and 2; here it is one of SDXL"
    if name.endswith("_train_network.py"):
        return "LoRAs of another family; here it is one of SDXL"
    if name in ("sdxl_train.py", "fine_tune.py", "train_db.py"):
        return "the whole model; here a LoRA of SDXL is trained"
    return "" if not _NO_LORA.search(name) else "something else than a LoRA; here a LoRA of SDXL is trained"
