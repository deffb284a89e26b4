"""Everything a training state or LoRA file of sd-scripts tells, and what sd-scripts itself would do with a changed argument."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from engine.foreign.lora_facts import LoraFacts
from engine.foreign.report import Lines, lora_lines, stored_lines
from engine.foreign.sd_scripts_resume import answers
from engine.foreign.sd_scripts_state import SdScriptsState
from sdxl_tui.fleet.foreign_states import ForeignEntry, ForeignProblem, StateFolder
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.fact_lines import MUTED, fact_lines

HAPPENS: Final = {"applied": "$success", "ignored": "$warning", "jumps": "$warning", "fails": "$error"}
NAME_CELLS: Final = 11


ONWARD: Final = Content.assemble(
    ("\n\nc ", "bold $primary"), "train on  from its weights in a run: a new LR and schedule, or another rank"
)


def state_details(shown: ForeignEntry | StateFolder, width: int) -> Content:
    """The text for a row of a folder of states, in ``width`` cells. An entry has been read."""
    if isinstance(shown, StateFolder):
        return _folder(shown)
    heading = Content.assemble((clean(shown.path.name), "bold"), ("  sd-scripts\n", MUTED))
    match shown.described:
        case SdScriptsState() as state:
            return heading + _state(state, width)
        case LoraFacts() as facts:
            only = (
                "\nA LoRA file alone: there is no optimizer and no scheduler in it, so nothing can be resumed from it."
            )
            return heading + _told(lora_lines(facts), width) + Content.styled(only, MUTED) + ONWARD
        case ForeignProblem(reason):
            return heading + Content.assemble(("\ncannot be read\n\n", "bold $error"), clean(reason, lines=True))
    return heading


def _folder(folder: StateFolder) -> Content:
    found = format_count(len(folder.entries)) if folder.entries else "no"
    return Content.assemble(
        (clean(str(folder.path)), "bold"),
        (f"\n{found} training states and LoRA files of sd-scripts.", MUTED),
        (f"\n\n{clean(folder.problem)}.", "$warning") if folder.problem else "",
        ("\n\nNothing in it is changed. To show it no longer: sdxl-tui folders remove DIR", MUTED),
    )


def _state(state: SdScriptsState, width: int) -> Content:
    parts = [
        _told(stored_lines(state), width) + ONWARD,
        Content.styled("\nWhat sd-scripts itself does at --resume with a changed argument", "bold"),
    ]
    for answer in answers(state):
        happens = Content.styled(f"{answer.happens:<8}", f"bold {HAPPENS.get(answer.happens, '')}")
        parts.append(happens + Content(clean(answer.argument)))
        parts.append(fact_lines([("", Content.styled(clean(answer.sentence), MUTED))], width, name_cells=8))
    return Content("\n").join(parts)


def _told(lines: Lines, width: int) -> Content:
    return fact_lines([(clean(name), clean(value)) for name, value in lines], width, name_cells=NAME_CELLS)
