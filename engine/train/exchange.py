"""What the processes of one training exchange, so that N of them with batches of b equal one with batches of N·b.

Every process knows the whole batch and draws all of its random numbers from the same generator; it computes its own part of
the images, and the sums of gradients and losses, each part weighted by its number of images, are those of the whole. An
image so has the same noise however many processes there are. Before each step rank 0 says whether there is one, and at
which rates, over a connection between the hosts: no device is waited for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from engine.data.batches import Batch
from engine.train.crew import Place
from engine.train.objective.loss import Draw

PATIENCE: Final = timedelta(days=30)
"""How long one waits for the others: rank 0 may encode a large data set, or pause. A death is noticed by other means."""
_ORDER_BYTES: Final = 4096

Whole = TypeVar("Whole", Batch, Draw)


@dataclass(frozen=True)
class Share:
    """A process's part of a batch."""

    start: int
    count: int
    """Images of this part; 0 where a short batch has fewer images than there are processes."""
    total: int
    """Images of the whole batch."""

    @property
    def part(self) -> slice:
        """Where it lies in the whole."""
        return slice(self.start, self.start + self.count)

    @property
    def weight(self) -> float:
        """What the mean over this part counts in the mean over the whole."""
        return self.count / self.total

    def of(self, whole: Whole) -> Whole:
        """The part of ``whole``, a dataclass: of every field the entries of its images."""
        if self.count == self.total:
            return whole
        values = {field.name: getattr(whole, field.name) for field in fields(whole)}
        own: dict[str, Any] = {name: None if value is None else value[self.part] for name, value in values.items()}
        return replace(whole, **own)


class Exchange:
    """Connects the processes; one process alone has nobody to talk to, and everything here is then free of cost."""

    def __init__(self, rank: int = 0, count: int = 1, control: Any = None) -> None:
        """control: the process group between the hosts; None for one process."""
        self.rank, self.count = rank, count
        self._control = control

    @classmethod
    def join(cls, place: Place, device: torch.device) -> Exchange:
        """Meet the others: over NCCL between GPUs, gloo between CPUs. Returns once all are there."""
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine; host names may not resolve
        store = distributed.FileStore(str(place.meeting), place.count)  # type: ignore[attr-defined]
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=place.rank,
            world_size=place.count,
            timeout=PATIENCE,
            device_id=device if device.type == "cuda" else None,
        )
        return cls(place.rank, place.count, distributed.new_group(backend="gloo", timeout=PATIENCE))

    @property
    def is_shared(self) -> bool:
        """There are several processes."""
        return self.count > 1

    def share(self, total: int) -> Share:
        """The part of this process in a batch of ``total`` images: consecutive, and as even as whole images allow."""
        size, more = divmod(total, self.count)
        start = self.rank * size + min(self.rank, more)
        return Share(start, size + (self.rank < more), total)

    def sum_up(self, parameters: Iterable[Parameter], loss: Tensor) -> Tensor:
        """Replace every gradient by the sum over all processes; the sum of ``loss``, a scalar. The same bits everywhere."""
        if not self.is_shared:
            return loss
        held = list(parameters)
        flat = torch.cat([*(_gradient(parameter).reshape(-1) for parameter in held), loss.reshape(1).float()])
        distributed.all_reduce(flat)
        position = 0
        for parameter in held:
            parameter.grad = flat[position : position + parameter.numel()].view_as(parameter)
            position += parameter.numel()
        return flat[position]

    def announce(self, rates: Mapping[str, float]) -> None:
        """Rank 0: another step comes, at these rates."""
        self._send({"rates": dict(rates)})

    def pause(self, begins: bool) -> None:
        """Rank 0: a pause begins, or ends."""
        self._send({"pause": begins})

    def data_is_ready(self) -> None:
        """Rank 0: the cache is filled, the others may read it."""
        self._send({"ready": True})

    def dismiss(self) -> None:
        """Rank 0: there is no further step; every process leaves."""
        self._send({})
        self.leave()

    def order(self) -> dict[str, Any]:
        """The others: what rank 0 said; an empty one means to leave."""
        buffer = torch.empty(_ORDER_BYTES, dtype=torch.uint8)
        distributed.broadcast(buffer, 0, group=self._control)
        found: dict[str, Any] = json.loads(bytes(buffer.tolist()))
        return found

    def leave(self) -> None:
        """Close the connections."""
        if self.is_shared and distributed.is_initialized():
            distributed.destroy_process_group()

    def _send(self, order: dict[str, Any]) -> None:
        if self.is_shared:
            text = json.dumps(order).encode().ljust(_ORDER_BYTES)
            distributed.broadcast(torch.frombuffer(bytearray(text), dtype=torch.uint8), 0, group=self._control)


def _gradient(parameter: Parameter) -> Tensor:
    """Its gradient; zeros if this process had no image."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
