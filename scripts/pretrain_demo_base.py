"""Makes ``engine/demo/base``: a small SDXL base that draws things and shapes in places, pretrained from nothing on two cores.

Everything follows from ``SEED`` and the numbers of steps: pictures are drawn (``demo_pictures.py``), a VAE is trained on them
(``demo_vae.py``), pictures become latents, the UNet and both text encoders are trained on them (``demo_denoiser.py``), first
small, then at the demo's size, and the whole is written as a diffusers folder. Two processes of one thread share the work and
average their gradients, which is faster here than one process of two threads. About 25 minutes on two cores.

    python -m scripts.pretrain_demo_base [FOLDER] [--work FOLDER]

With ``--work`` intermediate results are kept there, and a VAE found there is taken as it is.
"""

from __future__ import annotations

import argparse
import random
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from engine.data.buckets import BucketRules, place, time_ids
from scripts.demo_denoiser import BETAS, Denoiser, Examples, Stage, quieten_unseen_words, train_denoiser
from scripts.demo_pictures import SIZES, clutter, picture
from scripts.demo_tokenizers import write_tokenizers
from scripts.demo_vae import CONFIG, SCALING_FACTOR, new_vae, train_vae, whiten

SEED = 20261124
PROCESSES = 2
BASE_FOLDER = Path(__file__).resolve().parent.parent / "engine" / "demo" / "base"
SMALL = BucketRules(resolution=64, smallest=32, largest=128, step=8)
FULL = BucketRules(resolution=128, smallest=64, largest=256, step=16)
CROPPED = 0.15
"""Share of the pictures that are enlarged and cropped at random, so that the crop's conditioning means something."""


@dataclass(frozen=True)
class Plan:
    """How much of everything; per process where it can be divided."""

    vae_pictures: int = 1500
    vae_steps: int = 800
    pictures: int = 2400
    small_steps: int = 700
    full_steps: int = 1100
    last_steps: int = 150


class Worker:
    """One of the processes: its share of the pictures, and its view of the common work."""

    def __init__(self, rank: int, plan: Plan, work: Path) -> None:
        self.rank, self.plan, self.work = rank, plan, work
        self.began = time.monotonic()
        self.generator = torch.Generator().manual_seed(SEED + rank)

    def report(self, text: str) -> None:
        """Print a line of progress, once for all processes."""
        if self.rank == 0:
            print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Replace all gradients by their mean over the processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= PROCESSES
        norm = flat.norm()
        flat *= (1.0 / (norm + 1e-6)).clamp(max=1.0)
        for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def run(self, folder: Path) -> None:
        """Do everything; the first process writes ``folder``."""
        torch.manual_seed(SEED)  # the same first weights everywhere
        vae = self.vae()
        write_once = self.rank == 0
        ids = self.work / "tokens"
        if write_once:
            shutil.rmtree(ids, ignore_errors=True)
            write_tokenizers(ids)
        torch.distributed.barrier()
        captions, small, full = self.examples(vae)
        tables = token_tables(ids, captions)
        longest = int((tables[0] != tables[0].max()).sum(1).max()) + 2
        self.report(f"{len(captions)} captions of up to {longest} tokens")
        denoiser = Denoiser()
        average = train_denoiser(
            denoiser,
            [
                # Padding is most of a caption's 77 tokens and of the cost of looking at them: it comes in at the end.
                Stage(small, self.plan.small_steps, 32, longest),
                Stage(full, self.plan.full_steps, 16, longest),
                Stage(full, self.plan.last_steps, 16, 77),
            ],
            tables,
            generator=self.generator,
            average_gradients=self.average_gradients,
            report=self.report,
        )
        if write_once:
            denoiser.load_state_dict(average, strict=False)
            for encoder, table in zip((denoiser.text_encoder, denoiser.text_encoder_2), tables, strict=True):
                quieten_unseen_words(encoder, table)
            write_base(folder, vae, denoiser)
            self.report(f"written: {folder}")

    def vae(self) -> AutoencoderKL:
        """The trained VAE with white latents, from the work folder if it is there."""
        kept = self.work / "vae.safetensors"
        if kept.exists():
            vae = AutoencoderKL(**CONFIG)
            vae.load_state_dict(load_file(kept))
            return vae.eval().to(memory_format=torch.channels_last)
        pictures = [vae_picture(number) for number in self.numbers(self.plan.vae_pictures)]
        self.report(f"{PROCESSES * len(pictures)} pictures for the VAE")
        start = [picture for picture in pictures if picture.shape == (3, 128, 128)][:8]
        vae = new_vae(torch.stack(start).float() / 127.5 - 1)
        for weight in vae.state_dict().values():
            torch.distributed.broadcast(weight, 0)
        train_vae(
            vae,
            pictures,
            steps=self.plan.vae_steps,
            generator=self.generator,
            average_gradients=self.average_gradients,
            report=self.report,
        )
        if self.rank == 0:
            whiten(vae, [pixels(picture(number, SIZES[0]).image, 128) for number in range(200)])
            save_file({name: weight.contiguous() for name, weight in vae.state_dict().items()}, kept)
        torch.distributed.barrier()
        return self.vae()

    def numbers(self, count: int) -> range:
        """The numbers of this process's pictures."""
        return range(self.rank, PROCESSES * count, PROCESSES)

    def examples(self, vae: AutoencoderKL) -> tuple[list[str], list[Examples], list[Examples]]:
        """The captions of this process (the empty one first), and its pictures encoded small and in full, by size."""
        captions: dict[str, int] = {"": 0}
        found: dict[tuple[int, int, int], list[tuple[Tensor, tuple[int, ...], int]]] = {}
        for done, number in enumerate(self.numbers(self.plan.pictures)):
            chance = random.Random(number)
            drawn = picture(number, SIZES[number // PROCESSES % len(SIZES)])
            caption = captions.setdefault(drawn.caption, len(captions))
            for rules in (SMALL, FULL):
                placed, numbers = placed_picture(drawn.image, rules, chance)
                latents = encode(vae, placed)
                found.setdefault((rules.resolution, *placed.shape[1:]), []).append((latents, numbers, caption))
            if done % 600 == 599:
                self.report(f"{PROCESSES * (done + 1)} pictures encoded")
        by_size = {
            size: Examples(
                torch.stack([latents for latents, _, _ in entries]),
                torch.tensor([numbers for _, numbers, _ in entries], dtype=torch.float32),
                torch.tensor([caption for _, _, caption in entries]),
            )
            for size, entries in sorted(found.items())
        }
        small = [examples for size, examples in by_size.items() if size[0] == SMALL.resolution]
        return list(captions), small, [e for size, e in by_size.items() if size[0] == FULL.resolution]


def vae_picture(number: int) -> Tensor:
    """A picture for the VAE, (3, H, W) uint8: every third clutter; as large as the UNet will see it, or half that."""
    image = clutter(number, SIZES[0]) if number // PROCESSES % 3 == 0 else picture(number, SIZES[0]).image
    return pixels(image, (128, 96, 128, 64)[number // (3 * PROCESSES) % 4])


def pixels(image: Image.Image, side: int) -> Tensor:
    """A picture as a square tensor, (3, side, side) uint8."""
    return as_tensor(image.resize((side, side), Image.Resampling.LANCZOS))


def as_tensor(image: Image.Image) -> Tensor:
    """(3, H, W) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def placed_picture(image: Image.Image, rules: BucketRules, chance: random.Random) -> tuple[Tensor, tuple[int, ...]]:
    """A picture in its bucket, (3, H, W) uint8, and its time ids, as the engine would place it from a file.

    The file's size varies: as drawn, smaller, or so small that it must be enlarged, which shows.
    """
    share = chance.choices((1.0, 0.8, 0.4), (0.45, 0.45, 0.1))[0]
    width, height = (round(side * share) for side in image.size)
    if share < 1:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    placement = place(width, height, rules)
    grow = chance.uniform(1.1, 1.4) if chance.random() < CROPPED else 1.0
    wide, high = round(placement.resized_width * grow), round(placement.resized_height * grow)
    left, top = placement.crop_left, placement.crop_top
    if grow > 1:
        left = chance.randint(0, wide - placement.bucket_width)
        top = chance.randint(0, high - placement.bucket_height)
    resized = image.resize((wide, high), Image.Resampling.LANCZOS)
    cropped = resized.crop((left, top, left + placement.bucket_width, top + placement.bucket_height))
    numbers = time_ids(width, height, placement)
    return as_tensor(cropped), (*numbers[:2], top, left, *numbers[4:])


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Latents (4, h, w) of a picture, times the scaling factor."""
    latents: Tensor = vae.encode(pixels[None].float() / 127.5 - 1).latent_dist.mean[0] * SCALING_FACTOR
    return latents


def token_tables(folder: Path, captions: list[str]) -> tuple[Tensor, Tensor]:
    """All captions' token ids for either text encoder, (captions, 77)."""
    first, second = (
        CLIPTokenizer.from_pretrained(folder / name)(
            captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        for name in ("tokenizer", "tokenizer_2")
    )
    return first, second


def write_base(folder: Path, vae: AutoencoderKL, denoiser: Denoiser) -> None:
    """Write the whole diffusers folder in fp16, replacing what is there."""
    if folder.exists():
        shutil.rmtree(folder)
    write_tokenizers(folder)
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
    pipeline: Any = StableDiffusionXLPipeline(
        vae=vae.half().to(memory_format=torch.contiguous_format),
        text_encoder=denoiser.text_encoder,
        text_encoder_2=denoiser.text_encoder_2,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        unet=denoiser.unet.half().to(memory_format=torch.contiguous_format),
        scheduler=scheduler,
    )
    for name in ("vae", "unet", "scheduler"):
        getattr(pipeline, name).save_pretrained(folder / name)
    for name in ("text_encoder", "text_encoder_2"):
        write_text_encoder(getattr(pipeline, name), folder / name)
    pipeline.save_config(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes 0600, which would go into the wheel


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


def work(rank: int, port: int, plan: Plan, folder: Path, kept: Path) -> None:
    """The body of one process."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=PROCESSES)
    Worker(rank, plan, kept).run(folder)
    torch.distributed.destroy_process_group()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Make the folder named on the command line, or the bundled one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=BASE_FOLDER)
    parser.add_argument("--work", type=Path, help="folder for intermediate results")
    for name, value in vars(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, metavar="N")
    arguments = parser.parse_args()
    plan = Plan(**{name: getattr(arguments, name) for name in vars(Plan())})
    with tempfile.TemporaryDirectory() as temporary:
        kept = arguments.work or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        # Ends all processes as soon as one fails.
        inputs = (free_port(), plan, arguments.folder, kept)
        spawn(work, inputs, nprocs=PROCESSES)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
