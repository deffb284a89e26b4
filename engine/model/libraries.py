"""peft's adapters, and diffusers, imported without bitsandbytes, which both load wherever it is installed.

It takes a second of every start and prints a line about kernels that it lacks; what they want it for, layers quantized by it, no
base here has. An optimizer that needs it imports it later all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_HIDDEN: Final = "bitsandbytes"


@contextmanager
def _hidden() -> Iterator[None]:
    """For the while the package cannot be imported; if it was imported before, nothing is to be gained and nothing done."""
    modules: dict[str, Any] = sys.modules
    if _HIDDEN in modules:
        yield
        return
    modules[_HIDDEN] = None
    try:
        yield
    finally:
        del modules[_HIDDEN]


with _hidden():
    import diffusers.models.modeling_utils  # noqa: F401 - what would import it
    from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
    from peft.import_utils import is_bnb_available

    is_bnb_available()  # remembers the answer, for which it would be imported with the first layer

__all__ = ["LoHaConfig", "LoKrConfig", "LoraConfig", "inject_adapter_in_model"]
