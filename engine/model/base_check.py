"""Looks at a folder's configuration files and says whether it is an SDXL base, before anything large is read.

Only JSON and the headers of the weight files are looked at. Loading the parts is ``base.py``'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.model.errors import ModelError
from engine.model.prediction import Prediction, prediction_type
from engine.model.safetensors_header import read_header

HINT: Final = (
    "Give a diffusers folder of an SDXL base: model_index.json, unet/, vae/, text_encoder/, text_encoder_2/, tokenizer/, "
    "tokenizer_2/ and scheduler/."
)
NETWORKS: Final = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
TOKENIZERS: Final = ("tokenizer", "tokenizer_2")


@dataclass(frozen=True)
class Weights:
    """The files that hold one network's weights, and the variant diffusers and transformers know them by."""

    files: tuple[Path, ...]
    variant: str | None


@dataclass(frozen=True)
class BaseConfigs:
    """The configurations of an SDXL base, as its JSON files give them."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text_encoder: Mapping[str, Any]
    text_encoder_2: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    prediction: Prediction


def read_configs(folder: Path) -> BaseConfigs:
    """Every configuration of the base in ``folder``. Raises ``ModelError`` naming what is missing or not SDXL."""
    if not folder.is_dir():
        raise ModelError("there is no such folder", where=str(folder), hint=HINT)
    index = _read_json(folder, "model_index.json")
    pipeline = str(index.get("_class_name", ""))
    if not pipeline.startswith("StableDiffusionXL"):
        raise ModelError(f"this is a {pipeline or 'pipeline without a name'}, not SDXL", where=str(folder), hint=HINT)
    scheduler = _read_json(folder, "scheduler/scheduler_config.json")
    configs = BaseConfigs(
        unet=_read_json(folder, "unet/config.json"),
        vae=_read_json(folder, "vae/config.json"),
        text_encoder=_read_json(folder, "text_encoder/config.json"),
        text_encoder_2=_read_json(folder, "text_encoder_2/config.json"),
        scheduler=scheduler,
        prediction=folder_prediction(folder, scheduler),
    )
    for name in TOKENIZERS:
        _check_tokenizer(folder, name)
    _check_unet(folder, configs)
    for name in NETWORKS:
        find_weights(folder, name)
    return configs


def find_weights(folder: Path, network: str) -> Weights:
    """The safetensors files of ``network`` in ``folder``: full, or else the fp16 variant; one file, or sharded.

    Raises ``ModelError`` if there are none (pickled weights are never loaded) or a file is cut short.
    """
    stem = NETWORKS[network]
    for variant, name in ((None, stem), ("fp16", f"{stem}.fp16")):
        files = _weight_files(folder / network, stem, name)
        if files:
            for file in files:
                read_header(file)  # a broken download is found here, not after minutes
            return Weights(files, variant)
    pickled = sorted((folder / network).glob("*.bin"))
    if pickled:
        raise ModelError(
            f"{network} has its weights only as a pickle, {pickled[0].name}, which is never loaded",
            where=str(folder),
            hint="Get the safetensors files of this model, or convert them.",
        )
    raise ModelError(f"{network}/{stem}.safetensors is missing", where=str(folder), hint=HINT)


def _weight_files(part: Path, stem: str, name: str) -> tuple[Path, ...]:
    single = part / f"{name}.safetensors"
    if single.is_file():
        return (single,)
    suffix = name.removeprefix(stem)
    for index in (part / f"{stem}.safetensors.index{suffix}.json", part / f"{name}.safetensors.index.json"):
        if index.is_file():
            shards = sorted({str(shard) for shard in dict(_read_json(part, index.name).get("weight_map", {})).values()})
            missing = [shard for shard in shards if Path(shard).name != shard or not (part / shard).is_file()]
            if missing or not shards:
                raise ModelError(f"a part of the weights is missing: {missing or 'all'}", where=str(index))
            return tuple(part / shard for shard in shards)
    return ()


def _check_tokenizer(folder: Path, name: str) -> None:
    files = {entry.name for entry in (folder / name).iterdir()} if (folder / name).is_dir() else set()
    if not {"vocab.json", "merges.txt"} <= files and "tokenizer.json" not in files:
        raise ModelError(f"{name}/vocab.json and {name}/merges.txt are missing", where=str(folder), hint=HINT)


def _check_unet(folder: Path, configs: BaseConfigs) -> None:
    unet, first, second = configs.unet, configs.text_encoder, configs.text_encoder_2
    where = str(folder / "unet" / "config.json")
    if unet.get("addition_embed_type") != "text_time":
        raise ModelError(
            f"addition_embed_type is {unet.get('addition_embed_type')!r}; an SDXL UNet has 'text_time'", where=where
        )
    if unet.get("in_channels", 4) != 4 or unet.get("out_channels", 4) != 4:
        raise ModelError(
            f"the UNet takes {unet.get('in_channels')} channels and gives {unet.get('out_channels')}; "
            "a base for training takes and gives 4 (this looks like an inpainting or editing model)",
            where=where,
        )
    context = _number(first, "hidden_size") + _number(second, "hidden_size")
    if unet.get("cross_attention_dim") != context:
        raise ModelError(
            f"cross_attention_dim is {unet.get('cross_attention_dim')}, the two text encoders give {context} together",
            where=where,
        )
    added = 6 * _number(unet, "addition_time_embed_dim") + _number(second, "projection_dim")
    if unet.get("projection_class_embeddings_input_dim") != added:
        raise ModelError(
            f"projection_class_embeddings_input_dim is {unet.get('projection_class_embeddings_input_dim')}, "
            f"six time ids and the second encoder's projection give {added} together "
            "(an SDXL refiner has five and cannot be trained here)",
            where=where,
        )
    if configs.vae.get("latent_channels", 4) != 4:
        raise ModelError(
            f"the VAE has {configs.vae.get('latent_channels')} latent channels; SDXL's has 4",
            where=str(folder / "vae" / "config.json"),
        )


def folder_prediction(folder: Path, scheduler: Mapping[str, Any]) -> Prediction:
    """What ``scheduler``, the configuration in ``folder``, says. Raises ``ModelError`` if that is nothing of SDXL's."""
    file = "scheduler/scheduler_config.json"
    said = str(scheduler.get("prediction_type", "epsilon"))
    kind = prediction_type(said)
    if kind is None:
        raise ModelError(
            f"the model predicts {said!r}; an SDXL base predicts the noise ('epsilon') or the velocity ('v_prediction')",
            where=str(folder / file),
        )
    return Prediction(kind, scheduler.get("rescale_betas_zero_snr") is True, file)


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{name} is missing", where=str(folder), hint=HINT) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name} is not readable: {error}", where=str(folder)) from error
    if not isinstance(value, dict):
        raise ModelError(f"{name} holds no JSON object", where=str(folder))
    return value
