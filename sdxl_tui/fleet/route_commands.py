"""The command lines that would apply changed settings, for whoever is told that a resume does not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, Final

from engine.profile.fields import SOURCES
from engine.profile.to_toml import toml_value
from engine.routes.effects import RATE_FIELDS, Effect
from engine.routes.resuming import routes_for
from engine.routes.route import Route

_GROUPS: Final = {
    "optimizer.unet_lr": "unet",
    "optimizer.text_encoder_lr": "text_encoder_1",
    "optimizer.text_encoder_2_lr": "text_encoder_2",
}


def commands_for(changed: Sequence[Effect], run_id: str, step: int, also: Sequence[Effect] = ()) -> tuple[str, ...]:
    """One for every route that applies all of ``changed`` from the run's checkpoint at ``step``, the gentlest first.

    also: edits that a resume would have applied; a child is told them, or it would not have them.
    """
    return tuple(
        " ".join(
            ["sdxl-tui", _command(route), f"{run_id}@{step}", *_options(changed, route, step), *_told(also, route)]
        )
        for route in routes_for(tuple(changed))
    )


def options_for(effects: Sequence[Effect], route: Route, step: int) -> str:
    """The options that give a child of ``route`` the edited values, for a command line that has the others."""
    return " ".join(_option(effect, route, step) for effect in effects)


def _told(also: Sequence[Effect], route: Route) -> list[str]:
    """A moved base or moved data are found by a child that keeps no state only."""
    return [
        f"--set {_assigned(effect.field, effect.new)}" for effect in also if not (effect.is_moved and route.keeps_state)
    ]


def _command(route: Route) -> str:
    return Route.CONTINUE.value if route is Route.RESIZE else route.value


def _options(changed: Sequence[Effect], route: Route, step: int) -> list[str]:
    words = [_option(effect, route, step) for effect in changed]
    needs_lr = route in {Route.CONTINUE, Route.RESIZE}
    return words if not needs_lr or any(word.startswith("--lr") for word in words) else ["--lr base", *words]


def _option(effect: Effect, route: Route, step: int) -> str:
    path, new = effect.field, effect.new
    name = path.rpartition(".")[2]
    match path:
        case "training.steps":
            more = new - effect.stored
            option = f"--steps {more} --then hold" if route is Route.EXTEND else f"--steps {max(1, new - step)}"
        case "optimizer.lr":
            option = f"--lr {new!r}"
        case _ if path in _GROUPS:
            option = f"--group-lr {_GROUPS[path]}={'LR' if new is None else repr(new)}"
        case "schedule.kind":
            option = f"--schedule {getattr(new, 'value', new)}"
        case "schedule.warmup_steps":
            option = f"--warmup {new}"
        case "network.rank" | "network.alpha":
            option = f"--{name} {new:g}"
        case _ if path.startswith("schedule."):
            option = f"--shape {_assigned(name, new)}"
        case _:
            option = f"--set {_assigned(path, new)}"
    return option


def assigned(effect: Effect) -> str:
    """``section.field=value`` of an edit, as an override."""
    return f"{effect.field}={toml_value(effect.new)}"


def has_option(path: str) -> bool:
    """Whether the ways on have an option or a field of their own for it."""
    return path in {*RATE_FIELDS, "training.steps", "network.rank", "network.alpha"}


def _assigned(name: str, new: Any) -> str:
    """``name=value`` as one word of a shell. The sources of images are a table that no command line sets."""
    return shlex.quote(f"{name}={toml_value(new)}") if name != SOURCES else f"{name}=…"
