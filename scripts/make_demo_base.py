"""Makes ``engine/demo/base``: SDXL's architecture at small dimensions, as a complete diffusers folder.

Everything is made from ``SEED``: run it again and the same folder comes out. The weights are random but well scaled: latents
times the scaling factor have unit variance on pictures, words tell prompts apart, and the UNet's last convolution is
fitted to predict noise, which makes it a weak denoiser that a LoRA can improve on. The tokenizers are real byte-level
CLIP BPE, trained on ``scripts/demo_vocabulary.txt``. Teaching the model to draw is not done here.

    python scripts/make_demo_base.py [FOLDER]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

SEED = 20261124
VOCABULARY_SIZE = 1400
BETAS = (0.00085, 0.012)
BASE_FOLDER = Path(__file__).parent.parent / "engine" / "demo" / "base"
WORDS = Path(__file__).with_name("demo_vocabulary.txt")

START, END = "<|startoftext|>", "<|endoftext|>"
# CLIP's own split of a caption into words (openai/CLIP, simple_tokenizer.py).
CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

HIDDEN_1, HIDDEN_2, PROJECTION_2 = 32, 40, 40
TIME_ID_EMBEDDING = 16
UNET: dict[str, Any] = {
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (32, 48, 56),
    "attention_head_dim": (2, 3, 2),  # SDXL's name for the number of heads
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "norm_num_groups": 8,
    "cross_attention_dim": HIDDEN_1 + HIDDEN_2,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_ID_EMBEDDING,
    "projection_class_embeddings_input_dim": 6 * TIME_ID_EMBEDDING + PROJECTION_2,
}
VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (16, 24, 24, 32),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "latent_channels": 4,
    "sample_size": 128,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}


def bytes_to_unicode() -> dict[int, str]:
    """Byte to the printable character that stands for it in a byte-level BPE vocabulary, in GPT-2's and CLIP's order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(printable))
    return table


def example_captions(count: int) -> list[str]:
    """Captions in the manner of training data: words of the vocabulary, the first ones most often."""
    words = WORDS.read_text(encoding="utf-8").split()
    weights = [1.0 / (8 + rank) for rank in range(len(words))]
    chance = random.Random(SEED)
    drawn = [" ".join(chance.choices(words, weights, k=8)) for _ in range(count)]
    return drawn + words


def learned_merges(count: int) -> list[tuple[str, str]]:
    """The first ``count`` byte-pair merges learned from the captions, most frequent first."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=4 * VOCABULARY_SIZE,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(example_captions(4000), trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    if len(merges) < count:
        raise ValueError(f"the captions give only {len(merges)} merges, {count} are wanted")
    return merges[:count]


def write_tokenizers(folder: Path) -> None:
    """``tokenizer`` and ``tokenizer_2``: one vocabulary, padded with the end token and with ``!`` as SDXL's are.

    The vocabulary is laid out as CLIP's: 256 bytes, 256 bytes that end a word, the merges, start, end. Every byte is in
    it, so no text meets an unknown token.
    """
    alphabet = list(bytes_to_unicode().values())
    merges = learned_merges(VOCABULARY_SIZE - 2 * len(alphabet) - 2)
    tokens = [*alphabet, *(char + "</w>" for char in alphabet), *(left + right for left, right in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    assert len(vocabulary) == VOCABULARY_SIZE, "a merge gives a token that is there already"
    for name, pad in (("tokenizer", END), ("tokenizer_2", "!")):
        target = folder / name
        target.mkdir(parents=True)
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad}
        config = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "do_lower_case": True,
            "add_prefix_space": False,
            "errors": "replace",
            **special,
        }
        rules = "".join(f"{left} {right}\n" for left, right in merges)
        (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        (target / "merges.txt").write_text(f"#version: 0.2\n{rules}", encoding="utf-8")
        (target / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (target / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def text_config(*, hidden: int, layers: int, heads: int, activation: str, projection: int, pad: int) -> CLIPTextConfig:
    """A CLIP text encoder's dimensions over the demo vocabulary."""
    return CLIPTextConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=77,
        hidden_act=activation,
        projection_dim=projection,
        bos_token_id=VOCABULARY_SIZE - 2,
        eos_token_id=VOCABULARY_SIZE - 1,
        pad_token_id=pad,
    )


def text_encoders() -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Both text encoders: transformers' CLIP initialisation with larger embeddings, so that words tell prompts apart."""
    first = text_config(
        hidden=HIDDEN_1, layers=2, heads=2, activation="quick_gelu", projection=HIDDEN_1, pad=VOCABULARY_SIZE - 1
    )
    second = text_config(hidden=HIDDEN_2, layers=3, heads=2, activation="gelu", projection=PROJECTION_2, pad=0)
    encoders = CLIPTextModel(first), CLIPTextModelWithProjection(second)
    for encoder in encoders:
        for name, weight in encoder.named_parameters():
            if name.endswith("token_embedding.weight"):
                weight.data.normal_(0.0, 0.8)
            elif name.endswith("position_embedding.weight"):
                weight.data.normal_(0.0, 0.2)
    return encoders


def example_pictures(count: int, side: int) -> torch.Tensor:
    """Pictures of coloured boxes and discs on sloping backgrounds, (count, 3, side, side) in [-1, 1]."""
    generator = torch.Generator().manual_seed(SEED)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    down, right = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    pictures = []
    for _ in range(count):
        slope = down if uniform(1) < 0.5 else right
        picture = uniform(3, 1, 1) * (1 - slope) + uniform(3, 1, 1) * slope
        for _ in range(4):
            y, x, radius = uniform(3).tolist()
            radius = 0.08 + 0.25 * radius
            disc = (down - y) ** 2 + (right - x) ** 2 < radius**2
            box = ((down - y).abs() < radius) & ((right - x).abs() < radius)
            picture = torch.where(disc if uniform(1) < 0.5 else box, uniform(3, 1, 1), picture)
        pictures.append(picture)
    return torch.stack(pictures) * 2 - 1


@torch.no_grad()
def calibrate_latents(vae: AutoencoderKL) -> None:
    """Set ``quant_conv`` so that latents times the scaling factor are white on pictures, with a narrow posterior.

    Whitening uses the encoder's own 8 output channels: the 4 strongest principal directions become the 4 latents.
    """
    features = vae.encoder(example_pictures(48, 128)).permute(0, 2, 3, 1).flatten(0, 2)
    mean = features.mean(0)
    variance, directions = torch.linalg.eigh(torch.cov((features - mean).T))
    channels = vae.config.latent_channels
    strongest = directions[:, -channels:] / variance[-channels:].sqrt() / vae.config.scaling_factor
    weight, bias = vae.quant_conv.weight, vae.quant_conv.bias
    weight.zero_()
    bias.fill_(-12.0)  # log variance: sampling adds next to nothing
    weight[:channels] = strongest.T[:, :, None, None]
    bias[:channels] = -strongest.T @ mean


@torch.no_grad()
def fit_last_convolution(unet: UNet2DConditionModel, vae: AutoencoderKL) -> None:
    """Set ``conv_out`` to the ridge regression of the noise on the random features before it: a weak denoiser, in seconds.

    Its mean squared error is about 0.3 at high noise and 1 at low noise, as shallow as a linear layer can see.
    """
    generator = torch.Generator().manual_seed(SEED + 1)
    scale = vae.config.scaling_factor
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in example_pictures(192, 128).chunk(12)]) * scale
    process = DDPMScheduler(beta_start=BETAS[0], beta_end=BETAS[1], beta_schedule="scaled_linear")
    features: list[torch.Tensor] = []
    hook = unet.conv_out.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    inputs = 9 * unet.conv_out.in_channels + 1
    gram = torch.zeros(inputs, inputs, dtype=torch.float64)
    target = torch.zeros(inputs, latents.shape[1], dtype=torch.float64)
    for _ in range(24):
        clean = latents[torch.randint(0, len(latents), (32,), generator=generator)]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(0, 1000, (len(clean),), generator=generator)
        unet(process.add_noise(clean, noise, timesteps), timesteps, **random_conditioning(len(clean), generator))
        patches = torch.nn.functional.unfold(features.pop(), 3, padding=1).permute(0, 2, 1).flatten(0, 1).double()
        patches = torch.cat([patches, torch.ones(len(patches), 1)], dim=1)
        gram += patches.T @ patches
        target += patches.T @ noise.permute(0, 2, 3, 1).flatten(0, 2).double()
    hook.remove()
    ridge = 1e-3 * gram.diagonal().mean() * torch.eye(inputs)
    solution = torch.linalg.solve(gram + ridge, target).float()
    unet.conv_out.weight.copy_(solution[:-1].T.reshape(unet.conv_out.weight.shape))
    unet.conv_out.bias.copy_(solution[-1])


def random_conditioning(count: int, generator: torch.Generator) -> dict[str, Any]:
    """Embeddings of the scale that the text encoders give, for uncropped pictures of 128 px."""
    return {
        "encoder_hidden_states": torch.randn(count, 77, HIDDEN_1 + HIDDEN_2, generator=generator),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(count, PROJECTION_2, generator=generator),
            "time_ids": torch.tensor([[128.0, 128.0, 0.0, 0.0, 128.0, 128.0]]).repeat(count, 1),
        },
    }


def write_text_encoder(encoder: CLIPTextModel | CLIPTextModelWithProjection, folder: Path) -> None:
    """Save an encoder in fp16 under SDXL's tensor names, to be loaded in fp32 as the rest of the pipeline is.

    Tensor names follow the published SDXL folder (``text_model.`` first), which every version of transformers reads; a
    config that said float16 would make transformers 5 load the encoder in fp16 beside an fp32 UNet.
    """
    encoder.save_pretrained(folder)
    tensors = {
        name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}": tensor.half()
        for name, tensor in encoder.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def make(folder: Path) -> None:
    """Write the whole folder, replacing what is there."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
    encoder_1, encoder_2 = text_encoders()
    calibrate_latents(vae)
    fit_last_convolution(unet, vae)
    scheduler = EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=BETAS[0],
        beta_end=BETAS[1],
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        interpolation_type="linear",
        steps_offset=1,
        use_karras_sigmas=False,
    )
    if folder.exists():
        shutil.rmtree(folder)
    write_tokenizers(folder)
    pipeline = StableDiffusionXLPipeline(
        vae=vae.half(),
        text_encoder=encoder_1,
        text_encoder_2=encoder_2,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        unet=unet.half(),
        scheduler=scheduler,
    )
    for name in ("vae", "unet", "scheduler"):
        getattr(pipeline, name).save_pretrained(folder / name)
    for name in ("text_encoder", "text_encoder_2"):
        write_text_encoder(getattr(pipeline, name), folder / name)
    pipeline.save_config(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes 0600, which would go into the wheel


def main() -> None:
    """Make the folder named on the command line, or the bundled one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=BASE_FOLDER)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
