"""Asking something that may hang, such as a driver: in a thread that does not hold up the end of the app, as a worker would."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App
from textual.widget import Widget

T = TypeVar("T")


def ask_aside(app: App[Any], asker: Widget, ask: Callable[[], T], then: Callable[[T], None]) -> None:
    """Call ``then`` on the app's thread with what ``ask`` returns, unless ``asker`` or the app is gone by then."""

    def tell(answer: T) -> None:
        if asker.is_attached:
            then(answer)

    def run() -> None:
        answer = ask()
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
            if app.is_running:
                app.call_from_thread(tell, answer)

    threading.Thread(target=run, name="aside", daemon=True).start()
