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

## Watching runs of sd-scripts

```sh
sdxl-tui folders add ~/kohya          # with logs and output in it; both may be added on their own
sdxl-tui runs state:watched           # or look at Runs in the app; f adds a folder there
sdxl-tui compare fox-20240612 owl     # of either kind
sdxl-tui folders remove ~/kohya       # changes nothing in it
```

A run is a folder with TensorBoard event files: `LOGGING_DIR/<log_prefix><moment>/<log_tracker_name>/events.out.tfevents.*`.
It is called by `--output_name` where `--log_config` was given, else by
`--log_prefix`, else by the folder that was added, with the moment behind it.

| scalar | is shown as |
| --- | --- |
| `loss/current` | the loss of each step |
| `loss/average` | its average: of sd-scripts over the last epoch. Where none is written, one of 100 values is taken |
| `lr/d*lr/GROUP`, else `lr/GROUP`, `lr` | the rate of a group |
| `loss/validation/step_average`, else `loss/validation/epoch_average` | the held-out loss |
| `norm/avg_grad_norm` | the gradient's norm |
| `loss/epoch_average`, `loss/epoch` | by their names, where the epoch ended: their own step is its number |
| everything else: `max_norm/…`, `loss/validation/…_divergence` … | by its name, with `m` on the run's page |
| OneTrainer's `loss/train_step`, `smooth_loss/train_step` | the loss, its average |
| OneTrainer's `loss/validation_step/total_average` | the held-out loss |
| `loss`, `train_loss`, `lr`, `learning_rate` of others | the loss, the rate |

- **How many steps are planned** is told by `--log_config`, or by `ss_max_train_steps` in a LoRA file that the run saved.
  Without them there is no bar and no time left.
- **What it saved** is found in all folders that were added: by `ss_training_started_at` in the LoRA file and, where two began
  together, by its name. Without that entry by having been saved while the run was written, or within 15 minutes after.
- **`--resume`** of sd-scripts logs into a folder of its own, so it is a run of its own. Other trainers log on in the same
  folder: the later file counts from its first step, with a mark there.
- **The order of files** is that of the moments in their names. A replaced file is read anew; a folder that is gone keeps what
  was read until the app closes.

## Going on from a state or a LoRA

```sh
sdxl-tui continue output/last-state --lr x0.5 --profile mine         # a folder of --save_state
sdxl-tui continue output/last.safetensors --lr 1e-5 --profile mine   # a LoRA file: sd-scripts', LyCORIS', ours, diffusers'
sdxl-tui continue peft-folder --lr 1e-4 --profile mine               # adapter_model.safetensors, below unet/ or right in it
sdxl-tui continue output/last.safetensors --rank 8 --lr 1e-4 --profile mine   # its weights at another rank
```

This starts a run of its own with the weights of the file. `--dry-run` shows the plan and starts nothing, `--json` has all of
it. In the app, `c` on a state or LoRA file among the checkpoints (`sdxl-tui folders add DIR`) does the same, with the stored
curve beside the new one.

| what | where it comes from |
| --- | --- |
| weights | the file; of a state its `model.safetensors`. The run has its own copy, so the file may go |
| kind, parts, rank and alpha | the file, part by part. What the profile says otherwise loses, and is named |
| all other settings | `--profile`; without it what the `ss_*` metadata tell, of a state those of the LoRA file beside it |
| schedule, warmup, steps | options, else the profile's; without one the stored kind, no warmup, and the steps that were left |
| learning rate | `--lr`: absolute, a factor of the stored base (`base x0.5`), or of where a state's rate stood (`x0.5`) |
| optimizer moments, data position, random state | new: `resume`, `reschedule` and `extend`, which need them, are refused |

- **The stored schedule** of sd-scripts' own kinds stands in the metadata alone. Of a state it is believed where it meets the
  rate that the scheduler stores; torch's `CosineAnnealingLR` is known by its own parameters. Otherwise the plan says that it
  is not stored, and why.
- **Base and images** are names without a path in the metadata. They are named by field; `sdxl-tui import FILE` writes a
  profile to fill in, or `--set model.base=...` gives one.
- **Another base** than the file was made for is told by the widths of its modules, before a run is made.
- **Ranks that differ** within a part (a file resized to ranks of its own) need `--rank N`. LoHa, LoKr and DoRA go on as they
  are; only plain LoRAs and LoCons can be resized.
- **Where it came from** stands in `run.json`, in `sdxl-tui tree`, on the family's page and on the run's.

## Options
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
