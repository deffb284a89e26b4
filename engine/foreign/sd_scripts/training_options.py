"""The options of sd-scripts about model, training, loss, rates, saving and logging."""

from __future__ import annotations

from typing import Final

from engine.foreign.sd_scripts.option import Option, meaningless, part, secret, to, unsupported

PRECISIONS: Final = {"no": "fp32", "fp16": "fp16", "bf16": "bf16"}
SAVE_PRECISIONS: Final = {"float": "fp32", "fp16": "fp16", "bf16": "bf16"}
LOSSES: Final = {"l2": "mse", "l1": "l1", "huber": "huber", "smooth_l1": "smooth_l1"}
SAMPLERS: Final = {
    "ddim": "ddim",
    "euler": "euler",
    "k_euler": "euler",
    "euler_a": "euler_a",
    "k_euler_a": "euler_a",
    "dpmsolver++": "dpmpp_2m",
}

MODEL: Final[tuple[Option, ...]] = (
    part("pretrained_model_name_or_path", "model.base"),
    part("vae", "model.vae"),
    part("output_name", "name", why="letters that a name cannot have become dashes"),
    part("v_parameterization", "loss.prediction", default=False),
    to(
        "zero_terminal_snr",
        "loss.zero_terminal_snr",
        False,
        words={"true": "on", "false": "auto"},
        why="without it off where v_parameterization is given, else what the base says",
    ),
    *unsupported("a base of Stable Diffusion 2: only SDXL is trained here", "v2"),
    *meaningless("SDXL reads the encoders' last layer but one whatever it says, in sd-scripts as well", "clip_skip"),
    *meaningless("the tokenizers are in the package or beside the base", "tokenizer_cache_dir"),
    *meaningless("a run's files lie in its own folder, runs/<id>/", "output_dir"),
)

TRAINING: Final[tuple[Option, ...]] = (
    part("train_batch_size", "training.batch_size", default=1),
    to("gradient_accumulation_steps", "training.gradient_accumulation", 1),
    part("max_train_steps", "training.steps", default=1600),
    part("max_train_epochs", "training.steps", why="turned into steps, which needs the number of images"),
    part("seed", "training.seed", why="without one sd-scripts draws one; here it is 0"),
    to("gradient_checkpointing", "training.gradient_checkpointing", False),
    to("max_grad_norm", "training.max_grad_norm", 1.0),
    to("mixed_precision", "precision.compute", "no", words=PRECISIONS),
    to("save_precision", "precision.save", words=SAVE_PRECISIONS),
    part("fp8_base", "precision.base", default=False),
    part("fp8_base_unet", "precision.base", default=False),
    to("torch_compile", "launch.compile", False),
    *unsupported(
        "LoRA weights and optimizer stay in fp32; only the forward pass has precision.compute", "full_bf16", "full_fp16"
    ),
    *unsupported("the optimizer's step is not fused into the backward pass", "fused_backward_pass"),
    *unsupported("activations are not moved to the CPU; gradient_checkpointing is there", "cpu_offload_checkpointing"),
    *unsupported("a training is resumed or continued by a command, not by its config", "resume"),
    *unsupported(
        "a resume goes on where the checkpoint stands, by itself",
        "skip_until_initial_step",
        "initial_epoch",
        "initial_step",
        asks_nothing=(1,),
    ),
    *unsupported("an inpainting model has other inputs than SDXL", "train_inpainting"),
    *unsupported("the encoders are trained for the whole run, or not at all", "stop_text_encoder_training"),
    *meaningless(
        "attention is torch's scaled_dot_product_attention, which picks the fastest by itself",
        "xformers",
        "sdpa",
        "mem_eff_attn",
    ),
    *meaningless("the VAE runs in float32 unless it is mended for fp16", "no_half_vae"),
    *meaningless("models are moved to the GPU as they are needed", "lowram", "highvram", "lowvram"),
    *meaningless(
        "images are loaded from the latent cache, which needs no workers",
        "max_data_loader_n_workers",
        "persistent_data_loader_workers",
    ),
    *meaningless("files are read one tensor at a time", "disable_mmap_load_safetensors"),
    *meaningless(
        "gradients are summed in one buffer, not by DDP",
        "ddp_timeout",
        "ddp_gradient_as_bucket_view",
        "ddp_static_graph",
    ),
    *meaningless(
        "launch.compile has one way", "dynamo_backend", "dynamo_mode", "dynamo_use_fullgraph", "dynamo_use_dynamic"
    ),
    *meaningless("names the file that was read", "config_file", "output_config"),
)

LOSS: Final[tuple[Option, ...]] = (
    to("loss_type", "loss.kind", "l2", words=LOSSES),
    part("huber_c", "loss.delta", default=0.1, why="counts with loss_type huber or smooth_l1 alone"),
    part("huber_schedule", "loss.delta_schedule", default="snr", why="counts with loss_type huber or smooth_l1 alone"),
    part("huber_scale", "loss.delta_scale", default=1.0, why="counts with loss_type huber or smooth_l1 alone"),
    to("min_snr_gamma", "loss.min_snr_gamma"),
    to("debiased_estimation_loss", "loss.debiased_estimation", False),
    to("scale_v_pred_loss_like_noise_pred", "loss.scale_v_like_noise", False),
    to("v_pred_like_loss", "loss.v_like_share"),
    to("noise_offset", "loss.noise_offset", 0.0),
    part("noise_offset_random_strength", "loss.noise_offset_random", default=False),
    part("adaptive_noise_scale", "loss.adaptive_noise_scale"),
    to("multires_noise_iterations", "loss.multires_iterations", 0),
    part(
        "multires_noise_discount",
        "loss.multires_discount",
        default=0.3,
        why="counts with multires_noise_iterations alone",
    ),
    to("ip_noise_gamma", "loss.input_perturbation", 0.0),
    part("ip_noise_gamma_random_strength", "loss.input_perturbation_random", default=False),
    to("min_timestep", "loss.min_timestep", 0),
    part("max_timestep", "loss.max_timestep", default=1000),
    part("masked_loss", "dataset.sources.mask_folder", "dataset.sources.alpha_mask", default=False),
    to("weighted_captions", "captions.weights", False),
    to("max_token_length", "captions.max_tokens", 75),
)

RATES: Final[tuple[Option, ...]] = (
    part("optimizer_type", "optimizer.kind", default="AdamW"),
    part(
        "optimizer_args",
        "optimizer.weight_decay",
        "optimizer.beta1",
        "optimizer.beta2",
        "optimizer.eps",
        why="see below",
    ),
    part("use_8bit_adam", "optimizer.kind", default=False),
    part("use_lion_optimizer", "optimizer.kind", default=False),
    part("use_dadaptation", "optimizer.kind", default=False),
    part("learning_rate", "optimizer.lr", default=2e-6),
    part("unet_lr", "optimizer.unet_lr"),
    part("text_encoder_lr", "optimizer.text_encoder_lr", "optimizer.text_encoder_2_lr"),
    part("learning_rate_te", "optimizer.text_encoder_lr"),
    part("learning_rate_te1", "optimizer.text_encoder_lr"),
    part("learning_rate_te2", "optimizer.text_encoder_2_lr"),
    part("lr_scheduler", "schedule.kind", default="constant"),
    part("lr_scheduler_type", "schedule.kind"),
    part(
        "lr_scheduler_args",
        "schedule.min_factor",
        "schedule.cycles",
        why="those of torch's schedules that have a like here",
    ),
    part("lr_warmup_steps", "schedule.warmup_steps", "schedule.warmup_share", default=0),
    part("lr_decay_steps", "schedule.decay_share", default=0),
    part("lr_scheduler_num_cycles", "schedule.cycles", default=1),
    part("lr_scheduler_power", "schedule.power", default=1.0),
    part("lr_scheduler_timescale", "schedule.timescale"),
    part("lr_scheduler_min_lr_ratio", "schedule.min_factor"),
    *unsupported("rates are per encoder, not per block", "block_lr"),
)

SAVING: Final[tuple[Option, ...]] = (
    part("save_every_n_steps", "checkpoints.every_steps"),
    part("save_every_n_epochs", "checkpoints.every_steps", why="turned into steps, which needs the number of images"),
    part("save_n_epoch_ratio", "checkpoints.every_steps"),
    part("save_last_n_epochs", "checkpoints.keep_last"),
    part("save_last_n_epochs_state", "checkpoints.keep_last"),
    part("save_last_n_steps", "checkpoints.keep_last"),
    part("save_last_n_steps_state", "checkpoints.keep_last"),
    *meaningless("every checkpoint holds the whole training state", "save_state", "save_state_on_train_end"),
    *unsupported(
        "a LoRA is written as safetensors, without code in it",
        "save_model_as",
        asks_nothing=("safetensors", "safetensor"),
    ),
    *meaningless("a LoRA is always written as safetensors", "use_safetensors"),
    *unsupported("a LoRA always carries its metadata", "no_metadata"),
    *unsupported(
        "free text is not written into the LoRA's metadata",
        "training_comment",
        "metadata_title",
        "metadata_author",
        "metadata_description",
        "metadata_license",
        "metadata_tags",
        "metadata_usage_hint",
        "metadata_thumbnail",
        "metadata_merged_from",
        "metadata_trigger_phrase",
        "metadata_preprocessor",
        "metadata_is_negative_embedding",
    ),
    *unsupported(
        "nothing is uploaded: a checkpoint's lora.safetensors is the file to hand out",
        "huggingface_repo_id",
        "huggingface_repo_type",
        "huggingface_path_in_repo",
        "huggingface_repo_visibility",
        "save_state_to_huggingface",
        "resume_from_huggingface",
        "async_upload",
    ),
    *secret("a key belongs into no profile: HF_TOKEN in the environment", "huggingface_token"),
)

SAMPLES: Final[tuple[Option, ...]] = (
    part("sample_prompts", "samples.prompts", why="the file's lines, or the text itself"),
    part("sample_every_n_steps", "samples.every_steps"),
    part("sample_every_n_epochs", "samples.every_steps", why="turned into steps, which needs the number of images"),
    part("sample_at_first", "samples.at_start", default=False),
    part("sample_sampler", "samples.sampler", default="ddim"),
)

VALIDATION: Final[tuple[Option, ...]] = (
    to("validation_split", "validation.share", 0.0),
    part("validation_seed", "validation.seed"),
    part("validate_every_n_steps", "validation.every_steps"),
    part("validate_every_n_epochs", "validation.every_steps"),
    *unsupported("every held-out image is measured", "max_validation_steps"),
)

LOGGING: Final[tuple[Option, ...]] = (
    part("log_with", "logging.trackers"),
    part(
        "logging_dir",
        "logging.trackers",
        why="with it alone sd-scripts writes TensorBoard's files; here they lie in the run's folder",
    ),
    part("log_tracker_name", "logging.project"),
    *secret("a key belongs into no profile: wandb login, or WANDB_API_KEY in the environment", "wandb_api_key"),
    *meaningless("a run is logged under its own name", "wandb_run_name", "log_prefix"),
    *unsupported("trackers take no settings of their own", "log_tracker_config"),
    *meaningless("a run's profile lies in its folder", "log_config"),
    *meaningless("the run's log lies in its folder", "console_log_level", "console_log_file", "console_log_simple"),
)

TRAINING_OPTIONS: Final = (*MODEL, *TRAINING, *LOSS, *RATES, *SAVING, *SAMPLES, *VALIDATION, *LOGGING)
