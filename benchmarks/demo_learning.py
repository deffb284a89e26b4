"""What the demo's LoRA learns: the loss on held-out pictures of its subject before and after, and samples side by side.

The engine trains the shipped demo profile as it stands. The loss is the objective's own on ``bundled:demo-held-out`` at fixed
timesteps and noise, with the right captions, with each other's, and without. ``--sheet`` writes three rows of pictures: those
held out, what the base draws for their captions, and what it draws with the LoRA.

    python benchmarks/demo_learning.py [--sheet FILE.png] [-s FIELD=VALUE ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from safetensors.torch import load_file

from engine.data.batches import TrainingSet
from engine.data.prepare import prepare
from engine.model.adapter import add_lora
from engine.model.encoders import BaseEncoders
from engine.model.open_base import Base, open_base
from engine.model.sampling import Picture, draw_samples
from engine.profile.load import load_profile
from engine.profile.sample_prompts import sample_prompts
from engine.profile.schema import Loss, Profile, Source
from engine.profile.shipped import find_profile
from engine.run.create import create_run
from engine.run.layout import RunDirectory
from engine.train import rng
from engine.train.assemble import objective_of
from engine.train.attempt import run_engine
from engine.train.objective.loss import Draw
from engine.train.requests import Requests

HELD_OUT: Final = "bundled:demo-held-out"
TIMESTEPS: Final = tuple(range(350, 900, 100))
"""Those at which it is decided what a picture shows. Below, the loss is larger and about details that any picture has."""
NOISES: Final = 3
"""Draws of noise for every picture and timestep."""


def held_out_data(profile: Profile, base: Base, cache: Path, prompts: Sequence[str] = ("",)) -> TrainingSet:
    """The held-out pictures, placed and encoded as the profile has its own."""
    dataset = profile.dataset.model_copy(update={"sources": (Source(path=HELD_OUT),)})
    return prepare(dataset, cache, BaseEncoders(base), prompts=prompts)


@torch.no_grad()
def held_out_loss(unet: Any, base: Base, data: TrainingSet, captions: dict[str, str] | None = None) -> float:
    """The mean objective over all pictures, timesteps and noises, the same ones each time.

    captions: for a picture's caption the text to give the UNet in its place.
    """
    unet.eval()
    objective = objective_of(base, Loss(), torch.device("cpu"))
    losses: list[float] = []
    for index, item in enumerate(data.items):
        batch = data.batch([index] * len(TIMESTEPS))
        if captions is not None:
            told, pooled = data.embeddings([captions[item.image.caption]] * len(TIMESTEPS))
            batch = dataclasses.replace(batch, prompt_embeds=told, pooled=pooled)
        for draw in range(NOISES):
            generator = torch.Generator().manual_seed(NOISES * index + draw)
            noise = torch.randn(batch.latents.shape, generator=generator)
            losses.append(float(objective.loss(unet, batch, Draw(noise, noise, torch.tensor(TIMESTEPS)))))
    return sum(losses) / len(losses)


def each_others_captions(data: TrainingSet) -> dict[str, str]:
    """For every caption another picture's."""
    captions = [item.image.caption for item in data.items]
    return dict(zip(captions, captions[3:] + captions[:3], strict=True))


def with_lora(base: Base, run: RunDirectory, profile: Profile, step: int) -> Any:
    """The base's UNet with the weights of a run's checkpoint."""
    unet = base.unet()
    adapter = add_lora(unet, profile.network, seed=rng.derived_seed(profile.training.seed, "adapter"))
    adapter.load_state_dict(load_file(run.checkpoint(step) / "trainable.safetensors"))
    return unet


def contact_sheet(data: TrainingSet, unets: Sequence[Any], base: Base, profile: Profile) -> Image.Image:
    """One column per held-out picture: the picture, then what each UNet draws for its caption from the same noise."""
    settings = profile.samples.model_copy(update={"steps": 25, "width": 128, "height": 128})
    vae = base.vae()
    rows: list[list[Image.Image]] = []
    pictures: list[Image.Image] = []
    for item in data.items:
        with Image.open(item.image.path) as picture:
            pictures.append(picture.convert("RGB"))
    rows.append(pictures)
    negative = data.embeddings([settings.negative])
    asked = [
        Picture(how, data.embeddings([item.image.caption]), negative)
        for item, how in zip(
            data.items,
            sample_prompts(settings.model_copy(update={"prompts": tuple(item.image.caption for item in data.items)})),
            strict=True,
        )
    ]
    for unet in unets:
        rows.append(draw_samples(unet, vae, asked, scheduler=lambda sampler: base.sampling_scheduler(sampler=sampler)))
    side = 128
    sheet = Image.new("RGB", (len(pictures) * side, len(rows) * side), "white")
    for down, row in enumerate(rows):
        for across, shown in enumerate(row):
            shown.thumbnail((side, side))
            at = across * side + (side - shown.width) // 2, down * side + (side - shown.height) // 2
            sheet.paste(shown, at)
    return sheet


def main() -> None:
    """Train, measure, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="where to write the pictures")
    parser.add_argument("-s", "--set", action="append", default=[], metavar="FIELD=VALUE", help="as in sdxl-tui train")
    arguments = parser.parse_args()
    profile = load_profile(find_profile("demo", Path.cwd()), arguments.set).profile
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary)
        run = create_run(workspace / "runs", profile, source=None)
        began = time.monotonic()
        if run_engine(run.path, attempt=None, lock_fd=None, from_checkpoint=None, requests=Requests()) != 0:
            raise SystemExit(f"the training failed; see {run.events}")
        took = time.monotonic() - began
        base = open_base(profile.model.base)
        data = held_out_data(profile, base, run.cache)
        unets = {"base": base.unet(), "LoRA": with_lora(base, run, profile, profile.training.steps)}
        print(
            f"{profile.training.steps} steps of {profile.training.batch_size} in {took:.0f} s, samples and checkpoints included"
        )
        losses = {}
        for told, captions in (
            ("the right captions", None),
            ("each other's captions", each_others_captions(data)),
            ("no captions", dict.fromkeys((item.image.caption for item in data.items), "")),
        ):
            before, after = losses[told] = [held_out_loss(unet, base, data, captions) for unet in unets.values()]
            print(f"{told:22}: base {before:.4f}, LoRA {after:.4f}, ratio {after / before:.3f}")
        if arguments.sheet:
            contact_sheet(data, list(unets.values()), base, profile).save(arguments.sheet, optimize=True)


if __name__ == "__main__":
    main()
