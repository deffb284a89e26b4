"""Which runs are marked to be compared, and the colour that each has wherever it is shown, for as long as the app is open."""

from __future__ import annotations

from typing import Final

COLOURS: Final = 8
"""As many are told apart; then they come again."""


class RunMarks:
    """Runs by their ids."""

    def __init__(self) -> None:
        self._marked: list[str] = []
        self._colours: dict[str, int] = {}

    @property
    def marked(self) -> tuple[str, ...]:
        """In the order they were marked."""
        return tuple(self._marked)

    def toggle(self, run_id: str) -> bool:
        """Mark a run, or take its mark away; whether it is marked now."""
        if run_id in self._marked:
            self._marked.remove(run_id)
            return False
        if self._colours.get(run_id) in {self._colours[other] for other in self._marked}:
            del self._colours[run_id]  # it was given on while this run was not marked
        self._marked.append(run_id)
        self.colour_of(run_id)
        return True

    def clear(self) -> None:
        """No run is marked; the colours stay."""
        self._marked.clear()

    def keep(self, run_ids: set[str]) -> None:
        """Forget marks of runs that are gone."""
        self._marked = [run_id for run_id in self._marked if run_id in run_ids]

    def colour_of(self, run_id: str) -> int:
        """Its colour's number, from 0: one that no other run has while there are any, then one that no marked run has."""
        if run_id not in self._colours:
            marked = {self._colours[other] for other in self._marked if other in self._colours}
            free = [colour for colour in range(COLOURS) if colour not in self._colours.values()]
            free += [colour for colour in range(COLOURS) if colour not in marked]
            self._colours[run_id] = free[0] if free else len(self._marked) % COLOURS
        return self._colours[run_id]

    def shown_colour(self, run_id: str) -> int | None:
        """The colour of a marked run; None for others."""
        return self.colour_of(run_id) if run_id in self._marked else None
