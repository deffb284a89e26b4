"""``inspect`` on what other trainers wrote: a training state of sd-scripts, or a LoRA file."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.user_path import user_path
from sdxl_tui.cli.arguments import EXIT_OK
from sdxl_tui.cli.output import out
from sdxl_tui.terminal.clean import clean


def is_foreign(named: str) -> bool:
    """Whether ``named`` is a LoRA file or a folder in sd-scripts' layout, and not one of our checkpoints."""
    from engine.foreign.sd_scripts_state import is_sd_scripts_state  # noqa: PLC0415

    path = user_path(named)
    if path.is_dir():
        return is_sd_scripts_state(path) or (path.name.endswith("-state") and not (path / "manifest.json").exists())
    return path.suffix == ".safetensors" and path.is_file()


def inspect_foreign(named: str, *, json: bool) -> int:
    """Print what the file or folder tells. Raises ``ForeignFileError``."""
    from engine.foreign.lora_facts import read_lora_facts  # noqa: PLC0415
    from engine.foreign.report import lora_lines, state_lines  # noqa: PLC0415
    from engine.foreign.sd_scripts_state import read_sd_scripts_state  # noqa: PLC0415

    path = user_path(named)
    if path.is_dir():
        state = read_sd_scripts_state(path)
        lines, facts = state_lines(state), _state_as_json(state)
    else:
        lora = read_lora_facts(path)
        lines, facts = lora_lines(lora), asdict(lora)
    if json:
        out().json(_plain(facts))
    else:
        out().fields(_wrapped(lines))
    return EXIT_OK


def _wrapped(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Long values broken at spaces, where a person reads them; a script gets one line each."""
    if not out().is_terminal:
        return lines
    room = max(30, out().width - max(len(name) for name, _ in lines) - 2)
    return [(name, "\n".join(textwrap.wrap(clean(value), room)) or "") for name, value in lines]


def _state_as_json(state: Any) -> dict[str, Any]:
    from engine.foreign.sd_scripts_resume import answers, rate_passed_over  # noqa: PLC0415
    from engine.foreign.sd_scripts_state import schedule_kind  # noqa: PLC0415

    kind, source = schedule_kind(state)
    return asdict(state) | {
        "format": "sd-scripts",
        "schedule": {"kind": kind, "known": source},
        "true_step": state.true_step,
        "parts_of_groups": list(state.parts_of_groups),
        "position_disagrees": state.position_disagrees,
        "rate_passed_over": rate_passed_over(state),
        "sd_scripts_at_resume": [asdict(answer) for answer in answers(state)],
    }


def _plain(value: Any) -> Any:
    """``value`` with paths as text, for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
