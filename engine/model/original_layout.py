"""SDXL's original file layout (Stability's generative-models): the name and shape of every tensor, at any dimensions.

The dimensions are read off a file's shapes, and the same dimensions give back the whole list of tensors, so that one
comparison tells whether a file is complete and really of this architecture. diffusers does the renaming to its own layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

Shapes = dict[str, tuple[int, ...]]

UNET: Final = "model.diffusion_model."
VAE: Final = "first_stage_model."
TEXT_1: Final = "conditioner.embedders.0.transformer.text_model."
TEXT_2: Final = "conditioner.embedders.1.model."
POSITIONS: Final = 77


class NotThisLayoutError(Exception):
    """A tensor that the layout always has is not there, or not of its kind. Says which, as a sentence's end."""


@dataclass(frozen=True)
class UNetDimensions:
    """The UNet's levels from the full resolution down: channels, and transformer layers after each residual block."""

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    """0: a level without attention. The way up mirrors the way down; the middle is as deep as the last level."""
    blocks: int
    """Residual blocks per level on the way down; one more on the way up."""
    context: int
    """Width of the text conditioning."""
    added: int
    """Width of the pooled text and the embedded time ids together."""
    in_channels: int = 4
    out_channels: int = 4

    @classmethod
    def of(cls, tensors: Mapping[str, tuple[int, ...]]) -> UNetDimensions:
        """From the shapes of a UNet's tensors, without prefix. Raises ``NotThisLayoutError``."""
        channels: list[int] = []
        depths: list[int] = []
        blocks = [0]
        for number in range(1, _count(tensors, "input_blocks.{}.")):
            block = f"input_blocks.{number}"
            if f"{block}.0.op.weight" in tensors:
                blocks.append(0)
                continue
            blocks[-1] += 1
            if blocks[-1] == 1:
                channels.append(_shape(tensors, f"{block}.0.out_layers.3.weight")[0])
                depths.append(_count(tensors, block + ".1.transformer_blocks.{}."))
        attending = next((name for name in tensors if name.endswith("attn2.to_k.weight")), None)
        if attending is None or not channels:
            raise NotThisLayoutError("has no attention to a text")
        return cls(
            tuple(channels),
            tuple(depths),
            blocks[0],
            context=_shape(tensors, attending)[1],
            added=_shape(tensors, "label_emb.0.0.weight")[1],
            in_channels=_shape(tensors, "input_blocks.0.0.weight")[1],
            out_channels=_shape(tensors, "out.2.weight")[0],
        )

    def tensors(self) -> Shapes:
        """Every tensor of such a UNet, without prefix."""
        layout = _Layout()
        first, time = self.channels[0], 4 * self.channels[0]
        layout.linear("time_embed.0", time, first)
        layout.linear("time_embed.2", time, time)
        layout.linear("label_emb.0.0", time, self.added)
        layout.linear("label_emb.0.2", time, time)
        layout.conv("input_blocks.0.0", first, self.in_channels)
        skips, width, number = [first], first, 1
        levels = list(zip(self.channels, self.depths, strict=True))
        for level, (channels, depth) in enumerate(levels):
            for _ in range(self.blocks):
                layout.unet_block(f"input_blocks.{number}.0", width, channels, time)
                layout.transformer(f"input_blocks.{number}.1", channels, depth, self.context)
                width, number = channels, number + 1
                skips.append(width)
            if level < len(levels) - 1:
                layout.conv(f"input_blocks.{number}.0.op", width, width)
                skips.append(width)
                number += 1
        layout.unet_block("middle_block.0", width, width, time)
        layout.transformer("middle_block.1", width, self.depths[-1], self.context)
        layout.unet_block("middle_block.2", width, width, time)
        number = 0
        for level, (channels, depth) in reversed(list(enumerate(levels))):
            for index in range(self.blocks + 1):
                layout.unet_block(f"output_blocks.{number}.0", width + skips.pop(), channels, time)
                layout.transformer(f"output_blocks.{number}.1", channels, depth, self.context)
                width = channels
                if level and index == self.blocks:
                    layout.conv(f"output_blocks.{number}.{2 if depth else 1}.conv", width, width)
                number += 1
        layout.norm("out.0", first)
        layout.conv("out.2", self.out_channels, first)
        return layout.shapes


@dataclass(frozen=True)
class VaeDimensions:
    """The VAE's levels from the full resolution down, its residual blocks per level, and its latents' channels."""

    channels: tuple[int, ...]
    blocks: int
    latents: int = 4

    @classmethod
    def of(cls, tensors: Mapping[str, tuple[int, ...]]) -> VaeDimensions:
        """From the shapes of a VAE's tensors, without prefix. Raises ``NotThisLayoutError``."""
        levels = _count(tensors, "encoder.down.{}.")
        channels = [_shape(tensors, f"encoder.down.{level}.block.0.conv1.weight")[0] for level in range(levels)]
        if not channels:
            raise NotThisLayoutError("has no encoder")
        return cls(
            tuple(channels), _count(tensors, "encoder.down.0.block.{}."), _shape(tensors, "decoder.conv_in.weight")[1]
        )

    def tensors(self) -> Shapes:
        """Every tensor of such a VAE, without prefix."""
        layout = _Layout()
        last = len(self.channels) - 1
        deepest = self.channels[-1]
        layout.conv("encoder.conv_in", self.channels[0], 3)
        width = self.channels[0]
        for level, channels in enumerate(self.channels):
            for index in range(self.blocks):
                layout.vae_block(f"encoder.down.{level}.block.{index}", width, channels)
                width = channels
            if level < last:
                layout.conv(f"encoder.down.{level}.downsample.conv", width, width)
        layout.vae_middle("encoder", deepest)
        layout.conv("encoder.conv_out", 2 * self.latents, deepest)
        layout.conv("quant_conv", 2 * self.latents, 2 * self.latents, side=1)
        layout.conv("post_quant_conv", self.latents, self.latents, side=1)
        layout.conv("decoder.conv_in", deepest, self.latents)
        layout.vae_middle("decoder", self.channels[0], deepest)
        for level, channels in reversed(list(enumerate(self.channels))):
            for index in range(self.blocks + 1):
                layout.vae_block(f"decoder.up.{level}.block.{index}", width, channels)
                width = channels
            if level:
                layout.conv(f"decoder.up.{level}.upsample.conv", width, width)
        layout.conv("decoder.conv_out", 3, self.channels[0])
        return layout.shapes


@dataclass(frozen=True)
class TextDimensions:
    """A CLIP text encoder: tokens, width, layers, width between them, and width of the projection (0: none)."""

    vocabulary: int
    width: int
    layers: int
    inner: int
    projection: int = 0

    @classmethod
    def of_first(cls, tensors: Mapping[str, tuple[int, ...]]) -> TextDimensions:
        """From the shapes of the first encoder's tensors, without prefix. Raises ``NotThisLayoutError``."""
        vocabulary, width = _pair(tensors, "embeddings.token_embedding.weight")
        inner = _shape(tensors, "encoder.layers.0.mlp.fc1.weight")[0]
        return cls(vocabulary, width, _count(tensors, "encoder.layers.{}."), inner)

    @classmethod
    def of_second(cls, tensors: Mapping[str, tuple[int, ...]]) -> TextDimensions:
        """From the shapes of the second encoder's tensors, without prefix. Raises ``NotThisLayoutError``."""
        vocabulary, width = _pair(tensors, "token_embedding.weight")
        inner = _shape(tensors, "transformer.resblocks.0.mlp.c_fc.weight")[0]
        projection = _shape(tensors, "text_projection")[1]
        return cls(vocabulary, width, _count(tensors, "transformer.resblocks.{}."), inner, projection)

    def first_tensors(self) -> Shapes:
        """Every tensor of such a first encoder (CLIP ViT-L, transformers' names), without prefix."""
        layout = _Layout()
        layout.shapes["embeddings.token_embedding.weight"] = (self.vocabulary, self.width)
        layout.shapes["embeddings.position_embedding.weight"] = (POSITIONS, self.width)
        for number in range(self.layers):
            at = f"encoder.layers.{number}"
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                layout.linear(f"{at}.self_attn.{name}", self.width, self.width)
            layout.norm(f"{at}.layer_norm1", self.width)
            layout.norm(f"{at}.layer_norm2", self.width)
            layout.linear(f"{at}.mlp.fc1", self.inner, self.width)
            layout.linear(f"{at}.mlp.fc2", self.width, self.inner)
        layout.norm("final_layer_norm", self.width)
        return layout.shapes

    def second_tensors(self) -> Shapes:
        """Every tensor of such a second encoder (OpenCLIP ViT-bigG, OpenCLIP's names), without prefix."""
        layout = _Layout()
        layout.shapes["token_embedding.weight"] = (self.vocabulary, self.width)
        layout.shapes["positional_embedding"] = (POSITIONS, self.width)
        layout.shapes["text_projection"] = (self.width, self.projection)
        for number in range(self.layers):
            at = f"transformer.resblocks.{number}"
            layout.shapes[f"{at}.attn.in_proj_weight"] = (3 * self.width, self.width)
            layout.shapes[f"{at}.attn.in_proj_bias"] = (3 * self.width,)
            layout.linear(f"{at}.attn.out_proj", self.width, self.width)
            layout.norm(f"{at}.ln_1", self.width)
            layout.norm(f"{at}.ln_2", self.width)
            layout.linear(f"{at}.mlp.c_fc", self.inner, self.width)
            layout.linear(f"{at}.mlp.c_proj", self.width, self.inner)
        layout.norm("ln_final", self.width)
        return layout.shapes


@dataclass(frozen=True)
class _Layout:
    """Collects tensors by the layers they belong to."""

    shapes: Shapes = field(default_factory=dict)

    def linear(self, name: str, out: int, into: int, *, bias: bool = True) -> None:
        self.shapes[f"{name}.weight"] = (out, into)
        if bias:
            self.shapes[f"{name}.bias"] = (out,)

    def norm(self, name: str, width: int) -> None:
        self.shapes[f"{name}.weight"] = self.shapes[f"{name}.bias"] = (width,)

    def conv(self, name: str, out: int, into: int, side: int = 3) -> None:
        self.shapes[f"{name}.weight"] = (out, into, side, side)
        self.shapes[f"{name}.bias"] = (out,)

    def unet_block(self, name: str, into: int, out: int, time: int) -> None:
        self.norm(f"{name}.in_layers.0", into)
        self.conv(f"{name}.in_layers.2", out, into)
        self.linear(f"{name}.emb_layers.1", out, time)
        self.norm(f"{name}.out_layers.0", out)
        self.conv(f"{name}.out_layers.3", out, out)
        if into != out:
            self.conv(f"{name}.skip_connection", out, into, side=1)

    def transformer(self, name: str, width: int, depth: int, context: int) -> None:
        if not depth:
            return
        self.norm(f"{name}.norm", width)
        self.linear(f"{name}.proj_in", width, width)
        for number in range(depth):
            at = f"{name}.transformer_blocks.{number}"
            for attention, seen in (("attn1", width), ("attn2", context)):
                self.linear(f"{at}.{attention}.to_q", width, width, bias=False)
                self.linear(f"{at}.{attention}.to_k", width, seen, bias=False)
                self.linear(f"{at}.{attention}.to_v", width, seen, bias=False)
                self.linear(f"{at}.{attention}.to_out.0", width, width)
            self.linear(f"{at}.ff.net.0.proj", 8 * width, width)  # GEGLU: twice four times the width
            self.linear(f"{at}.ff.net.2", width, 4 * width)
            for norm in ("norm1", "norm2", "norm3"):
                self.norm(f"{at}.{norm}", width)
        self.linear(f"{name}.proj_out", width, width)

    def vae_block(self, name: str, into: int, out: int) -> None:
        self.norm(f"{name}.norm1", into)
        self.conv(f"{name}.conv1", out, into)
        self.norm(f"{name}.norm2", out)
        self.conv(f"{name}.conv2", out, out)
        if into != out:
            self.conv(f"{name}.nin_shortcut", out, into, side=1)

    def vae_middle(self, half: str, norm_out: int, width: int | None = None) -> None:
        """The middle of a half, and the norm at its end."""
        width = width or norm_out
        self.vae_block(f"{half}.mid.block_1", width, width)
        self.norm(f"{half}.mid.attn_1.norm", width)
        for name in ("q", "k", "v", "proj_out"):
            self.conv(f"{half}.mid.attn_1.{name}", width, width, side=1)
        self.vae_block(f"{half}.mid.block_2", width, width)
        self.norm(f"{half}.norm_out", norm_out)


def differences(found: Mapping[str, tuple[int, ...]], expected: Shapes) -> Iterator[str]:
    """What sets ``found`` apart from the ``expected`` tensors, as phrases: those missing, those of another shape."""
    for name, shape in expected.items():
        if name not in found:
            yield f"{name} is missing"
        elif _essential(found[name]) != _essential(shape):
            yield f"{name} is {list(found[name])}, not {list(shape)}"


def _essential(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` without the two sides of a 1x1 convolution: some files store those as linear layers."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _count(tensors: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    """How many numbers from 0 up ``pattern`` has tensors for."""
    start, _, end = pattern.partition("{}")
    numbers = {name[len(start) :].partition(end)[0] for name in tensors if name.startswith(start)}
    count = 0
    while str(count) in numbers:
        count += 1
    return count


def _shape(tensors: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    shape = tensors.get(name)
    if shape is None:
        raise NotThisLayoutError(f"lacks {name}")
    if len(shape) < 2:
        raise NotThisLayoutError(f"has a strange {name} of shape {list(shape)}")
    return shape


def _pair(tensors: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    rows, columns, *_ = _shape(tensors, name)
    return rows, columns
