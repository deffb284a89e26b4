"""``[network]`` from sd-scripts' network module and its arguments: networks.lora, and LyCORIS' algorithms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from engine.foreign.errors import ForeignFileError
from engine.foreign.lora_facts import read_lora_facts
from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.to_paths import local_path
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_arguments, as_flag, as_number, as_text, as_whole, is_nothing

KINDS: Final = {"lora": "lora", "locon": "lora", "loha": "loha", "lokr": "lokr"}
"""Our kind by LyCORIS' algorithm."""
MAX_RANK: Final = 1024
OWN_MODULES: Final = {"networks.lora", "networks.loha", "networks.lokr"}
PRESETS: Final = {
    "full": (True, True),
    "full-lin": (False, True),
    "attn-mlp": (False, True),
    "attn-only": (False, False),
}
"""By LyCORIS' preset: convolutions, feed-forward layers."""


def translate_network(t: Translation) -> None:
    """Kind, ranks, alphas and the parts that are trained."""
    t.arguments |= t.given.arguments
    found = t.entry("network_args")
    if found is not None:
        arguments = as_arguments(found.value)
        for name, value in arguments.items():
            t.arguments[name] = Entry(name, value, f"network_args {name}")
        t.tell(found, Fate.TRANSLATED, note=f"{len(arguments)} arguments, each told below")
    if (custom := t.entry("network_args_custom")) is not None:
        further = as_arguments(custom.value)
        t.arguments |= {name: Entry(name, value, f"network_args_custom {name}") for name, value in further.items()}
        t.tell(custom, Fate.TRANSLATED, note=f"{len(further)} arguments, each told below")
    kind, is_lycoris = _kind(t)
    _of_the_kind(t, kind)
    _rank(t, kind)
    _parts(t, kind, is_lycoris)
    _start(t)


def _argument(t: Translation, name: str) -> Entry | None:
    entry = t.arguments.get(name)
    return None if entry is None or is_nothing(entry.value) else entry


def _kind(t: Translation) -> tuple[str, bool]:
    module, algo = t.entry("network_module"), _argument(t, "algo")
    name = as_text(module.value).strip() if module else ""
    is_lycoris = name.startswith("lycoris") or name == "locon.locon_kohya" or (module is None and algo is not None)
    kind = "lora"
    if algo is not None and is_lycoris:
        word = as_text(algo.value).lower()
        if word in KINDS:
            kind = KINDS[word]
            t.put("network.kind", kind, algo)
        else:
            note = f"LyCORIS' {word} is not among the kinds, which are lora, loha and lokr: a LoRA is trained instead"
            t.tell(algo, Fate.UNSUPPORTED, note=note, warning=True)
    elif algo is not None:
        t.tell(algo, Fate.MEANINGLESS, note="counts with LyCORIS alone")
    if module is None and algo is None and t.takes_defaults and not t.has_any("network_dim", "network_weights"):
        t.remark("it names no network: sd-scripts trains a whole model with it, here a LoRA is trained")
    if module is not None:
        if is_lycoris:
            t.tell(module, Fate.TRANSLATED, (("network.kind", kind),))
        elif name in OWN_MODULES:
            kind = name.removeprefix("networks.")
            t.put("network.kind", kind, module)
        else:
            note = (
                "this network module is not among the kinds, which are lora, loha and lokr: a LoRA is trained instead"
            )
            t.tell(module, Fate.UNSUPPORTED, note=note, warning=True)
    return kind, is_lycoris


def _of_the_kind(t: Translation, kind: str) -> None:
    for alias in ("dora_wd", "weight_decompose"):
        entry = _argument(t, alias)
        if entry is not None and t.read(entry, as_flag, False):
            t.put("network.dora", True, entry)
        elif entry is not None:
            t.tell(entry, Fate.MEANINGLESS, note="off, as here")
    factor = _argument(t, "factor")
    if factor is not None:
        size = t.read(factor, as_whole, -1)
        if kind != "lokr":
            t.tell(factor, Fate.MEANINGLESS, note="counts with algo lokr alone")
        elif size > 1:
            t.put("network.lokr_factor", size, factor)
        else:
            t.tell(factor, Fate.TRANSLATED, note="near the square root of each width, as by default here")


def _rank(t: Translation, kind: str) -> None:
    dim, alpha = t.entry("network_dim"), t.entry("network_alpha")
    if dim is not None:
        size = t.read(dim, as_whole, 4)
        is_whole = kind == "lokr" and size > MAX_RANK
        note = f"so that the larger factor is not decomposed; {MAX_RANK} is the highest rank here" if is_whole else ""
        t.put("network.rank", MAX_RANK if is_whole else size, dim, note=note, warning=is_whole)
    elif t.takes_defaults:
        t.put_default("network.rank", 4, "network_dim")
    rank = t.values.get("network.rank", 16)
    if alpha is not None:
        value = t.read(alpha, as_number, 1.0)
        # 0 means the rank, in networks.lora as in LyCORIS
        t.put("network.alpha", value or float(rank), alpha, note="" if value else "0 is the rank")
    elif t.takes_defaults:
        t.put_default("network.alpha", 1.0, "network_alpha")
    dropout = _argument(t, "dropout")
    if dropout is not None:
        t.put("network.dropout", t.read(dropout, as_number, 0.0), dropout)


def _parts(t: Translation, kind: str, is_lycoris: bool) -> None:
    convolutions, feed_forward = (True, True) if is_lycoris else (False, True)
    preset = _argument(t, "preset")
    if preset is not None:
        word = as_text(preset.value)
        if not is_lycoris:
            t.tell(preset, Fate.MEANINGLESS, note="counts with LyCORIS alone")
        elif word in PRESETS:
            convolutions, feed_forward = PRESETS[word]
            becomes = (("network.convolutions", convolutions), ("network.feed_forward", feed_forward))
            t.tell(preset, Fate.TRANSLATED, becomes)
        else:
            note = "parts are attention, feed_forward, convolutions and the encoders; LyCORIS' full is taken instead"
            t.tell(preset, Fate.UNSUPPORTED, note=note, warning=True)
    elif is_lycoris and t.takes_defaults:
        t.tell_default("network_args preset", "full", (("network.convolutions", True),), "LyCORIS trains them, too")
    convolutions = _convolutions(t, kind, is_lycoris, convolutions)
    only_text = t.entry("network_train_text_encoder_only")
    trains_unet = not t.flag("network_train_text_encoder_only")
    if only_text is not None:
        off = (("network.attention", False), ("network.feed_forward", False))
        t.tell(only_text, Fate.TRANSLATED, () if trains_unet else off)
    unet_rate = t.entry("unet_lr")
    counts = not t.given.is_gui or t.has_any("text_encoder_lr")  # the GUI takes learning_rate where both are 0
    if unet_rate is not None and counts and t.read(unet_rate, as_number, 1.0) == 0:
        trains_unet = False
        t.tell(
            unet_rate,
            Fate.TRANSLATED,
            (("network.attention", False), ("network.feed_forward", False)),
            "0: not trained",
        )
    t.values["network.attention"] = trains_unet
    t.values["network.feed_forward"] = trains_unet and feed_forward
    t.values["network.convolutions"] = trains_unet and convolutions
    if not t.values["network.convolutions"]:
        for name in ("conv_rank", "conv_alpha"):
            t.values.pop(f"network.{name}", None)


def _convolutions(t: Translation, kind: str, is_lycoris: bool, wanted: bool) -> bool:
    """Sets the convolutions' rank and alpha; returns whether they are trained."""
    dim, alpha = _argument(t, "conv_dim"), _argument(t, "conv_alpha")
    rank, own = t.values.get("network.rank", 16), t.values.get("network.alpha", 16.0)
    if dim is None:
        if alpha is not None and not (is_lycoris and wanted):
            t.tell(alpha, Fate.MEANINGLESS, note="counts with conv_dim")
        elif alpha is not None:
            t.put("network.conv_alpha", t.read(alpha, as_number, own), alpha)
        return is_lycoris and wanted
    size = t.read(dim, as_whole, 0)
    size = min(size, MAX_RANK) if kind == "lokr" else size
    if size <= 0 or (is_lycoris and not wanted):
        t.tell(dim, Fate.TRANSLATED, (("network.convolutions", False),))
        if alpha is not None:
            t.tell(alpha, Fate.MEANINGLESS, note="no convolution is trained")
        return False
    t.values["network.conv_rank"] = size
    t.tell(dim, Fate.TRANSLATED, (("network.convolutions", True), ("network.conv_rank", size)))
    strength = t.read(alpha, as_number, own if is_lycoris else 1.0) or float(size)
    follows = strength == own * size / rank
    t.values["network.conv_alpha"] = None if follows and alpha is None else strength
    if alpha is not None:
        t.tell(alpha, Fate.TRANSLATED, (("network.conv_alpha", strength),))
    elif not follows:
        t.tell_default("network_args conv_alpha", f"{strength:g}", (("network.conv_alpha", strength),))
    return True


def _start(t: Translation) -> None:
    weights, from_weights = t.entry("network_weights"), t.entry("dim_from_weights")
    path = local_path(t, weights) if weights is not None else None
    if weights is not None and path is not None:
        t.put("network.start_from", path, weights)
    if from_weights is None:
        return
    if not t.flag("dim_from_weights"):
        t.tell(from_weights, Fate.MEANINGLESS, note="off, as here")
        return
    try:
        facts = read_lora_facts(Path(path)) if path is not None else None
    except ForeignFileError:
        facts = None
    if facts is None or not facts.ranks:
        note = "the file cannot be read here: set network.rank and network.alpha to its own (sdxl-tui inspect FILE)"
        t.tell(from_weights, Fate.UNSUPPORTED, note=note, warning=True)
        return
    t.values["network.rank"] = facts.ranks[0]
    t.values["network.alpha"] = facts.alphas[0] if facts.alphas else float(facts.ranks[0])
    t.tell(from_weights, Fate.TRANSLATED, tuple((path, t.values[path]) for path in ("network.rank", "network.alpha")))


def profile_name(text: str) -> str:
    """``text`` as a name that a profile may have; ``imported`` where nothing is left of it."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("-._")[:64]
    return (cleaned if cleaned == text else cleaned.rstrip("-")) or "imported"
