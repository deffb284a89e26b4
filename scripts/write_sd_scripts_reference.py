"""Writes ``docs/coming-from-sd-scripts.md`` from the declarations of sd-scripts' options. Run it after changing one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.foreign.sd_scripts import data_options, network_options, other_options, training_options
from engine.foreign.sd_scripts.option import Fate, Option
from engine.foreign.sd_scripts.to_network import KINDS as ALGORITHMS
from engine.foreign.sd_scripts.to_optimizer import ARGUMENTS as OPTIMIZER_ARGUMENTS
from engine.foreign.sd_scripts.to_optimizer import KINDS as OPTIMIZERS
from engine.foreign.sd_scripts.to_schedule import BUILT_IN, CLASSES
from engine.profile.to_toml import toml_value

TARGET = Path(__file__).parent.parent / "docs" / "coming-from-sd-scripts.md"

HEAD = """\
# Coming from sd-scripts

Written by `python scripts/write_sd_scripts_reference.py` from `engine/foreign/sd_scripts/`; do not edit.

```sh
sdxl-tui import config.toml                       # a --config_file, with or without sections
sdxl-tui import config.toml --dataset-config d.toml
sdxl-tui import kohya-gui.json                    # saved by the kohya_ss GUI
sdxl-tui import train.sh                          # a shell script, a batch file or a pasted command line
sdxl-tui import my-lora.safetensors               # from the ss_ metadata of a LoRA file
sdxl-tui export character --sd-scripts            # the other way
```

`import` writes a profile into the workspace (`-o` elsewhere, `--dry-run` nowhere) and accounts for everything in the file:

| in the report | what it means |
| --- | --- |
| translated | the field of the profile stands beside it |
| not in the file | what sd-scripts takes then, where it is another value than the default here: it is written into the profile |
| not supported | there is nothing like it here; the reason stands beside it |
| unknown | no option of sd-scripts; the nearest name is told |
| meaningless here | it changes nothing here, and why |

A line with `!` in front wants a look: the meaning shifts, or a value could not be taken over. What is still to do (a base that
is not on this machine, images that could not be counted) stands at the end, and as a comment at the head of the profile. `--json`
has all of it.

- **Epochs** become steps where the images can be counted: their folders are here, or the metadata of a LoRA tell. Regularisation
  images count as often as the others, as in sd-scripts.
- **Folders** named `10_name` in `train_data_dir` become sources with 10 repeats. "name" becomes the trigger where no image has a
  caption.
- **Learning rates.** `learning_rate`, `unet_lr` and `text_encoder_lr` become `optimizer.lr`, `unet_lr` and `text_encoder_lr`.
  Both encoders are trained unless a flag or a rate of 0 says otherwise, as in sd-scripts.
- **Warmup** is counted in optimizer steps, in both. sd-scripts' `constant` has none, whatever `lr_warmup_steps` says.
- **Paths** that are not on this machine are kept as they are and told. Keys (`wandb_api_key`, `huggingface_token`) are never
  written.
- **A dataset_config** that the file names is read along where it is found: as named, beside the file, or with `--dataset-config`.

`export` writes a config_file, its dataset_config and a file of prompts. What sd-scripts has no words for stands at the head of
the config as comments, and in the output of the command.
"""

SECTIONS: tuple[tuple[str, Sequence[Option]], ...] = (
    ("Model", training_options.MODEL),
    ("Training", training_options.TRAINING),
    ("Optimizer and learning rates", training_options.RATES),
    ("Network", network_options.NETWORK),
    ("network_args", network_options.ARGUMENTS),
    ("Folders", data_options.FOLDERS),
    ("Images and buckets", data_options.IMAGES),
    ("Captions", data_options.CAPTIONS),
    ("Loss and noise", training_options.LOSS),
    ("Saving", training_options.SAVING),
    ("Samples", training_options.SAMPLES),
    ("Validation", training_options.VALIDATION),
    ("Logging", training_options.LOGGING),
    ("Launchers", other_options.LAUNCHER),
    ("Graphical front ends", other_options.FRONT_ENDS),
    ("Other models and scripts", other_options.OTHER_MODELS),
)


def reference() -> str:
    """The whole document."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield from _words("lr_scheduler", {word: kind.value for word, kind in BUILT_IN.items()}, "schedule.kind")
    yield from _words("lr_scheduler_type", {word: kind.value for word, kind in CLASSES.items()}, "schedule.kind")
    yield from _words("optimizer_type", {word: kind.value for word, (kind, _) in OPTIMIZERS.items()}, "optimizer.kind")
    yield from _words("algo", ALGORITHMS, "network.kind")
    arguments = ", ".join(f"`{name}` → `{field}`" for name, (field, _) in OPTIMIZER_ARGUMENTS.items())
    lists = "`betas` → `beta1`, `beta2`, `beta3`; `eps` → `eps`, `eps2`"
    yield f"- `optimizer_args` become fields of `[optimizer]`: {lists}; {arguments}."
    for title, options in SECTIONS:
        yield from ("", f"## {title}", "", "| option | here | remark |", "| --- | --- | --- |")
        yield from _rows(options)


def _words(option: str, words: dict[str, str], field: str) -> Iterator[str]:
    said = ", ".join(f"`{word}` → `{ours}`" for word, ours in words.items())
    yield f"- `{option}` becomes `{field}`: {said}."


def _rows(options: Sequence[Option]) -> Iterator[str]:
    """Translated ones first; those that are not, by reason."""
    reasons: dict[tuple[Fate, str], list[str]] = {}
    for option in options:
        if option.fate is Fate.TRANSLATED:
            fields = ", ".join(f"`{field}`" for field in option.fields) or "–"
            default = f"default there: `{toml_value(option.default)}`" if option.default not in (None, False) else ""
            note = "; ".join(part for part in (option.why, default) if part)
            yield f"| `{option.name}` | {fields} | {note} |"
        else:
            reasons.setdefault((option.fate, option.why), []).append(f"`{option.name}`")
    for (fate, why), names in reasons.items():
        yield f"| {', '.join(names)} | {'not supported' if fate is Fate.UNSUPPORTED else 'meaningless here'} | {why} |"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
