"""Which encoders are trained, and the base rates of all parts: sd-scripts decides both by its learning rates and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine.foreign.sd_scripts.given import Entry
from engine.foreign.sd_scripts.option import Fate
from engine.foreign.sd_scripts.translation import Translation
from engine.foreign.sd_scripts.values import as_flag, as_number, as_numbers, shown
from engine.profile.optimizer_kinds import OPTIMIZERS, OptimizerKind
from engine.profile.optimizer_rules import LEAST_ADAPTIVE_LR

TEXT: Final[tuple[str, str]] = ("network.text_encoder", "network.text_encoder_2")


@dataclass
class _Rates:
    """What the file says; None where it says nothing."""

    base: float | None
    unet: float | None
    text: list[float] | None


def translate_rates(t: Translation, kind: OptimizerKind) -> None:
    """Rates of the optimizer's groups, and the switches of the two encoders."""
    base, unet, text = t.entry("learning_rate"), t.entry("unet_lr"), _text_entry(t)
    numbers: list[float] = t.read(text, as_numbers, []) if text else []
    rates = _Rates(t.read(base, _rate, None), t.read(unet, _rate, None), numbers or None)
    if rates.text is not None and (one := t.entry("learning_rate_te2")) is not None and len(rates.text) == 1:
        rates.text = [rates.text[0], t.read(one, as_number, rates.text[0])]
    trained = _trained(t, rates, text)
    t.values |= dict(zip(TEXT, trained, strict=True))
    if OPTIMIZERS[kind].adaptive:
        _one_rate(t, kind, rates, (base, unet, text), trained)
        return
    if base is not None and rates.base:
        t.put("optimizer.lr", rates.base, base, note=_unused(t, rates, trained))
    elif rates.unet:
        t.values["optimizer.lr"] = rates.unet
    elif t.takes_defaults and not rates.text:
        t.put_default("optimizer.lr", 2e-6, "learning_rate")
    elif rates.text:
        t.values["optimizer.lr"] = max(rates.text)
    lr = t.values.get("optimizer.lr", 1e-4)
    if unet is not None and rates.unet and t.values.get("network.attention", True):
        t.values["optimizer.unet_lr"] = rates.unet if rates.unet != lr else None
        t.tell(unet, Fate.TRANSLATED, (("optimizer.unet_lr" if rates.unet != lr else "optimizer.lr", rates.unet),))
    _text_rates(t, rates, text, trained, lr)


def _rate(value: Any) -> float | None:
    return as_number(value)


def _text_entry(t: Translation) -> Entry | None:
    return t.first("text_encoder_lr", "learning_rate_te1", "learning_rate_te")


def _trained(t: Translation, rates: _Rates, text: Entry | None) -> tuple[bool, bool]:
    """Whether each encoder is trained; says so of the flags that decide it."""
    only_unet = t.entry("network_train_unet_only")
    if t.given.trains_text is not None:
        trained = t.given.trains_text
    elif t.flag("network_train_unet_only"):
        trained = (False, False)
    elif rates.text is not None:
        first, second = rates.text[0], rates.text[1] if len(rates.text) > 1 else rates.text[0]
        trained = (first > 0, second > 0)
    elif t.takes_defaults:
        trained = (True, True)
    else:
        trained = (False, False)
        t.remark(
            "whether text encoders were trained is not stored: they are off; network.text_encoder switches them on"
        )
    if t.given.is_gui and not any(rates.text or ()):
        trained = (False, False) if rates.unet else (True, True)
        if text is not None and not rates.unet:
            t.tell(text, Fate.TRANSLATED, note="0 with unet_lr 0, too: the GUI takes learning_rate for all")
    if only_unet is not None:
        t.tell(only_unet, Fate.TRANSLATED, tuple(zip(TEXT, trained, strict=True)))
    elif any(trained) and rates.text is None and t.takes_defaults:
        note = "sd-scripts trains both encoders unless it is told network_train_unet_only"
        t.tell_default("network_train_unet_only", "false", tuple(zip(TEXT, trained, strict=True)), note)
    caches = t.entry("cache_text_encoder_outputs")
    if caches is not None and any(trained) and t.read(caches, as_flag, False) and not t.given.is_gui:
        note = "sd-scripts refuses it beside trained encoders; if the UNet alone was trained, set network.text_encoder = false"
        t.tell(caches, Fate.MEANINGLESS, note=note, warning=True)
    return trained


def _unused(t: Translation, rates: _Rates, trained: tuple[bool, bool]) -> str:
    """What there is to say of learning_rate where every part that is trained has its own."""
    if rates.unet and (rates.text or not any(trained)) and rates.base != rates.unet:
        return "no part uses it: each has its own rate"
    return ""


def _text_rates(t: Translation, rates: _Rates, text: Entry | None, trained: tuple[bool, bool], lr: float) -> None:
    if text is None:
        return
    if not any(trained) or rates.text is None:
        fate = Fate.TRANSLATED if rates.text and not any(rates.text) else Fate.MEANINGLESS
        t.tell(text, fate, tuple(zip(TEXT, trained, strict=True)), "no encoder is trained")
        return
    first, second = rates.text[0], rates.text[1] if len(rates.text) > 1 else rates.text[0]
    if not first:
        first = second  # of an encoder that is not trained
    t.values["optimizer.text_encoder_lr"] = first if first != lr else None
    becomes: tuple[tuple[str, float], ...] = (("optimizer.text_encoder_lr", first),)
    if second and second != first:
        t.values["optimizer.text_encoder_2_lr"] = second
        becomes += (("optimizer.text_encoder_2_lr", second),)
    note = "with 0 an encoder is not trained" if not all(trained) else ""
    if len(rates.text) > 2:
        note = "SDXL has two encoders: the first two count"
    t.tell(text, Fate.TRANSLATED, becomes, note)
    for name, path in (("learning_rate_te1", "text_encoder_lr"), ("learning_rate_te2", "text_encoder_2_lr")):
        if (entry := t.entry(name)) is not None:
            t.tell(entry, Fate.TRANSLATED, ((f"optimizer.{path}", t.read(entry, as_number, first)),))


def _one_rate(
    t: Translation,
    kind: OptimizerKind,
    rates: _Rates,
    entries: tuple[Entry | None, Entry | None, Entry | None],
    trained: tuple[bool, bool],
) -> None:
    """The rate of an optimizer that finds one for all parts and multiplies it: the first group's, as there."""
    first = rates.text[0] if rates.text and any(trained) and rates.text[0] else None
    wanted = rates.unet or rates.base or first
    used = wanted if wanted is not None and wanted >= LEAST_ADAPTIVE_LR else 1.0
    t.values["optimizer.lr"] = used
    for entry, rate in zip(entries, (rates.base, rates.unet, first), strict=True):
        if entry is None:
            continue
        if not rate:
            t.tell(entry, Fate.MEANINGLESS, note="not set, or of a part that is not trained")
        elif rate == used:
            t.tell(entry, Fate.TRANSLATED, (("optimizer.lr", used),))
        elif rate == wanted:
            note = f"{kind} multiplies the rate it finds by this: it would not learn, 1 is taken"
            t.tell(entry, Fate.UNSUPPORTED, (("optimizer.lr", used),), note, warning=True)
        else:
            note = f"{kind} finds one rate for all parts; {shown(used)} is taken"
            t.tell(entry, Fate.UNSUPPORTED, note=note, warning=entry.name != "learning_rate")
