"""A line of a family, from its first run to one of its last, as one history over the family's steps.

Each run counts its steps from 1; on the line they follow those of the run it came from, which counts only up to the checkpoint
that was continued, and as the attempt that saved it trained them: a parent that was resumed from before it is another story.
Where two steps do not belong to the same attempt of the same run there is a seam.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from engine.routes.route import Route
from engine.run.json_lines import JsonLines
from engine.run.records import as_float, as_int
from sdxl_tui.fleet.families import Family
from sdxl_tui.fleet.run_history import SPANS, Curve, Span
from sdxl_tui.fleet.run_page import RunCurves
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_factor

SECONDS_PER_LOOK: Final = 0.3
"""Of reading long histories, before what was read so far is shown."""


@dataclass(frozen=True)
class Link:
    """A run's share of a line."""

    family: Family
    start: int
    """Steps of the line before its own first."""
    until: int | None
    """Its own steps that count; None for the last run: all."""
    attempt: int | None = None
    """Its last attempt that counts: the one that saved the checkpoint the next run came from. None: all count."""
    counted: int = 0
    """By its own count the steps before its first: those of its parent, where the route goes on counting them."""

    def place(self, step: int) -> int:
        """On the line, a step by the run's own count."""
        return self.start + step - self.counted

    @property
    def key(self) -> tuple[str, int | None]:
        """Shares of one run with the same key have the same history."""
        return self.family.key, self.attempt

    @property
    def route(self) -> str:
        """How it came from the run before: ``continue``; empty for the first."""
        return self.family.parent.route if self.family.parent and self.start else ""


@dataclass(frozen=True)
class Seam:
    """Where something was begun anew, in the line's steps, and its name."""

    step: int
    name: str


def lines_of(root: Family) -> tuple[tuple[Link, ...], ...]:
    """Every way from ``root`` to a run that nothing came from, the newest child first."""
    return tuple(_linked(path) for path in _paths(root))


def _paths(family: Family) -> Iterator[tuple[Family, ...]]:
    if not family.children:
        yield (family,)
    for child in family.children:
        for path in _paths(child):
            yield (family, *path)


def _linked(path: Sequence[Family]) -> tuple[Link, ...]:
    links: list[Link] = []
    start = 0
    for family, child in zip(path, (*path[1:], None), strict=True):
        until = child.parent.step if child is not None and child.parent is not None else None
        attempt = child.parent.attempt if child is not None and child.parent is not None else None
        counted = family.parent.step if links and family.parent and family.parent.route == Route.EXTEND else 0
        links.append(Link(family, start, until, attempt, counted))
        start = links[-1].place(until or 0)
    return tuple(links)


class LinkHistory:
    """The measured curves of one run and what changed its rate by hand. Used by one thread at a time."""

    def __init__(self, family: Family, attempt: int | None = None) -> None:
        """attempt: the last one that counts; None: all."""
        self.curves = RunCurves(family.run.directory, attempt)
        self._attempt = attempt
        self.scaled: dict[int, str] = {}
        """By step after which it happened, ``LR ×0.50``."""
        self._events = JsonLines(family.run.directory.events)

    def poll(self) -> bool:
        """Read on; whether anything is different."""
        found = self._events.poll()
        if self._events.restarted:
            self.scaled.clear()
        for event in found:
            step, factor = as_int(event.get("step")), as_float(event.get("factor"))
            is_later = self._attempt is not None and (as_int(event.get("attempt")) or 1) > self._attempt
            if event.get("event") == "lr_scaled" and step is not None and not is_later:
                self.scaled[step] = f"LR ×{format_factor(factor).removesuffix('×')}"
        return bool(self.curves.poll()) or bool(found)

    @property
    def caught_up(self) -> bool:
        """There was no more to read at the last poll."""
        return self.curves.caught_up


class LineHistory:
    """The curves of a line, joined. Histories are kept between lines, which share most of their runs."""

    def __init__(self) -> None:
        self._links: tuple[Link, ...] = ()
        self._histories: dict[tuple[str, int | None], LinkHistory] = {}

    @property
    def links(self) -> tuple[Link, ...]:
        """The runs, the first one first."""
        return self._links

    def follow(self, links: tuple[Link, ...]) -> None:
        """From now on this line."""
        self._links = links
        for link in links:
            if link.key not in self._histories:
                self._histories[link.key] = LinkHistory(link.family, link.attempt)

    def poll(self) -> bool:
        """Read on for a moment; whether anything is different."""
        until, changed = time.monotonic() + SECONDS_PER_LOOK, False
        for link in self._links:
            history = self.of(link)
            changed |= history.poll()
            while not history.caught_up and time.monotonic() < until:
                changed |= history.poll()
        return changed

    @property
    def caught_up(self) -> bool:
        """There was no more to read at the last poll."""
        return all(self.of(link).caught_up for link in self._links)

    def of(self, link: Link) -> LinkHistory:
        """One run's own history."""
        return self._histories[link.key]

    @property
    def steps(self) -> int:
        """Steps of the line that were made."""
        return max((link.place(self.made(link)) for link in self._links), default=0)

    def made(self, link: Link) -> int:
        """The last step, by a run's own count, that was made and counts."""
        last = self.of(link).curves.history.last
        made = last.step if last else link.counted
        return made if link.until is None else min(made, link.until)

    def loss(self) -> list[Span]:
        """Lowest and highest loss by step, about as many spans as for one run."""
        return self._joined([(link, self.of(link).curves.history.loss) for link in self._links], middle=False)

    def loss_avg(self) -> list[Span]:
        """The running average; each run begins its own."""
        return self._joined([(link, self.of(link).curves.history.loss_avg) for link in self._links])

    def validation(self) -> list[Span]:
        """The loss on held-out images, where it was measured."""
        return self._joined([(link, self.of(link).curves.history.validation) for link in self._links])

    def lr(self) -> dict[str, list[Span]]:
        """By parameter group the rate that each step used."""
        groups = dict.fromkeys(name for link in self._links for name in self.of(link).curves.history.lr)
        return {
            name: self._joined(
                [(link, curve) for link in self._links if (curve := self.of(link).curves.history.lr.get(name))]
            )
            for name in groups
        }

    def seams(self) -> list[Seam]:
        """Continuations, resumes and rates changed by hand, in order."""
        found: list[Seam] = []
        for link in self._links:
            if link.start:
                found.append(Seam(link.start, clean(link.route) or "continue"))
            history = self.of(link)
            within = self.made(link)
            resumes = [Seam(link.place(step), "resume") for step in history.curves.history.resumes if step < within]
            scaled = [Seam(link.place(step), name) for step, name in history.scaled.items() if step < within]
            found += sorted((*resumes, *scaled), key=lambda seam: seam.step)
        return found

    def _joined(self, parts: Sequence[tuple[Link, Curve]], *, middle: bool = True) -> list[Span]:
        most = max(64, SPANS // max(1, len(self._links)))
        return [
            (link.place(int(step)), low, high)
            for link, curve in parts
            for step, low, high in (curve.means(most) if middle else curve.spans(most))
            if link.until is None or step <= link.until
        ]
