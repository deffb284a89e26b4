"""Regional ``torch.compile``: the UNet's transformer blocks, compiled once and used by all that are alike.

Seventy blocks of two widths share two graphs, so that this takes a fraction of what compiling the whole UNet takes; what lies
between them (residual blocks, sampling) stays eager. A block compiles at its first step.
"""

from __future__ import annotations

import shutil
from typing import Any

import torch

from engine.errors import UserError


class CompilationError(UserError):
    """``torch.compile`` does not work on this machine."""


def compile_blocks(unet: Any, device: torch.device) -> None:
    """Have the repeated blocks of ``unet``, adapters included, compiled at their first use.

    Raises ``CompilationError`` on a CPU without a C++ compiler.
    """
    if device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise CompilationError(
            "on a CPU torch.compile needs a C++ compiler, and there is none",
            where="launch.compile",
            hint="Install g++, or set launch.compile to false.",
        )
    unet.compile_repeated_blocks()


def compilation_failure(error: BaseException) -> CompilationError | None:
    """What to do about ``error`` if torch's compiler raised it; else None."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    reason = " ".join(str(error).split("\n")[:2])  # who raised, and what
    return CompilationError(
        f"torch.compile failed: {reason}",
        where="launch.compile",
        hint="Set launch.compile to false; the log has the details.",
    )
