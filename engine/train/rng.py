"""Every source of random numbers of a training run, captured as JSON and put back.

Dropout draws from torch's global generators; noise and timesteps from one generator of their own on the CPU, so that
they are the same on every device and do not shift when dropout changes. Python's and numpy's generators are not used
by the engine itself, but a library may; they are part of the state all the same. The order of the data has its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from engine.checkpoint.manifest import CheckpointError

_WORDS: Final = "<u4"
"""Mersenne Twister's state words as they are stored."""


def derived_seed(seed: int, purpose: str) -> int:
    """A seed in [0, 2**63) for one purpose, so that two generators of a run never give the same sequence."""
    digest = hashlib.sha256(f"{purpose}, seed {seed}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_process(seed: int, rank: int, step: int) -> None:
    """Seed the global generators of the process ``rank`` > 0 for the step after ``step``: it needs no stored state then."""
    seed_everything(derived_seed(seed, f"process {rank}, step {step}"))


def noise_generator(seed: int) -> torch.Generator:
    """The generator of noise and timesteps of a run with ``seed``."""
    return torch.Generator("cpu").manual_seed(derived_seed(seed, "noise"))


def capture(noise: torch.Generator) -> dict[str, Any]:
    """``rng`` in state.json. Restoring it continues every sequence bit for bit."""
    return {
        "python": _python_state(),
        "numpy": _numpy_state(),
        "torch": _encoded(torch.get_rng_state()),
        "cuda": [_encoded(state) for state in _cuda_states()],
        "noise": _encoded(noise.get_state()),
    }


def restore(stored: Mapping[str, Any], noise: torch.Generator) -> list[str]:
    """Put every generator back. Returns what could not be put back on this machine, as sentences for a warning.

    Raises ``CheckpointError`` if a part is missing or not readable: a run must not go on with other random numbers
    without a word.
    """
    try:
        python, legacy = _python_from(stored["python"]), _numpy_from(stored["numpy"])
        torch_state, noise_state = _tensor(stored["torch"]), _tensor(stored["noise"])
        cuda_states = [_tensor(state) for state in stored["cuda"]]
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(torch_state)
        noise.set_state(noise_state)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"the random state in its state.json is not readable: {error!r}") from error
    return _restore_cuda(cuda_states)


def _restore_cuda(states: list[Tensor]) -> list[str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, state in enumerate(states[:count]):
        torch.cuda.set_rng_state(state, device)
    if len(states) == count:
        return []
    return [
        f"the checkpoint was made with {len(states)} GPU{'s' if len(states) != 1 else ''} in sight, now there "
        f"{'is' if count == 1 else 'are'} {count}: dropout does not continue its sequence bit for bit"
    ]


def _python_state() -> dict[str, Any]:
    version, numbers, gauss = random.getstate()
    return {"version": version, "numbers": _encoded(np.array(numbers, dtype=_WORDS)), "gauss": gauss}


def _python_from(stored: Mapping[str, Any]) -> tuple[int, tuple[int, ...], float | None]:
    return stored["version"], tuple(_decoded(stored["numbers"]).view(_WORDS).tolist()), stored["gauss"]


def _numpy_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "kind": kind,
        "keys": _encoded(np.asarray(keys, dtype=_WORDS)),
        "position": int(position),
        "has_gauss": int(has_gauss),
        "gauss": float(gauss),
    }


def _numpy_from(stored: Mapping[str, Any]) -> tuple[str, Any, int, int, float]:
    keys = _decoded(stored["keys"]).view(_WORDS)
    return stored["kind"], keys, stored["position"], stored["has_gauss"], stored["gauss"]


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _encoded(values: np.ndarray[Any, Any] | Tensor) -> str:
    array = values.cpu().numpy() if isinstance(values, Tensor) else values
    return base64.b64encode(array.tobytes()).decode("ascii")


def _decoded(text: str) -> np.ndarray[Any, Any]:
    try:
        return np.frombuffer(bytearray(base64.b64decode(text, validate=True)), dtype=np.uint8)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _tensor(text: str) -> Tensor:
    return torch.from_numpy(_decoded(text))
