"""The command ``export``: a profile as sd-scripts' config files."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.user_path import user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, add_overrides_option
from sdxl_tui.cli.import_command import refuse_to_replace
from sdxl_tui.cli.output import err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import find_workspace

if TYPE_CHECKING:
    from engine.foreign.sd_scripts.exported import Exported
    from engine.profile.schema import Profile


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "export",
        export_settings,
        summary="write a profile as sd-scripts' config files",
        about="""Write a profile as kohya-ss/sd-scripts reads it: a --config_file, the dataset_config it names, and the file of
        prompts where there are samples. What sd-scripts has no words for is named, here and at the head of the file.
        A profile with stages becomes one config per stage, each from the weights of the one before.""",
        examples=[
            "sdxl-tui export character --sd-scripts",
            "sdxl-tui export ./my.toml --sd-scripts -o /kohya/my-config.toml",
        ],
        json=True,
    )
    command.add_argument("profile", metavar="PROFILE", help="file or name of a profile")
    command.add_argument("--sd-scripts", action="store_true", required=True, help="for sdxl_train_network.py")
    command.add_argument("-o", "--output", metavar="FILE", help="config to write (default: NAME-sd-scripts.toml)")
    command.add_argument("--force", action="store_true", help="replace files that are there already")
    add_overrides_option(command)


def export_settings(arguments: argparse.Namespace) -> int:
    """``sdxl-tui export PROFILE --sd-scripts``."""
    from engine.durable import write_atomically  # noqa: PLC0415
    from engine.foreign.sd_scripts.exporting import export_profile  # noqa: PLC0415
    from engine.profile.load import load_profile  # noqa: PLC0415
    from engine.profile.shipped import find_profile  # noqa: PLC0415
    from engine.profile.stages import stage_name, trained_profiles  # noqa: PLC0415

    source = find_profile(arguments.profile, find_workspace(getattr(arguments, "workspace", None)).profiles)
    whole = load_profile(source, arguments.overrides).profile
    target = user_path(arguments.output) if arguments.output else Path(f"{whole.name}-sd-scripts.toml")
    configs: list[Config] = []
    for number, profile in enumerate(trained_profiles(whole), 1):
        exported, place = export_profile(profile), target.absolute()
        if whole.stages:
            place = place.with_name(f"{place.stem}-{stage_name(whole, number)}.toml")
        if configs:
            exported = _after(exported, configs[-1], keeps_state=whole.stages[number - 1].keep == "state")
        configs.append(_config(profile, exported, place))
    refuse_to_replace((path for one in configs for path, _ in one.texts.values()), force=arguments.force)
    for path, text in (text for one in configs for text in one.texts.values()):
        write_atomically(path, text.encode())
    if arguments.json:
        reports = [one.to_json() for one in configs]
        out().json({"stages": reports} if whole.stages else reports[0])
        return EXIT_OK
    for one in configs:
        _print(one)
    return EXIT_OK


@dataclass(frozen=True)
class Config:
    """A config with the files that belong to it."""

    exported: Exported
    texts: dict[str, tuple[Path, str]]
    """Its files and what is in them, by what they are."""
    command: str
    lora: str
    """The file that sd-scripts writes at the end of it."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        left_out = [{"field": one.field, "value": one.value, "why": one.why} for one in self.exported.left_out]
        files = {what: str(path) for what, (path, _) in self.texts.items()}
        return {**files, "left_out": left_out, "remarks": list(self.exported.remarks), "command": self.command}


def _after(exported: Exported, before: Config, *, keeps_state: bool) -> Exported:
    """A stage that goes on from the weights of the one before."""
    remarks = exported.remarks
    if keeps_state:
        remarks += ("the optimizer goes on in this stage, there only with --save_state and --resume of the one before",)
    return replace(exported, options={**exported.options, "network_weights": before.lora}, remarks=remarks)


def _config(profile: Profile, exported: Exported, target: Path) -> Config:
    data, prompts = (target.with_name(f"{target.stem}-{what}") for what in ("dataset.toml", "prompts.txt"))
    folder = target.parent / "output"
    further = {"output_dir": str(folder), "dataset_config": str(data)}
    texts = {"config": (target, ""), "dataset": (data, exported.dataset_text(profile.name))}
    if exported.prompts:
        further["sample_prompts"] = str(prompts)
        texts["prompts"] = (prompts, "\n".join(exported.prompts) + "\n")
    texts["config"] = (target, exported.config_text(profile.name, further))
    processes = profile.launch.processes
    launcher = f"accelerate launch --num_processes {processes}" if processes > 1 else "accelerate launch"
    command = f"{launcher} sdxl_train_network.py --config_file {target}"
    return Config(exported, texts, command, str(folder / f"{profile.name}.safetensors"))


def _print(one: Config) -> None:
    exported, left_out = one.exported, one.exported.left_out
    for what, (path, _) in one.texts.items():
        out().line(f"{out().paint(f'{what}:', 'green')} {clean(str(path))}")
    if left_out:
        out().line()
        out().line(out().paint(f"not expressed ({len(left_out)})", "bold"))
        out().fields([(f"{one.field} = {one.value}", one.why) for one in exported.left_out], indent=2)
    for remark in exported.remarks:
        out().line(f"{out().paint('note:', 'yellow')} {clean(remark)}")
    err().line(f"Run it with: {clean(one.command, limit=1000)}")
