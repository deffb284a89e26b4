"""What a continuation changes and what it keeps, as two small tables; and how hard the learning rate jumps, in words."""

from __future__ import annotations

from typing import Any, Final

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from engine.profile.to_toml import toml_value
from engine.routes.effects import Effect
from engine.routes.plan import Plan
from engine.routes.route import Route, kept_by, new_under
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_count, format_factor, format_lr

MUTED: Final = "$foreground 60%"
MILD: Final = 1.5
HARD: Final = 3.0
"""Upward jumps beyond these factors are worth a look, and dangerous."""
WORTH_A_WARMUP: Final = 1.2


def severity(plan: Plan) -> str:
    """The style that the jump is written in: by its size, and a warmup as long as advised softens it by one degree."""
    jump, softened = plan.jump, not plan.warmup_is_advised
    if plan.jump_from is None:
        return "bold $success" if softened else "bold $warning"
    if jump is None or jump > HARD:
        return "bold $warning" if softened else "bold $error"
    return "bold $warning" if jump > MILD and not softened else "bold $success"


def needs_warmup(plan: Plan) -> bool:
    """Whether a warmup is worth proposing: the rate jumps up noticeably and the planned warmup is shorter than advised."""
    return plan.warmup_is_advised and (plan.jump is None or plan.jump > WORTH_A_WARMUP)


def jump_sentence(plan: Plan) -> Content:
    """``LR jumps ×3.2 at the seam: 5.00e-5 → 1.60e-4``; a warmup starts from 0 and says so."""
    rise = 0 if plan.first_step else plan.new.risen_at
    if plan.jump_from is None:
        said = Content.assemble(
            (f"LR begins at {format_lr(plan.first_lr)}", severity(plan)), "; where it stood is not stored"
        )
        return said + Content(f"; {format_lr(plan.jump_to)} after {format_count(rise)} steps") if rise else said
    through = f" → {format_lr(plan.first_lr)}" if rise and plan.jump_from else ""
    way = f"{format_lr(plan.jump_from)}{through} → {format_lr(plan.jump_to)}"
    style = severity(plan)
    ramp = f" over {format_count(rise)} {'warmup ' * bool(plan.new.warmup_steps)}steps" if rise else " at the seam"
    if plan.jump is None:
        return Content.assemble(("LR rises from 0", style), f"{ramp}: {way}")
    if abs(plan.jump - 1) < 0.005:
        return Content.assemble(("LR goes on where it stood", style), f": {way}")
    verb = "drops" if plan.jump < 1 else "rises" if rise else "jumps"
    return Content.assemble((f"LR {verb} ×{format_factor(plan.jump).removesuffix('×')}", style), f"{ramp}: {way}")


def shown_value(effect: Effect, value: Any) -> str:
    """A value of the changed field in a table."""
    if effect.field == "optimizer.lr" and isinstance(value, float):
        return format_lr(value)
    if isinstance(value, float):
        return clean(toml_value(value))
    return clean(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value), limit=60)


class EffectTable(Widget):
    """Field, stored, new, what happens. As wide as it is given, as high as its lines."""

    DEFAULT_CSS = """
    EffectTable { height: auto; width: 1fr; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, whose: str = "parent", id: str | None = None) -> None:
        """whose: settings those are that do not change."""
        super().__init__(id=id)
        self._effects: tuple[Effect, ...] = ()
        self._whose = whose

    def show(self, effects: tuple[Effect, ...]) -> None:
        """Show these."""
        self._effects = effects
        self.refresh(layout=True)

    def render(self) -> Content:
        if not self._effects:
            return Content.styled(f"Nothing else changes: all other settings are the {self._whose}'s.", MUTED)
        rows = [
            (effect.field, shown_value(effect, effect.stored), shown_value(effect, effect.new), _shortly(effect))
            for effect in self._effects
        ]
        head = ("setting", "stored", "new", "what happens")
        widths = [max(cell_len(row[at]) for row in (head, *rows)) for at in range(3)]
        lines = [Content.styled(_row(head, widths), MUTED)]
        for row in rows:
            name, stored, new, happens = row
            lines.append(
                Content.assemble(
                    name.ljust(widths[0] + 2),
                    (stored.rjust(widths[1]), MUTED),
                    "  ",
                    (new.rjust(widths[2]), "bold"),
                    (f"  {happens}", MUTED),
                )
            )
        width = max(20, self.content_size.width)
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


def _shortly(effect: Effect) -> str:
    return clean(effect.what_happens.partition(":")[0])


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    name, stored, new, happens = cells
    return f"{name.ljust(widths[0])}  {stored.rjust(widths[1])}  {new.rjust(widths[2])}  {happens}"


def kept_and_new(route: Route) -> Content:
    """What a route keeps and what it starts anew, in a line."""
    kept, anew = kept_by(route), new_under(route)
    return Content.assemble(
        ("Kept ", MUTED),
        (", ".join(kept) or "the LoRA, resized", "$success"),
        (" · anew ", MUTED),
        ", ".join(anew) or "nothing",
    )
