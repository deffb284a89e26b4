"""A line of ``samples.prompts``: the prompt, and at its end what this picture has otherwise than the rest.

The options are those of sd-scripts' prompt files: ``a cat --n blurry --w 832 --h 1216 --d 7 --s 30 --l 5``. Torch-free.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.profile.schema.samples import Samples

_OPTION: Final = re.compile(r"(?:^|\s)--([A-Za-z]+)(?=\s|$)")
SAMPLERS: Final = ("euler", "euler_a", "ddim", "dpmpp_2m", "dpmpp_2m_karras", "unipc")


@dataclass(frozen=True)
class SamplePrompt:
    """One picture to draw."""

    prompt: str
    negative: str
    width: int
    """Pixels, a multiple of 8."""
    height: int
    steps: int
    guidance: float
    guidance_rescale: float
    seed: int
    sampler: str


def sample_prompts(settings: Samples) -> tuple[SamplePrompt, ...]:
    """The pictures that a profile asks for. Raises ``ValueError`` with a sentence about the line that is wrong."""
    return tuple(parse_sample_prompt(line, settings, index) for index, line in enumerate(settings.prompts))


def parse_sample_prompt(line: str, settings: Samples, index: int) -> SamplePrompt:
    """The picture of ``line``, number ``index``: the section's settings but for its own options.

    Raises ``ValueError`` with a sentence: an unknown option, one given twice, a value that is none.
    """
    prompt, options = _split(line)
    picture = SamplePrompt(
        prompt,
        settings.negative,
        settings.width,
        settings.height,
        settings.steps,
        settings.guidance,
        settings.guidance_rescale,
        settings.seed + index,
        str(settings.sampler),
    )
    for name, value in options.items():
        picture = _with(picture, name, value)
    return picture


def check_options(line: str) -> None:
    """Raise ``ValueError`` if ``line`` has an option that is none."""
    blank = SamplePrompt("", "", 1024, 1024, 25, 6.0, 0.0, 0, "euler")
    for name, value in _split(line)[1].items():
        _with(blank, name, value)


def _split(line: str) -> tuple[str, dict[str, str]]:
    found = list(_OPTION.finditer(line))
    if not found:
        return line, {}
    ends = [option.start() for option in found[1:]] + [len(line)]
    options: dict[str, str] = {}
    for option, end in zip(found, ends, strict=True):
        if option[1] in options:
            raise ValueError(f"has --{option[1]} twice")
        options[option[1]] = line[option.end() : end].strip()
    return line[: found[0].start()].rstrip(), options


def _with(picture: SamplePrompt, name: str, value: str) -> SamplePrompt:
    read = _READERS.get(name)
    if read is None:
        raise ValueError(f"has the option --{name}, which is none")
    field, reader = read
    changed: Any = {field: reader(name, value)}
    return replace(picture, **changed)


def _text(_: str, value: str) -> str:
    return value


def _sampler(name: str, value: str) -> str:
    if value not in SAMPLERS:
        raise ValueError(f"has --{name} {value}, which must be one of {', '.join(SAMPLERS)}")
    return value


def _seed(name: str, value: str) -> int:
    return _whole(name, value, 0, 2**63 - 1)


def _steps(name: str, value: str) -> int:
    return _whole(name, value, 1, 200)


def _size(name: str, value: str) -> int:
    size = _whole(name, value, 64, 4096)
    if size % 8:
        raise ValueError(f"has --{name} {value}, which must be a multiple of 8")
    return size


def _whole(name: str, value: str, low: int, high: int) -> int:
    if not value.isascii() or not value.isdecimal() or not low <= int(value) <= high:
        raise ValueError(f"has --{name} {value}, which must be a whole number from {low} to {high:,}")
    return int(value)


def _guidance(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 50:
        raise ValueError(f"has --{name} {value}, which must be a number from 0 to 50")
    return number


_READERS: Final[dict[str, tuple[str, Callable[[str, str], Any]]]] = {
    "n": ("negative", _text),
    "w": ("width", _size),
    "h": ("height", _size),
    "d": ("seed", _seed),
    "s": ("steps", _steps),
    "l": ("guidance", _guidance),
    "ss": ("sampler", _sampler),
}
"""By option: the field it changes, and what reads its value."""
