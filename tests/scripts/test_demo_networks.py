"""The parts of the demo base's pretraining that can be held against arithmetic, without pretraining anything."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from engine.data.buckets import BucketRules
from engine.demo import locate
from engine.model.base import BaseFolder
from scripts.demo_muon import Optimizer, orthogonal
from scripts.demo_pictures import SIZES, picture
from scripts.demo_vae import SCALING_FACTOR, crops, new_vae, whiten
from scripts.pretrain_demo_base import FULL, SMALL, placed_picture, vae_picture

ROOT = Path(__file__).parents[2]

torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(3, 8, 24), (2, 24, 8), (1, 16, 16)])
def test_muon_s_updates_are_nearly_orthogonal(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    updates = orthogonal(matrices)
    values = torch.linalg.svdvals(updates)
    assert values.median() > 0.6
    assert values.max() < 1.3
    # The singular vectors stay: in their basis the update is diagonal.
    diagonal = left.mT @ updates @ right.mT
    assert (diagonal - torch.diag_embed(diagonal.diagonal(dim1=1, dim2=2))).abs().max() < 1e-4


def test_the_optimizer_takes_matrices_and_the_rest_apart_and_descends() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 12), nn.SiLU(), nn.Linear(12, 3))
    optimizer = Optimizer(network.named_parameters(), lr=1e-2, matrix_lr=5e-2)
    assert len(optimizer.matrices) == 2
    inputs = torch.randn(64, 6)
    wanted = inputs[:, :3].sin()
    losses = []
    for step in range(200):
        loss = (network(inputs) - wanted).square().mean()
        loss.backward()
        optimizer.step(1 - step / 200)
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_a_new_vae_carries_colours_already() -> None:
    torch.manual_seed(0)
    pictures = [vae_picture(number) for number in range(0, 64)]
    squares = torch.stack([p for p in pictures if p.shape[1] == 128][:8]).float() / 127.5 - 1
    vae = new_vae(squares).eval()
    with torch.no_grad():
        shown = vae.decode(vae.encode(squares).latent_dist.mean).sample
    coarse, wanted = (nn.functional.avg_pool2d(images, 32) for images in (shown, squares))
    assert (coarse - wanted).abs().mean() < 0.12  # of a range of 2


def test_white_latents_are_white_and_show_the_same_picture() -> None:
    torch.manual_seed(0)
    pictures = [vae_picture(number) for number in range(0, 48, 2)]
    vae = new_vae(crops(pictures, 4, 64, torch.Generator().manual_seed(0))).eval()
    seen = crops(pictures, 1, 64, torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = vae.decode(vae.encode(seen).latent_dist.mean).sample
        whiten(vae, pictures)
        posterior = vae.encode(seen).latent_dist
        after = vae.decode(posterior.mean).sample
        latents = [vae.encode(p[None].float() / 127.5 - 1).latent_dist.mean * SCALING_FACTOR for p in pictures]
    assert torch.allclose(before, after, atol=2e-3)
    values = torch.cat([latent.permute(0, 2, 3, 1).flatten(0, 2) for latent in latents])
    assert values.mean(0).abs().max() < 1e-3
    assert torch.allclose(torch.cov(values.T), torch.eye(4), atol=1e-3)
    assert posterior.std.max() * SCALING_FACTOR < 1e-3


@pytest.mark.parametrize("rules", [SMALL, FULL])
def test_a_placed_picture_fills_its_bucket_and_says_where_it_was_cut(rules: BucketRules) -> None:
    chance = random.Random(0)
    cuts = set()
    for number in range(40):
        pixels, numbers = placed_picture(picture(number, SIZES[number % 3]).image, rules, chance)
        height, width, top, left, target_height, target_width = numbers
        assert pixels.shape == (3, target_height, target_width)
        assert target_height * target_width <= rules.area
        assert {height, width} <= {160, 144, 192, 128, 115, 154, 64, 58, 77}
        cuts.add((top, left))
    assert len(cuts) > 3


def test_the_script_makes_a_base_of_the_shipped_dimensions_from_nothing(tmp_path: Path) -> None:
    sizes = (
        "--vae-pictures=24",
        "--vae-steps=2",
        "--pictures=9",
        "--small-steps=2",
        "--full-steps=1",
        "--last-steps=1",
    )
    command = [sys.executable, "-m", "scripts.pretrain_demo_base", str(tmp_path / "base"), *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made, shipped = BaseFolder(tmp_path / "base"), BaseFolder(locate("bundled:demo-base"))
    for part in ("unet", "vae", "text_encoder", "text_encoder_2", "scheduler"):
        ours, theirs = ({**getattr(base.configs, part)} for base in (made, shipped))
        for config in (ours, theirs):
            config.pop("transformers_version", None)  # of the library that wrote it
        assert ours == theirs, part
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        ours, theirs = (
            {key: value.shape for key, value in load_file(next((base.path / name).glob("*.safetensors"))).items()}
            for base in (made, shipped)
        )
        assert ours == theirs
    assert all(weight.isfinite().all() for weight in made.unet().state_dict().values())
