"""Loss and gradient of every variant of the objective, against the papers' formulas written out one image at a time."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from engine.data.batches import Batch
from engine.demo import locate
from engine.model.base import BaseFolder
from engine.model.prediction import Prediction
from engine.model.trained_prediction import ObjectiveError, effective_prediction
from engine.profile.schema import Loss
from engine.profile.schema.loss import DeltaSchedule, LossKind
from engine.train import rng
from engine.train.objective.loss import Draw, Objective
from engine.train.objective.process import Process

CPU = torch.device("cpu")
EPSILON = Prediction("epsilon", zero_terminal_snr=False, source="test")
VELOCITY = Prediction("v_prediction", zero_terminal_snr=False, source="test")
ZERO_SNR = Prediction("v_prediction", zero_terminal_snr=True, source="test")


def alpha_bar(prediction: Prediction) -> Tensor:
    """SDXL's, written out; with zero terminal SNR by algorithm 1 of arXiv:2305.08891."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    root = torch.cumprod(1 - betas, dim=0).sqrt()
    if prediction.zero_terminal_snr:
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


def objective(prediction: Prediction = EPSILON, **changes: Any) -> Objective:
    return Objective(Process(alpha_bar(prediction), prediction, CPU), Loss(**changes), CPU)


class Linear(nn.Module):
    """A UNet as small as can be, whose output depends on all that it is told."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(4, 4, generator=generator) * 0.5)

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        *,
        encoder_hidden_states: Tensor,
        added_cond_kwargs: dict[str, Tensor],
        return_dict: bool,
    ) -> tuple[Tensor]:
        assert not return_dict
        told = encoder_hidden_states.mean(dim=(1, 2)) + added_cond_kwargs["text_embeds"].mean(dim=1)
        told = told + added_cond_kwargs["time_ids"].mean(dim=1) / 100 + timesteps / 1000
        return (torch.einsum("oc,bchw->bohw", self.weight, noisy) + told[:, None, None, None],)


def batch(*, masks: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(5)
    return Batch(
        latents=torch.randn(3, 4, 6, 5, generator=generator),
        prompt_embeds=torch.randn(3, 77, 8, generator=generator),
        pooled=torch.randn(3, 6, generator=generator),
        time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64]]).repeat(3, 1),
        captions=("a", "b", "c"),
        loss_weights=torch.tensor([1.0, 0.5, 2.0]),
        masks=torch.rand(3, 1, 6, 5, generator=generator) if masks else None,
    )


def reference(prediction: Prediction, model: Linear, data: Batch, draw: Draw, wanted: Loss) -> Tensor:
    """The loss by the papers' equations, image by image, in float64."""
    table = alpha_bar(prediction)
    total = torch.zeros((), dtype=torch.float64)
    for i, t in enumerate(draw.timesteps.tolist()):
        share = table[t].item()
        latents, noise = data.latents[i].double(), draw.noise[i].double()
        noisy = math.sqrt(share) * latents + math.sqrt(1 - share) * draw.added[i].double()
        told = data.prompt_embeds[i].double().mean() + data.pooled[i].double().mean()
        told = told + data.time_ids[i].double().mean() / 100 + t / 1000
        predicted = torch.einsum("oc,chw->ohw", model.weight.double(), noisy) + told
        target = noise if prediction.type == "epsilon" else math.sqrt(share) * noise - math.sqrt(1 - share) * latents
        error = predicted - target
        snr = share / (1 - share)
        sigma = math.sqrt((1 - share) / share) if share else math.inf
        d = wanted.delta or 0.1
        delta = {"constant": d, "exponential": math.exp(math.log(d) * t / 1000), "snr": (1 - d) / (1 + sigma) ** 2 + d}[
            wanted.delta_schedule.value
        ] * (wanted.delta_scale or 1)
        bent = ((error**2 + delta**2) ** 0.5 - delta) * 2
        distance = {"mse": error**2, "l1": error.abs(), "huber": delta * bent, "smooth_l1": bent}[wanted.kind.value]
        if data.masks is not None:
            distance = distance * data.masks[i].double()
        is_noise = prediction.type == "epsilon"
        factor = 1.0
        if wanted.min_snr_gamma:
            factor = min(snr, wanted.min_snr_gamma) / (snr if is_noise else snr + 1)
        if wanted.debiased_estimation:
            factor = 1 / math.sqrt(snr) if is_noise else 1 / (snr + 1)
        if wanted.scale_v_like_noise:
            factor = snr / (snr + 1)
        if wanted.v_like_share:
            factor = 1 + wanted.v_like_share * (snr + 1) / snr
        total = total + distance.mean() * factor * data.loss_weights[i].double()
    return total / len(draw.timesteps)


KINDS: list[dict[str, Any]] = [
    {"kind": LossKind.MSE},
    {"kind": LossKind.L1},
    *(
        {"kind": kind, "delta": 0.2, "delta_schedule": schedule}
        for kind in (LossKind.HUBER, LossKind.SMOOTH_L1)
        for schedule in DeltaSchedule
    ),
    {"kind": LossKind.HUBER, "delta_scale": 3.0},
]
FOR_ALL: list[dict[str, Any]] = [{}, {"min_snr_gamma": 5.0}, {"debiased_estimation": True}]
WEIGHTINGS: list[tuple[Prediction, dict[str, Any]]] = [
    *itertools.product((EPSILON, VELOCITY, ZERO_SNR), FOR_ALL),
    (VELOCITY, {"scale_v_like_noise": True}),
    (ZERO_SNR, {"scale_v_like_noise": True}),
    (EPSILON, {"v_like_share": 0.25}),
]


@pytest.mark.parametrize("masks", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(str(value) for value in kind.values()))
@pytest.mark.parametrize(
    ("prediction", "weighting"),
    WEIGHTINGS,
    ids=[f"{p.type}-{p.zero_terminal_snr}-{'-'.join(w) or 'plain'}" for p, w in WEIGHTINGS],
)
def test_loss_and_gradient_are_the_papers(
    prediction: Prediction, weighting: dict[str, Any], kind: dict[str, Any], masks: bool
) -> None:
    wanted, model, data = objective(prediction, **kind, **weighting), Linear(), batch(masks=masks)
    drawn = wanted.draw(data.latents, torch.Generator().manual_seed(1))
    last = 999 if prediction.zero_terminal_snr else 998
    drawn = Draw(drawn.noise, drawn.noise + 0.1, torch.tensor([2, 431, last]))
    loss = wanted.loss(model, data, drawn)
    (gradient,) = torch.autograd.grad(loss, [model.weight])
    other = Linear()
    expected = reference(prediction, other, data, drawn, wanted.settings)
    (expected_gradient,) = torch.autograd.grad(expected, [other.weight])
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=2e-5)
    assert torch.isfinite(gradient).all()
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5 * scale)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 10))
def test_a_pseudo_huber_error_lies_between_the_squared_and_the_absolute_one(error: float, delta: float) -> None:
    losses = {}
    for kind in (LossKind.HUBER, LossKind.SMOOTH_L1):
        wanted = objective(kind=kind, delta=delta, delta_schedule=DeltaSchedule.CONSTANT)
        data = batch(masks=False)
        one = Batch(**{**vars(data), "loss_weights": torch.ones(3)})

        def shifted(noisy: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
            return (torch.full_like(noisy, error),)

        model: Any = shifted
        drawn = Draw(torch.zeros_like(data.latents), torch.zeros_like(data.latents), torch.tensor([5, 5, 5]))
        losses[kind] = wanted.loss(model, one, drawn).item()
    assert losses[LossKind.HUBER] <= error**2 * (1 + 1e-5)
    assert losses[LossKind.SMOOTH_L1] <= 2 * abs(error) * (1 + 1e-5)
    assert losses[LossKind.HUBER] == pytest.approx(delta * losses[LossKind.SMOOTH_L1], rel=1e-5)
    if abs(error) < delta / 100:
        assert losses[LossKind.HUBER] == pytest.approx(error**2, rel=1e-4, abs=1e-30)


def test_the_process_is_that_of_diffusers() -> None:
    base = BaseFolder(locate("bundled:demo-base"))
    data = batch()
    noise, timesteps = torch.randn_like(data.latents), torch.tensor([0, 500, 999])
    for prediction in (EPSILON, VELOCITY, ZERO_SNR):
        oracle = base.noise_scheduler(prediction)
        process = Process(oracle.alphas_cumprod, prediction, CPU)
        torch.testing.assert_close(
            process.noised(data.latents, noise, timesteps), oracle.add_noise(data.latents, noise, timesteps)
        )
        velocity = oracle.get_velocity(data.latents, noise, timesteps)
        expected = velocity if prediction.type == "v_prediction" else noise
        torch.testing.assert_close(process.target(data.latents, noise, timesteps), expected)


def test_masked_parts_and_images_without_weight_do_not_count() -> None:
    wanted, model, data = objective(), Linear(), batch()
    drawn = wanted.draw(data.latents, torch.Generator().manual_seed(1))
    nothing = Batch(**{**vars(data), "masks": torch.zeros(3, 1, 6, 5)})
    assert wanted.loss(model, nothing, drawn).item() == 0
    assert wanted.loss(model, Batch(**{**vars(data), "loss_weights": torch.zeros(3)}), drawn).item() == 0
    whole = Batch(**{**vars(data), "masks": torch.ones(3, 1, 6, 5)})
    unmasked = Batch(**{**vars(data), "masks": None})
    assert torch.equal(wanted.loss(model, whole, drawn), wanted.loss(model, unmasked, drawn))


# ------------------------------------------------------------------ what is drawn


def generator() -> torch.Generator:
    return rng.noise_generator(9)


def test_noise_depends_on_its_seed_alone() -> None:
    latents = torch.zeros(2, 4, 3, 5)
    wanted = objective(multires_iterations=4, input_perturbation=0.1, input_perturbation_random=True)
    torch.manual_seed(1)
    first = wanted.draw(latents, generator())
    torch.manual_seed(2)
    torch.randn(100)
    before = torch.get_rng_state()
    second = wanted.draw(latents, generator())
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("noise", "added", "timesteps"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert first.noise.shape == latents.shape


def test_plain_noise_and_timesteps_are_torchs_own() -> None:
    drawn = objective().draw(torch.zeros(2, 4, 3, 5), generator())
    reference_generator = generator()
    assert torch.equal(drawn.noise, torch.randn(2, 4, 3, 5, generator=reference_generator))
    assert torch.equal(drawn.timesteps, torch.randint(0, 1000, (2,), generator=reference_generator))
    assert drawn.added is drawn.noise


def test_a_noise_offset_shifts_each_channel_of_each_image() -> None:
    latents = torch.zeros(400, 4, 8, 8)
    plain = objective().draw(latents, generator()).noise
    shifted = objective(noise_offset=0.3).draw(latents, generator()).noise
    shift = shifted - plain
    assert (shift - shift.mean(dim=(2, 3), keepdim=True)).abs().max() < 1e-5
    sizes = shift.mean(dim=(2, 3))
    assert sizes.std().item() == pytest.approx(0.3, rel=0.08)
    assert abs(sizes.mean().item()) < 0.04
    random_sizes = objective(noise_offset=0.3, noise_offset_random=True).draw(latents, generator()).noise - plain
    # The root mean square of 0.3 · u · ξ, u uniform in [0, 1): 0.3 / √3.
    assert random_sizes.mean(dim=(2, 3)).std().item() == pytest.approx(0.3 / math.sqrt(3), rel=0.1)


def test_an_adaptive_offset_grows_with_the_channels_mean() -> None:
    latents = torch.zeros(400, 4, 8, 8)
    latents[:, 1] = -2.0
    plain = objective().draw(latents, generator()).noise
    shift = objective(noise_offset=0.1, adaptive_noise_scale=0.2).draw(latents, generator()).noise - plain
    assert shift[:, 0].mean(dim=(1, 2)).std().item() == pytest.approx(0.1, rel=0.1)
    assert shift[:, 1].mean(dim=(1, 2)).std().item() == pytest.approx(0.1 + 0.2 * 2, rel=0.1)


def test_multires_noise_is_the_articles_level_by_level() -> None:
    latents = torch.zeros(2, 4, 16, 12)
    drawn = objective(multires_iterations=6, multires_discount=0.4).draw(latents, generator())
    source = generator()
    total = torch.randn(latents.shape, generator=source)
    torch.randint(0, 1000, (2,), generator=source)
    height, width = 16, 12
    for level in range(6):
        ratio = 2 + 2 * torch.rand((), generator=source, dtype=torch.float64).item()
        height, width = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        coarse = torch.randn(2, 4, height, width, generator=source)
        total += 0.4**level * nn.Upsample(size=(16, 12), mode="bilinear")(coarse)
        if 1 in (height, width):
            break
    for image, expected in zip(drawn.noise, total, strict=True):
        torch.testing.assert_close(image, expected / expected.std())


def test_multires_noise_has_unit_variance_and_more_of_the_coarse() -> None:
    latents = torch.zeros(64, 4, 32, 32)
    plain = objective().draw(latents, generator()).noise
    drawn = objective(multires_iterations=8, multires_discount=0.8).draw(latents, generator()).noise
    assert drawn.std(dim=(1, 2, 3)).sub(1).abs().max() < 1e-5
    assert drawn.mean(dim=(2, 3)).std() > 3 * plain.mean(dim=(2, 3)).std()


def test_an_input_perturbation_is_in_the_input_and_not_in_the_target() -> None:
    latents = torch.zeros(64, 4, 16, 16)
    plain = objective().draw(latents, generator())
    drawn = objective(input_perturbation=0.1).draw(latents, generator())
    assert torch.equal(drawn.noise, plain.noise)
    assert (drawn.added - drawn.noise).std().item() == pytest.approx(0.1, rel=0.02)


def test_timesteps_are_uniform_over_all_of_the_process() -> None:
    process = Process(torch.linspace(0.99, 0.01, 10), EPSILON, CPU)
    drawn = Objective(process, Loss(), CPU).draw(torch.zeros(20_000, 1, 1, 1), generator())
    counts = torch.bincount(drawn.timesteps, minlength=10)
    assert len(counts) == 10
    # 2,000 expected each, standard deviation 42.
    assert ((counts - 2000).abs() < 5 * 42).all()


def _cumulative(distribution: str, share: float, location: float, scale: float) -> float:
    """P(u ≤ share) for the densities of arXiv:2403.03206; mode's map is inverted by bisection."""
    if distribution == "uniform":
        return share
    if distribution == "logit_normal":
        logit = math.log(share / (1 - share))
        return 0.5 * (1 + math.erf((logit - location) / scale / math.sqrt(2)))
    if distribution == "cosmap":  # t = 1 - 1 / (tan(πu/2) + 1)
        return math.atan(1 / (1 - share) - 1) * 2 / math.pi
    low, high = 0.0, 1.0
    for _ in range(60):  # f(u) = 1 - u - s (cos²(πu/2) - 1 + u) falls in u
        middle = (low + high) / 2
        value = 1 - middle - scale * (math.cos(math.pi * middle / 2) ** 2 - 1 + middle)
        low, high = (middle, high) if value > share else (low, middle)
    return 1 - low


@pytest.mark.parametrize(
    ("changes", "location", "scale"),
    [
        ({"timestep_distribution": "uniform"}, 0.0, 1.0),
        ({"timestep_distribution": "logit_normal"}, 0.0, 1.0),
        ({"timestep_distribution": "logit_normal", "timestep_location": -0.5, "timestep_scale": 0.7}, -0.5, 0.7),
        ({"timestep_distribution": "mode"}, 0.0, 1.29),
        ({"timestep_distribution": "mode", "timestep_scale": -0.5}, 0.0, -0.5),
        ({"timestep_distribution": "cosmap"}, 0.0, 1.0),
    ],
)
@pytest.mark.parametrize("limits", [(0, None), (200, 600)])
def test_timesteps_follow_their_distribution(
    changes: dict[str, Any], location: float, scale: float, limits: tuple[int, int | None]
) -> None:
    count = 20_000
    wanted = objective(**changes, min_timestep=limits[0], max_timestep=limits[1])
    drawn = wanted.draw(torch.zeros(count, 1, 1, 1), generator()).timesteps
    low, high = limits[0], limits[1] or 1000
    assert drawn.min() >= low
    assert drawn.max() < high
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        found = (drawn < low + share * (high - low)).float().mean().item()
        expected = _cumulative(changes["timestep_distribution"], share, location, scale)
        assert found == pytest.approx(expected, abs=5 * math.sqrt(0.25 / count))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 998), st.data())
def test_a_range_of_one_timestep_gives_that_one(low: int, data: st.DataObject) -> None:
    distribution = data.draw(st.sampled_from(["uniform", "logit_normal", "mode", "cosmap"]))
    wanted = objective(timestep_distribution=distribution, min_timestep=low, max_timestep=low + 1)
    assert set(wanted.draw(torch.zeros(50, 1, 1, 1), generator()).timesteps.tolist()) == {low}


# ------------------------------------------------------------------ what is refused


def test_the_profile_overrules_what_the_base_says() -> None:
    assert effective_prediction(ZERO_SNR, Loss()) == ZERO_SNR
    changed = effective_prediction(EPSILON, Loss(prediction="v_prediction", zero_terminal_snr="on"))
    assert (changed.type, changed.zero_terminal_snr, changed.source) == ("v_prediction", True, "loss.prediction")
    assert not effective_prediction(ZERO_SNR, Loss(zero_terminal_snr="off")).zero_terminal_snr


@pytest.mark.parametrize(
    ("base", "wanted", "where"),
    [
        (EPSILON, Loss(zero_terminal_snr="on"), "loss.zero_terminal_snr"),
        (ZERO_SNR, Loss(prediction="epsilon"), "loss.zero_terminal_snr"),
        (EPSILON, Loss(scale_v_like_noise=True), "loss.scale_v_like_noise"),
        (VELOCITY, Loss(v_like_share=0.5), "loss.v_like_share"),
    ],
)
def test_what_does_not_fit_the_base_is_refused(base: Prediction, wanted: Loss, where: str) -> None:
    with pytest.raises(ObjectiveError) as error:
        effective_prediction(base, wanted)
    assert error.value.where == where
    assert error.value.hint


def test_a_range_beyond_the_base_is_refused() -> None:
    process = Process(torch.linspace(0.99, 0.01, 10), EPSILON, CPU)
    for wanted in (Loss(min_timestep=10), Loss(max_timestep=11)):
        with pytest.raises(ObjectiveError, match="10 timesteps"):
            Objective(process, wanted, CPU)
