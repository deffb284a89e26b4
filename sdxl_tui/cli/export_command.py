"""The command ``export``: a profile as sd-scripts' config files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, add_overrides_option
from sdxl_tui.cli.import_command import refuse_to_replace
from sdxl_tui.cli.output import err, out
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import find_workspace

if TYPE_CHECKING:
    from engine.foreign.sd_scripts.exported import Exported


def add_commands(commands: Commands) -> None:
    """Declare it."""
    command = add_command(
        commands,
        "export",
        export_settings,
        summary="write a profile as sd-scripts' config files",
        about="""Write a profile as kohya-ss/sd-scripts reads it: a --config_file, the dataset_config it names, and the file of
        prompts where there are samples. What sd-scripts has no words for is named, here and at the head of the file.""",
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
    from engine.foreign.sd_scripts.exporting import export_profile  # noqa: PLC0415
    from engine.profile.load import load_profile  # noqa: PLC0415
    from engine.profile.shipped import find_profile  # noqa: PLC0415

    source = find_profile(arguments.profile, find_workspace(getattr(arguments, "workspace", None)).profiles)
    profile = load_profile(source, arguments.overrides).profile
    exported = export_profile(profile)
    target = Path(arguments.output).expanduser() if arguments.output else Path(f"{profile.name}-sd-scripts.toml")
    files = _write(exported, profile.name, target.absolute(), force=arguments.force)
    processes = profile.launch.processes
    launcher = f"accelerate launch --num_processes {processes}" if processes > 1 else "accelerate launch"
    command = f"{launcher} sdxl_train_network.py --config_file {files['config']}"
    left_out = [{"field": one.field, "value": one.value, "why": one.why} for one in exported.left_out]
    if arguments.json:
        report: dict[str, Any] = {**files, "left_out": left_out, "remarks": list(exported.remarks), "command": command}
        out().json(report)
        return EXIT_OK
    for what, path in files.items():
        out().line(f"{out().paint(f'{what}:', 'green')} {clean(path)}")
    if left_out:
        out().line()
        out().line(out().paint(f"not expressed ({len(left_out)})", "bold"))
        out().fields([(f"{one.field} = {one.value}", one.why) for one in exported.left_out], indent=2)
    for remark in exported.remarks:
        out().line(f"{out().paint('note:', 'yellow')} {clean(remark)}")
    err().line(f"Run it with: {clean(command, limit=1000)}")
    return EXIT_OK


def _write(exported: Exported, name: str, target: Path, *, force: bool) -> dict[str, str]:
    """The files written, by what they are."""
    from engine.durable import write_atomically  # noqa: PLC0415

    data, prompts = (target.with_name(f"{target.stem}-{what}") for what in ("dataset.toml", "prompts.txt"))
    further = {"output_dir": str(target.parent / "output"), "dataset_config": str(data)}
    texts = {"config": (target, ""), "dataset": (data, exported.dataset_text(name))}
    if exported.prompts:
        further["sample_prompts"] = str(prompts)
        texts["prompts"] = (prompts, "\n".join(exported.prompts) + "\n")
    texts["config"] = (target, exported.config_text(name, further))
    refuse_to_replace((path for path, _ in texts.values()), force=force)
    for path, text in texts.values():
        write_atomically(path, text.encode())
    return {what: str(path) for what, (path, _) in texts.items()}
