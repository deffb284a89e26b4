"""The memory that a training takes on its device, part by part, reckoned from shapes.

Weights, gradients and optimizer state are exact counts. Activations are what the layers keep for the backward pass: so many
values per token and channel of a transformer block, and per pixel and channel of a residual block. The constants were
counted: every tensor that one forward pass of diffusers' blocks saves, with a LoRA on all their linear layers, attention by
SDPA, in bf16 (fp32 needs a tenth fewer). ``estimate_result`` in the events tells how near they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from engine.estimate.unet_size import UNetSize, text_encoder_sizes, unet_size
from engine.profile.optimizer_kinds import OPTIMIZERS
from engine.profile.schema import Network, NetworkKind, Part, Profile

BYTES: Final = {"fp32": 4, "bf16": 2, "fp16": 2}
PER_TRANSFORMER: Final = 33.0
"""Values kept per token and channel of a transformer block."""
PER_RESIDUAL: Final = 6.0
"""Values kept per pixel and channel of a residual block."""
PER_TEXT_LAYER: Final = 40.0
"""Values kept per token and channel of a text encoder's layer, when it is trained."""
PROGRAM_BYTES: Final = 600_000_000
"""Python and the libraries, in main memory; on a GPU about as much goes to CUDA, outside torch's count."""
TEXT_TOKENS: Final = 77


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they are for."""

    values: int
    """Numbers that are trained; not a size."""
    base: int
    adapter: int
    """Weights and gradients of the adapter, in float32."""
    optimizer: int
    activations: int
    text_encoders: int
    save_copy: int
    """In main memory, while a checkpoint is written: the host's copy of weights, average and optimizer state."""

    @property
    def total(self) -> int:
        """All of them on the device."""
        return self.base + self.adapter + self.optimizer + self.activations + self.text_encoders

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """What takes it, by name; nothing of what takes none."""
        named = (
            ("base", self.base),
            ("adapter and gradients", self.adapter),
            ("optimizer", self.optimizer),
            ("activations", self.activations),
            ("text encoders", self.text_encoders),
        )
        return tuple((name, number) for name, number in named if number)

    def total_on(self, *, on_gpu: bool) -> int:
        """Comparable with what a run measures: torch's own count on a GPU, the whole program and a save's copy on a CPU."""
        return self.total + (0 if on_gpu else PROGRAM_BYTES + self.save_copy)

    def to_json(self) -> dict[str, int]:
        """For the event."""
        return {
            "base": self.base,
            "adapter": self.adapter,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "text_encoders": self.text_encoders,
            "total": self.total,
            "save_copy": self.save_copy,
        }


def estimate_memory(profile: Profile) -> MemoryEstimate:
    """What torch holds on the device at the highest moment of a step, without CUDA's own share."""
    size = unet_size(profile.model.base)
    values = adapter_values(profile, size)
    average, optimizer = 4 * (profile.ema.decay is not None), OPTIMIZERS[profile.optimizer.kind].state_bytes
    copies = 4 + 4 + (4 if profile.launch.processes > 1 else 0) + average
    return MemoryEstimate(
        values=values,
        base=_base_bytes(profile, size),
        adapter=values * copies,
        optimizer=int(values * optimizer),
        activations=_activation_bytes(profile, size),
        text_encoders=_text_bytes(profile),
        save_copy=int(values * (4 + average + optimizer)),
    )


def adapter_values(profile: Profile, size: UNetSize) -> int:
    """How many numbers are trained."""
    network = profile.network
    total = 0
    for part in (Part.ATTENTION, Part.FEED_FORWARD, Part.CONVOLUTIONS):
        if network.trains(part):
            total += sum(_values_on(shape, _rank(network, part, shape), network.kind) for shape in size.shapes(part))
    for (layers, width), part in zip(_text_sizes(profile), (Part.TEXT_ENCODER, Part.TEXT_ENCODER_2), strict=True):
        if network.trains(part):
            # Four projections of the attention and two layers of the MLP, four times as wide.
            shapes = [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]
            total += layers * sum(_values_on(shape, network.rank_of(part), network.kind) for shape in shapes)
    return total


def _rank(network: Network, part: Part, shape: tuple[int, ...]) -> int:
    """The rank of convolutions is for those that are wider than a pixel (``engine.model.targets``)."""
    is_wide = len(shape) == 4 and prod(shape[2:]) > 1
    return network.rank_of(Part.ATTENTION if part is Part.CONVOLUTIONS and not is_wide else part)


def _values_on(shape: tuple[int, ...], rank: int, kind: NetworkKind) -> int:
    """Of one module: (outputs, inputs, kernel…)."""
    outputs, inputs = shape[0], prod(shape[1:])
    plain = rank * (outputs + inputs)
    if kind is NetworkKind.LORA:
        return plain
    if kind is NetworkKind.LOHA:
        return 2 * plain
    left, right = _near_root(outputs), _near_root(inputs)
    return left * right + min(rank * (outputs // left + inputs // right), outputs // left * (inputs // right))


def _near_root(number: int) -> int:
    """The largest divisor that is at most the square root: how LoKr splits a side."""
    return next(divisor for divisor in range(int(number**0.5), 0, -1) if number % divisor == 0)


def _base_bytes(profile: Profile, size: UNetSize) -> int:
    kept, compute = profile.precision.base, profile.precision.compute
    if kept in ("fp8", "int8"):
        return size.block_values + (size.values - size.block_values) * BYTES[compute]
    return size.values * BYTES[compute if kept == "as compute" else kept]


def _activation_bytes(profile: Profile, size: UNetSize) -> int:
    latents = (profile.dataset.resolution // 8) ** 2
    transformer, residual, kept = [0.0], [0.0], 0.0
    for level in size.levels:
        pixels = latents / level.scale**2 * level.channels
        transformer += [pixels * PER_TRANSFORMER] * level.transformers
        residual += [pixels * PER_RESIDUAL] * level.residuals
        kept += pixels * (level.transformers + level.residuals)
    # With checkpointing every block keeps its input, and one at a time is computed again.
    is_checkpointed = profile.training.gradient_checkpointing
    values = kept + max(*transformer, *residual) if is_checkpointed else sum(transformer) + sum(residual)
    return int(values * profile.training.batch_size * BYTES[profile.precision.compute])


def _text_bytes(profile: Profile) -> int:
    """Of text encoders that are trained: their weights, and what they keep. Others are gone before the first step."""
    if not profile.network.trains_text:
        return 0
    itemsize = BYTES[profile.precision.compute]
    weights = sum(layers * 12 * width**2 + 49_408 * width for layers, width in _text_sizes(profile)) * 4
    kept = sum(layers * width * TEXT_TOKENS * PER_TEXT_LAYER for layers, width in _text_sizes(profile))
    return int(weights + kept * profile.training.batch_size * itemsize)


def _text_sizes(profile: Profile) -> list[tuple[int, int]]:
    return text_encoder_sizes(profile.model.base)
