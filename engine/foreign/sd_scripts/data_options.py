"""The options of sd-scripts about images and captions, at whatever level they stand: arguments, [general], data set, subset."""

from __future__ import annotations

from typing import Final

from engine.foreign.sd_scripts.option import Option, meaningless, part, unsupported

FOLDERS: Final[tuple[Option, ...]] = (
    part("dataset_config", "dataset.sources", why="read along where the file is found"),
    part("train_data_dir", "dataset.sources", why="its folders 10_name are sources with 10 repeats"),
    part("reg_data_dir", "dataset.sources", "dataset.sources.regularisation"),
    part("in_json", "dataset.sources.metadata"),
    part("dataset_repeats", "dataset.sources.repeats", default=1),
    part("image_dir", "dataset.sources.path"),
    part("metadata_file", "dataset.sources.metadata"),
    part("num_repeats", "dataset.sources.repeats", default=1),
    part("is_reg", "dataset.sources.regularisation", default=False),
    part("prior_loss_weight", "dataset.sources.prior_weight", default=1.0, why="of the regularisation sources"),
    part("class_tokens", "dataset.sources.trigger", why="there only for images without a caption"),
    part("conditioning_data_dir", "dataset.sources.mask_folder", why="with masked_loss"),
    part("alpha_mask", "dataset.sources.alpha_mask", default=False),
    *meaningless("a name for people", "name"),
    *unsupported("a data set is made of folders, not of a class of one's own", "dataset_class"),
    *meaningless("sdxl-tui dataset shows what a profile's data set is", "debug_dataset"),
    *meaningless("files are looked at once, at the start", "cache_info"),
)

IMAGES: Final[tuple[Option, ...]] = (
    part("resolution", "dataset.resolution", why="of two different sides, the square of the same area"),
    part("batch_size", "training.batch_size", default=1),
    part("enable_bucket", "dataset.buckets", default=False),
    part("min_bucket_reso", "dataset.bucket_min", default=256),
    part("max_bucket_reso", "dataset.bucket_max", default=1024),
    part("bucket_reso_steps", "dataset.bucket_step", default=64),
    part("bucket_no_upscale", "dataset.upscale", default=False),
    part("skip_image_resolution", "dataset.smallest_image"),
    part("flip_aug", "dataset.flip", "dataset.sources.flip", default=False),
    part("random_crop", "dataset.random_crops", "dataset.sources.random_crops", default=False),
    *unsupported("colours are not changed: latents are cached, one per picture", "color_aug"),
    *unsupported("faces are not looked for; random_crops is there", "face_crop_aug_range"),
    *unsupported("images are resized with Lanczos", "resize_interpolation", asks_nothing=("lanczos",)),
    *unsupported("the strength of the LoRA is 1 in training", "network_multiplier", asks_nothing=(1, 1.0, "1.0")),
    *meaningless(
        "latents and text embeddings are cached by themselves where they do not change",
        "cache_latents",
        "cache_latents_to_disk",
        "cache_text_encoder_outputs",
        "cache_text_encoder_outputs_to_disk",
        "skip_cache_check",
        "vae_batch_size",
        "text_encoder_batch_size",
    ),
)

CAPTIONS: Final[tuple[Option, ...]] = (
    part("caption_extension", "dataset.sources.caption_extension", default=".caption"),
    part("caption_extention", "dataset.sources.caption_extension"),
    part("shuffle_caption", "captions.shuffle", "dataset.sources.shuffle", default=False),
    part("keep_tokens", "captions.keep_tokens", "dataset.sources.keep_tokens", default=0),
    part("keep_tokens_separator", "captions.keep_separator"),
    part("caption_separator", "captions.separator", default=","),
    part("caption_prefix", "dataset.sources.prefix"),
    part("caption_suffix", "dataset.sources.suffix"),
    part("caption_dropout_rate", "captions.caption_dropout", "dataset.sources.caption_dropout", default=0.0),
    part("caption_tag_dropout_rate", "captions.tag_dropout", "dataset.sources.tag_dropout", default=0.0),
    part("enable_wildcard", "captions.wildcards", default=False),
    *unsupported(
        "captions are dropped at random, not in every so many epochs: caption_dropout",
        "caption_dropout_every_n_epochs",
    ),
    *unsupported("there is one separator between tags", "secondary_separator"),
    *unsupported(
        "every tag is trained from the first step on", "token_warmup_min", "token_warmup_step", asks_nothing=(1, "1")
    ),
    *unsupported(
        "Frequency-Aware Dropout: tags have one chance to be dropped, captions.tag_dropout",
        "enable_fad",
        "fad_curriculum",
    ),
    *meaningless(
        "only with enable_fad",
        "fad_p_min",
        "fad_p_max",
        "fad_alpha",
        "fad_c",
        "fad_curriculum_start",
        "fad_curriculum_end",
        "fad_curriculum_beta",
        "fad_step_start",
        "fad_step_end",
    ),
)

DATA_OPTIONS: Final = (*FOLDERS, *IMAGES, *CAPTIONS)
LEVELLED: Final = frozenset(option.name for option in DATA_OPTIONS)
"""Options that may stand in a data set or subset; the nearest level counts."""
