"""What a network or a rate would not do is refused; ranks, alphas and rates of parts follow each other as documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.profile.load import ProfileError, parse_profile
from engine.profile.schema import Network, Optimizer, Part, Profile

TEXT = '[model]\nbase = "base"\n[[dataset.sources]]\npath = "images"\n'


def profile(*overrides: str) -> Profile:
    return parse_profile(TEXT, folder=Path("/w"), overrides=overrides).profile


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("network.attention=false", "network.feed_forward=false"), "leaves nothing to train"),
        (("network.feed_forward=false", "network.feed_forward_rank=4"), "network.feed_forward is off"),
        (("network.conv_rank=4",), "network.convolutions is off"),
        (("network.conv_alpha=4",), "network.convolutions is off"),
        (("network.text_encoder_rank=4",), "network.text_encoder or network.text_encoder_2 is off"),
        (("network.text_encoder=true", "network.text_encoder_2_rank=4"), "network.text_encoder_2 is off"),
        (("optimizer.text_encoder_lr=1e-5",), "network.text_encoder or network.text_encoder_2 is off"),
        (("network.text_encoder=true", "optimizer.text_encoder_2_lr=1e-5"), "network.text_encoder_2 is off"),
        (
            (
                "network.attention=false",
                "network.feed_forward=false",
                "network.text_encoder=true",
                "optimizer.unet_lr=1e-5",
            ),
            "is off",
        ),
        (("network.kind=lokr", "network.dora=true"), "not possible with network.kind lokr"),
        (("network.kind=loha", "network.rank_stabilized=true"), "not possible with network.kind loha"),
        (("network.kind=loha", "network.dropout=0.1"), "not possible with network.kind loha"),
        (("network.lokr_factor=4",), "not possible with network.kind lora"),
        (("network.dora=true", "network.rank_dropout=0.1"), "not possible with network.dora"),
        (("network.dora=true", "network.module_dropout=0.1"), "not possible with network.dora"),
        (("network.dora=true", "network.scale_weight_norms=1"), "not possible with network.dora"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile(*overrides)
    assert words in str(caught.value)


def test_a_parts_rank_and_alpha_follow_the_networks() -> None:
    network = Network(
        rank=16, alpha=8.0, conv_rank=4, text_encoder_rank=8, text_encoder_2_rank=2, feed_forward_alpha=1.0
    )
    ranks = {part: (network.rank_of(part), network.alpha_of(part)) for part in Part}
    assert ranks == {
        Part.ATTENTION: (16, 8.0),
        Part.FEED_FORWARD: (16, 1.0),
        Part.CONVOLUTIONS: (4, 2.0),
        Part.TEXT_ENCODER: (8, 4.0),
        Part.TEXT_ENCODER_2: (2, 1.0),
    }


def test_a_groups_rate_follows_the_optimizers() -> None:
    optimizer = Optimizer(lr=1e-4, text_encoder_lr=5e-5)
    assert [optimizer.lr_of(group) for group in ("unet", "text_encoder_1", "text_encoder_2")] == [1e-4, 5e-5, 5e-5]
    text = ("network.text_encoder_2=true", "optimizer.text_encoder_2_lr=1e-5", "optimizer.unet_lr=2e-4")
    assert profile(*text).base_lrs == {"unet": 2e-4, "text_encoder_2": 1e-5}
    assert profile(*text).leading_lr == 2e-4


def test_a_start_file_is_taken_from_the_profiles_folder() -> None:
    text = TEXT + '[network]\nstart_from = "old.safetensors"\n'
    assert parse_profile(text, folder=Path("/w")).profile.network.start_from == "/w/old.safetensors"
