"""The data set and the estimate of a profile as lines: what stands beside the editor's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual.content import Content

from engine.estimate.estimate import Estimate, size_text
from engine.estimate.memory import PROGRAM_BYTES
from sdxl_tui.fleet.profile_outlook import DataAnswer, Room
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count
from sdxl_tui.widgets.fact_lines import MUTED, fact_lines

if TYPE_CHECKING:
    from engine.data.report import DatasetReport

Pairs = list[tuple[str, "str | Content"]]

BUCKETS: Final = 6
"""Buckets that are shown, the fullest; the rest is counted."""
REMARKS: Final = 3
BAR: Final = 12
"""Width of the longest bar."""
WARN: Final = "$warning"


def data_lines(answer: DataAnswer, width: int) -> Content:
    """Images, epochs, buckets, and what a person should hear of them."""
    found = answer.found
    if found is None:
        return Content.styled(clean(answer.reason, limit=600), "$error")
    report = found.report
    pairs: Pairs = [
        ("Images", f"{format_count(report.images)} · {format_count(report.seen_per_epoch)} seen per epoch"),
        ("Epoch", f"{format_count(report.batches_per_epoch)} batches · {report.steps_per_epoch:g} steps"),
        ("Length", f"{format_count(found.steps)} steps · {found.epochs:g} epochs"),
    ]
    if answer.stages:
        pairs.insert(0, ("Stage", f"1 of {answer.stages}"))
    pairs += _buckets(report)
    pairs += [("", clean(line)) for line in report.lines()]
    if report.skipped:
        first = report.skipped[0]
        said = f"{len(report.skipped)}: {first.path.name}: {first.reason}"
        pairs.append(("Left out", Content.styled(clean(said), WARN)))
    for at, (sentence, _) in enumerate(found.remarks[:REMARKS]):
        pairs.append(("Note" if at == 0 else "", Content.styled(clean(sentence), WARN)))
    if len(found.remarks) > REMARKS:
        pairs.append(("", f"and {len(found.remarks) - REMARKS} more: sdxl-tui dataset"))
    return fact_lines(pairs, width, name_cells=9)


def _buckets(report: DatasetReport) -> Pairs:
    fullest = sorted(report.buckets.items(), key=lambda item: -item[1])[:BUCKETS]
    most = fullest[0][1]
    names = [name.replace("x", "×") for name, _ in fullest]
    wide, high = max(map(len, names)), len(format_count(most))
    pairs: Pairs = []
    for name, (_, count) in zip(names, fullest, strict=True):
        bar = "█" * max(1, round(BAR * count / most))
        line = Content.assemble(f"{name:>{wide}} {format_count(count):>{high}} ", (bar, "$primary 60%"))
        pairs.append(("" if pairs else "Buckets", line))
    if (more := len(report.buckets) - len(fullest)) > 0:
        pairs.append(("", Content.styled(f"and {more} smaller bucket{'s' * (more > 1)}", MUTED)))
    return pairs


def estimate_lines(found: Estimate, rooms: Sequence[Room], width: int) -> Content:
    """Memory part by part against the devices, disk against what is free, and time as far as it was measured."""
    memory, disk = found.memory, found.disk
    on_gpu = any(room.device.startswith("GPU") for room in rooms)
    pairs: Pairs = [("Memory", f"about {size_text(memory.total + PROGRAM_BYTES)}")]
    parts = (*memory.parts, ("CUDA" if on_gpu else "the program", PROGRAM_BYTES))
    head = fact_lines(pairs, width, name_cells=9)
    pairs = list(_rooms(rooms))
    free = "" if found.free_disk is None else f"{size_text(found.free_disk)} free"
    said = f"up to {size_text(disk.total)} · {found.kept()} · {size_text(disk.cache)} of cache"
    pairs.append(("Disk", said))
    if free:
        verdict = f"{free}: {'enough' if found.disk_suffices else 'not enough'}"
        pairs.append(("", Content.styled(verdict, "$success" if found.disk_suffices else "bold $error")))
    pairs.append(("Time", clean(found.time())))
    return Content("\n").join([head, *_parts(parts, width), fact_lines(pairs, width, name_cells=9)])


def _parts(parts: Sequence[tuple[str, int]], width: int) -> list[Content]:
    """A line for each part of the memory, with a bar where there is room for it."""
    widest, most = max(len(name) for name, _ in parts), max(number for _, number in parts)
    lines = []
    for name, number in parts:
        bar = f" {'█' * round(BAR * number / most)}" if width >= widest + 12 + BAR else ""
        lines.append(
            Content.assemble((f"  {name:<{widest}} ", MUTED), f"{size_text(number):>8}", (bar, "$primary 60%"))
        )
    return lines


def _rooms(rooms: Sequence[Room]) -> Pairs:
    pairs: Pairs = []
    for room in rooms:
        taken = f", {size_text(room.used)} in use" if room.used > room.total // 100 else ""
        of = f"{clean(room.device)}, {size_text(room.total)}{taken}: "
        if not room.suffices:
            verdict, style = f"{size_text(room.needed - room.total)} too little", "bold $error"
        elif not room.suffices_now:
            verdict, style = "too full now", WARN
        else:
            verdict, style = f"fits, {size_text(room.total - room.used - room.needed)} to spare", "$success"
        pairs.append(("", Content.assemble(of, (verdict, style))))
    return pairs
