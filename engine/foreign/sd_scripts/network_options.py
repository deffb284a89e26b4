"""The options of sd-scripts about the network, and the arguments of its network modules and of LyCORIS."""

from __future__ import annotations

from typing import Final

from engine.foreign.sd_scripts.option import Option, meaningless, part, to, unsupported

NETWORK: Final[tuple[Option, ...]] = (
    part("network_module", "network.kind"),
    part("network_args", "network.kind", "network.convolutions", why="see below"),
    part("network_dim", "network.rank", default=4),
    part("network_alpha", "network.alpha", default=1.0),
    to("network_dropout", "network.dropout", 0.0, why="there between the factors of the LoRA, here at its input"),
    part("network_train_unet_only", "network.text_encoder", "network.text_encoder_2", default=False),
    part("network_train_text_encoder_only", "network.attention", "network.feed_forward", default=False),
    part("network_weights", "network.start_from"),
    part("dim_from_weights", "network.rank", "network.alpha", default=False),
    to("scale_weight_norms", "network.scale_weight_norms"),
    *unsupported(
        "LoRAs are not merged into the base beforehand: merge them, and name the merged base",
        "base_weights",
        "base_weights_multiplier",
    ),
)

ARGUMENTS: Final[tuple[Option, ...]] = (
    part("algo", "network.kind", default="lora"),
    part("conv_dim", "network.convolutions", "network.conv_rank"),
    part("conv_alpha", "network.conv_alpha", default=1.0),
    part(
        "preset",
        "network.attention",
        "network.feed_forward",
        "network.convolutions",
        why="LyCORIS' full, attn-mlp and attn-only",
    ),
    part("dora_wd", "network.dora", default=False),
    part("weight_decompose", "network.dora", default=False),
    to("rank_dropout", "network.rank_dropout", 0.0),
    to("module_dropout", "network.module_dropout", 0.0),
    part("dropout", "network.dropout", default=0.0),
    to("rs_lora", "network.rank_stabilized", False),
    part("factor", "network.lokr_factor", default=-1),
    *unsupported(
        "LoRA+: both factors of a LoRA have one rate",
        "loraplus_lr_ratio",
        "loraplus_unet_lr_ratio",
        "loraplus_text_encoder_lr_ratio",
    ),
    *unsupported(
        "rank, alpha and rate are set by kind of module, not by block of the UNet",
        "block_dims",
        "block_alphas",
        "conv_block_dims",
        "conv_dims",
        "conv_alphas",
        "conv_block_alphas",
        "down_lr_weight",
        "mid_lr_weight",
        "up_lr_weight",
        "block_lr_zero_threshold",
        "block_lr",
        "network_reg_dims",
        "network_reg_lrs",
        "network_reg_alphas",
        "exclude_patterns",
        "include_patterns",
        asks_nothing=("0.0",),
    ),
    *unsupported("convolutions are not decomposed after Tucker", "use_tucker", "use_cp", "use_conv_cp"),
    *meaningless("Tucker's decomposition is always off", "disable_conv_cp"),
    *unsupported("there is no scalar that is trained along", "use_scalar"),
    *unsupported("norm layers are not trained", "train_norm"),
    *unsupported("LoKr: the smaller factor is kept whole", "decompose_both"),
    *unsupported("LoKr: the larger factor is decomposed where the rank is small enough", "full_matrix"),
    *unsupported("DoRA measures the weights' inputs", "wd_on_output"),
    *unsupported("the rest is always scaled up by what rank_dropout dropped", "rank_dropout_scale"),
    *unsupported(
        "LoRA-FA, DyLoRA, (IA)³, OFT, BOFT and GLoRA are not among the kinds",
        "unit",
        "block_size",
        "constraint",
        "constrain",
        "rescaled",
        asks_nothing=(1, 1.0, "1"),
    ),
    *meaningless("only of (IA)³", "train_on_input"),
    *meaningless("how the sum is computed, not what it is", "bypass_mode", "unbalanced_factorization", "verbose"),
    *meaningless("dim and alpha are network_dim and network_alpha", "linear_dim", "linear_alpha"),
    *unsupported("modules are chosen by kind: attention, feed_forward, convolutions", "target_modules", "rank_pattern"),
    *unsupported(
        "belongs to LoRAs of FLUX and other transformers",
        "train_t5xxl",
        "split_qkv",
        "train_blocks",
        "train_double_block_indices",
        "train_single_block_indices",
        "in_dims",
        "img_attn_dim",
        "txt_attn_dim",
        "img_mlp_dim",
        "txt_mlp_dim",
        "img_mod_dim",
        "txt_mod_dim",
        "single_dim",
        "single_mod_dim",
        "ggpo_beta",
        "ggpo_sigma",
        "train_llm_adapter",
        asks_nothing=("all",),
    ),
)

ALIASES: Final = {"lycoris_algo": "algo", "lokr_factor": "factor"}
"""What front ends call an argument."""
NETWORK_OPTIONS: Final = NETWORK
ARGUMENT_OPTIONS: Final = ARGUMENTS
