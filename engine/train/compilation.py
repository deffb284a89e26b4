"""Regional ``torch.compile``: the UNet's transformer blocks, compiled once and used by all that are alike.

Seventy blocks of two widths share two graphs, so that this takes a fraction of what compiling the whole UNet takes; what lies
between them (residual blocks) stays eager. A block compiles at its first step. Samples and validations are computed eagerly:
each would be compiled anew for its sizes, and what is measured is then the same with and without a compiler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from engine.errors import UserError
from engine.profile.schema import Network, NetworkKind

ENOUGH_GRAPHS: Final = 64
"""Of one block: for every width one each for fixed and free sizes, a batch of one image, with and without an optional input.
torch goes on eagerly beyond its own limit of 8."""

log = logging.getLogger(__name__)


class CompilationError(UserError):
    """``torch.compile`` does not work on this machine."""


def require_compiler(device: torch.device) -> None:
    """Compile something small for ``device``, so that what is missing is known before anything is prepared.

    A few seconds, of which the blocks save most. Raises ``CompilationError`` if it does not work.
    """
    try:
        torch.compile(_something_small)(torch.ones(8, device=device))
    except Exception as error:
        raise _told(error) from error


def _something_small(values: Tensor) -> Tensor:
    return (2 * values + 1).sin()


def compile_blocks(unet: Any, network: Network, warn: Callable[[str], None]) -> None:
    """Have the repeated blocks of ``unet``, adapters included, compiled at their first use.

    warn: told what will be gained less than hoped for, and once if torch gives up compiling for further sizes.
    """
    if network.dora or network.kind is not NetworkKind.LORA:
        name = "DoRA" if network.dora else network.kind.value
        warn(f"blocks with a {name} are compiled in pieces: compare the seconds per step, it may gain nothing")
    torch._dynamo.config.recompile_limit = ENOUGH_GRAPHS
    dynamo = logging.getLogger("torch._dynamo")
    for handler in [handler for handler in dynamo.handlers if isinstance(handler, _LimitWatch)]:
        dynamo.removeHandler(handler)  # of a run before in this process
    dynamo.addHandler(_LimitWatch(warn))
    unet.compile_repeated_blocks()


class _LimitWatch(logging.Handler):
    """Hears of what torch only logs."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn
        self._has_warned = False

    def emit(self, record: logging.LogRecord) -> None:
        if "recompile_limit" in record.getMessage() and not self._has_warned:
            self._has_warned = True
            self._warn(f"{ENOUGH_GRAPHS} graphs of one block are compiled; what fits none of them is computed without")


@contextmanager
def eagerly(*, compiled: bool) -> Iterator[None]:
    """Compute without compiled blocks for the while, if there are any (``compiled``)."""
    if not compiled:  # asking torch costs a second of imports
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def compilation_failure(error: BaseException) -> CompilationError | None:
    """What to do about ``error`` if torch's compiler raised it; else None."""
    is_one = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    return _told(error) if is_one else None


def _told(error: BaseException) -> CompilationError:
    log.error("torch.compile failed", exc_info=error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # A compiler's own words where it has some; else who raised, and what.
    said = next((line for line in lines if "error:" in line), " ".join(lines[:2]) or type(error).__name__)
    return CompilationError(
        f"torch.compile does not work here: {said}",
        where="launch.compile",
        hint="On a CPU it needs g++, on a GPU gcc, and both need Python's headers (Debian, Ubuntu: apt install g++ "
        "python3-dev). Install them, or set launch.compile to false; the log has the details.",
    )
