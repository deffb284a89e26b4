"""The rule about ``[samples]``: the options at the end of a prompt are ones, with values that are."""

from __future__ import annotations

from typing import Final

from engine.profile.rule import Broken, Rule, Values
from engine.profile.sample_prompts import check_options


def _options_are_known(values: Values) -> Broken | None:
    lines = values["samples.prompts"]
    for number, line in enumerate(lines if isinstance(lines, list | tuple) else (), start=1):
        try:
            check_options(str(line))
        except ValueError as error:
            return Broken(f"number {number} {error}", "options are --n --w --h --d --s --l --ss, each with its value")
    return None


SAMPLE_RULES: Final = (
    Rule(
        ("samples.prompts",),
        "A prompt of `samples.prompts` may end in options: `--n` negative prompt, `--w` and `--h` size, `--d` seed, `--s` steps, "
        "`--l` guidance, `--ss` sampler.",
        _options_are_known,
    ),
)
