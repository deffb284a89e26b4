"""The JSON files of kohya_ss' graphical front end: its words for sd-scripts' options, and its own choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.foreign.sd_scripts.command_line import read_command
from engine.foreign.sd_scripts.given import Entry, Given
from engine.foreign.sd_scripts.network_options import ARGUMENTS
from engine.foreign.sd_scripts.values import as_text, is_nothing

SIGNS: Final = frozenset({"LoRA_type", "lora_type", "max_resolution", "lr_warmup", "model_list", "noise_offset_type"})
"""Keys by which such a file is known."""
_RENAMED: Final = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "lora_network_weights": "network_weights",
    "LyCORIS_preset": "preset",
    "sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs",
}
_TYPES: Final[dict[str, tuple[str, str | None]]] = {
    "standard": ("networks.lora", None),
    "kohya locon": ("networks.lora", None),
    "kohya loha": ("networks.loha", None),
    "kohya lokr": ("networks.lokr", None),
    "locon": ("lycoris.kohya", "locon"),
    "lycoris/locon": ("lycoris.kohya", "locon"),
    "lycoris/loha": ("lycoris.kohya", "loha"),
    "lycoris/lokr": ("lycoris.kohya", "lokr"),
    "kohya dylora": ("networks.dylora", None),
    "lora-fa": ("networks.lora_fa", None),
    "flux1": ("networks.lora_flux", None),
    "flux1 oft": ("networks.oft_flux", None),
}
"""By the GUI's type: network module and LyCORIS' algorithm."""
_NOISE: Final = {
    "original": ("multires_noise_iterations", "multires_noise_discount"),
    "multires": ("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale"),
}
"""By the kind of noise that is chosen: what does not count."""
_ARGUMENTS: Final = {option.name for option in ARGUMENTS} - {"dropout"}


def is_gui_file(keys: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one of the GUI's files."""
    return bool(SIGNS & keys.keys()) or {"optimizer", "num_cpu_threads_per_process"} <= keys.keys()


def read_gui(data: Mapping[str, Any], given: Given) -> None:
    """Fill ``given`` with sd-scripts' options by the GUI's fields."""
    given.is_gui = True
    written = next(
        (as_text(data[name]) for name in ("LoRA_type", "lora_type") if not is_nothing(data.get(name))), "Standard"
    )
    module, algorithm = _TYPES.get(written.lower(), ("lycoris.kohya", written.rpartition("/")[2].lower()))
    has_convolutions = module != "networks.lora" or written.lower() == "kohya locon"
    for key, value in data.items():
        name = _RENAMED.get(key, key)
        if key.lower() == "lora_type":
            given.options["network_module"] = Entry("network_module", module, key, value)
            if algorithm is not None:
                given.arguments["algo"] = Entry("algo", algorithm, f"{key} (algo)", value)
        elif name in _ARGUMENTS:
            entry = Entry(name, value, key)
            if _belongs(name, module, algorithm, has_convolutions=has_convolutions) or is_nothing(value):
                given.arguments[name] = entry
            else:
                given.set_aside.append((entry, f"not of LoRA_type {written}"))
        elif name == "additional_parameters":
            _add_parameters(given, key, value)
        else:
            label = "" if key == name else key
            _add(given, Entry(name, value, label))
    kind = given.options.get("noise_offset_type")
    for name in _NOISE.get(as_text(kind.value).lower() if kind else "", ()):
        if name in given.options and not is_nothing(given.options[name].value) and kind is not None:
            given.set_aside.append((given.options.pop(name), f"noise_offset_type is {as_text(kind.value)}"))
    if kind is not None:
        given.set_aside.append((given.options.pop("noise_offset_type"), "decides which noise counts"))


def _add(given: Given, entry: Entry) -> None:
    """Take a field; of two that mean the same option the one that says something counts, else the first."""
    there = given.options.get(entry.name)
    if there is None:
        given.options[entry.name] = entry
    elif is_nothing(there.value):
        given.options[entry.name] = entry
        given.set_aside.append((there, "not set"))
    else:
        why = "not set" if is_nothing(entry.value) else f"{there.shown_name} says it"
        given.set_aside.append((entry, why))


def _belongs(name: str, module: str, algorithm: str | None, *, has_convolutions: bool) -> bool:
    """Whether the GUI hands an argument on for a type."""
    if name in ("conv_dim", "conv_alpha", "conv_block_dims", "conv_block_alphas"):
        return has_convolutions
    if name in ("factor", "decompose_both"):
        return "lokr" in (algorithm, module.rpartition(".")[2])
    if name in (
        "preset",
        "dora_wd",
        "use_tucker",
        "use_cp",
        "use_scalar",
        "train_norm",
        "bypass_mode",
        "rank_dropout_scale",
    ):
        return module == "lycoris.kohya"
    if name in ("unit", "constrain", "rescaled", "train_on_input"):
        return module == "lycoris.kohya" and algorithm not in ("locon", "loha", "lokr")
    return True


def _add_parameters(given: Given, key: str, value: Any) -> None:
    """Further arguments go before the GUI's own, as on a command line."""
    if is_nothing(value):
        given.options[key] = Entry(key, value)
        return
    options = read_command(f"train.py {as_text(value)}").options
    given.set_aside.append((Entry(key, value), f"{len(options)} arguments, each told as {key} --NAME"))
    for name, each in options.items():
        if name in given.options:
            given.set_aside.append((given.options[name], f"{key} says otherwise"))
        given.options[name] = Entry(name, each, f"{key} --{name}")
