"""A line of a prompt file without the options that mean nothing here, or whose values do not."""

from __future__ import annotations

import re
from typing import Final

from engine.foreign.sd_scripts.training_options import SAMPLERS
from engine.profile.sample_prompts import check_options

_OPTION: Final = re.compile(r"(?:^|\s)--([A-Za-z]+)(?=\s|$)")
_SIZES: Final = ("w", "h")


def without_foreign_options(line: str) -> tuple[str, list[str]]:
    """The line as ``samples.prompts`` takes it, and the options that were left out, ``--am 1.0``.

    Sizes become multiples of 8 and samplers get their names here, as sd-scripts does.
    """
    found = list(_OPTION.finditer(line))
    if not found:
        return line, []
    ends = [option.start() for option in found[1:]] + [len(line)]
    kept, left, seen = [line[: found[0].start()].strip()], [], set()
    for option, end in zip(found, ends, strict=True):
        name, value = option[1], line[option.end() : end].strip()
        if name in _SIZES and value.isdecimal() and len(value) < 6:
            value = str(max(64, int(value) // 8 * 8))
        if name == "ss":
            value = SAMPLERS.get(value, value)
        piece = f"--{name} {value}".strip()
        try:
            check_options(piece)
        except ValueError:
            left.append(f"--{name}")
        else:
            if name not in seen:
                kept.append(piece)
            seen.add(name)
    return " ".join(part for part in kept if part), left
