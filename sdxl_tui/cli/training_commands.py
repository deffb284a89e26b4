"""The commands that start a training: ``demo`` and ``launch``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import UserError
from engine.run.liveness import RunState, assess
from engine.user_path import absolute_user_path
from sdxl_tui.cli.arguments import EXIT_OK, WAIT_EXITS, Commands, add_command, add_overrides_option, add_wait_option
from sdxl_tui.cli.opening import program, require_terminal, run_app_on
from sdxl_tui.cli.output import err, out
from sdxl_tui.cli.progress import follow
from sdxl_tui.cli.queueing import add_queue_options, chosen_gpus, go_on_now, say_what_began, turn_of
from sdxl_tui.cli.sweeping import add_sweep_options, launch_sweep, require_sweep_for_dry_run
from sdxl_tui.fleet.runs import list_runs
from sdxl_tui.terminal.clean import clean
from sdxl_tui.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.profile.load import LoadedProfile
    from engine.run.layout import RunDirectory

DEMO_FOLDER: Final = "~/sdxl-tui-demo"
DEMO_PROFILE: Final = "demo.toml"
SOURCE_ROOT: Final = Path(__file__).resolve().parent.parent.parent


def add_commands(commands: Commands) -> None:
    """Declare them."""
    demo = add_command(
        commands,
        "demo",
        run_demo,
        summary="train the bundled demo and open the app on it",
        about=f"""Make a workspace of its own ({DEMO_FOLDER}) with the demo profile, start training a real LoRA on the
        bundled small model and pictures, and open the app on that run. Nothing is downloaded; a CPU is enough.

        Called again while a demo run trains, it opens the app on that one; otherwise it starts the next. The profile is
        yours to edit: {DEMO_FOLDER}/profiles/{DEMO_PROFILE}. To start over, delete the folder.""",
        examples=["sdxl-tui demo", "sdxl-tui demo --dir /workspace/demo --no-app --wait"],
        exits=WAIT_EXITS,
    )
    demo.add_argument("--dir", metavar="DIR", help=f"the demo's workspace (default: --workspace, else {DEMO_FOLDER})")
    demo.add_argument("--no-app", action="store_true", help="start the training and return without opening the app")
    add_wait_option(demo)
    launch = add_command(
        commands,
        "launch",
        launch_profile,
        summary="start training a profile",
        about="""Start a run of a profile: a TOML file, or the name of one in the workspace's profiles/ or of a shipped one
        (see 'sdxl-tui profiles'). Profile, model folder and dataset are checked first; then the run trains in a process
        of its own, and its id is printed.

        With --sweep a run is made for each value of a field, or each pair of values of two, named by what differs; they
        wait in the queue and train one after another, or at once where there are GPUs for it. compare shows two of them
        side by side.""",
        examples=[
            "sdxl-tui launch character",
            "sdxl-tui launch ./my.toml --set optimizer.lr=5e-5 --wait",
            "RUN=$(sdxl-tui launch demo)",
            "sdxl-tui launch style --queue --gpu 1",
            "sdxl-tui launch demo --after latest --set optimizer.lr=5e-5",
            "sdxl-tui launch character --sweep optimizer.lr=5e-5,1e-4 --dry-run",
        ],
        exits=WAIT_EXITS,
    )
    launch.add_argument("profile", metavar="PROFILE", help="file or name of a profile")
    add_overrides_option(launch, "change a field for this run only; may be repeated")
    add_queue_options(launch)
    add_sweep_options(launch)
    add_wait_option(launch)


def launch_profile(arguments: argparse.Namespace) -> int:
    """``sdxl-tui launch PROFILE``."""
    from engine.profile.shipped import find_profile  # noqa: PLC0415
    from sdxl_tui.fleet.queue.chains import begin  # noqa: PLC0415

    workspace = find_workspace(getattr(arguments, "workspace", None))
    require_sweep_for_dry_run(arguments)
    path = find_profile(arguments.profile, workspace.profiles)
    if arguments.sweep:
        return launch_sweep(arguments, workspace, path)
    loaded = _checked(workspace, path, arguments.overrides)
    turn = turn_of(arguments, workspace)
    runs = begin(workspace, loaded, turn, share=arguments.share, gpus=() if arguments.share else chosen_gpus(arguments))
    if turn is not None or len(runs) > 1:
        went = go_on_now(workspace)
    for run in runs:
        out().line(run.id)
    out().flush()
    if turn is not None:
        say_what_began(went, workspace, runs[0], program(arguments))
    if len(runs) > 1:
        err().line(f"{len(runs)} stages, each in a run of its own that begins when the one before has finished.")
    if arguments.wait:
        return _follow_all(runs, program(arguments))
    if assess(runs[0]).alive:
        _say_how_to_watch(runs[0], program(arguments))
    return EXIT_OK


def _follow_all(runs: Sequence[RunDirectory], begin: str) -> int:
    """Follow one after another, as long as each finishes."""
    for run in runs:
        code = follow(run, begin)
        if code != EXIT_OK or assess(run).state is not RunState.FINISHED:
            return code
    return EXIT_OK


def _checked(workspace: Workspace, path: Path, overrides: Sequence[str] = ()) -> LoadedProfile:
    """The profile, its warnings said; on an error nothing is made, not even the workspace."""
    from engine.profile.load import load_profile  # noqa: PLC0415
    from sdxl_tui.fleet.launch_warnings import launch_warnings  # noqa: PLC0415

    loaded = load_profile(path, overrides)
    printer = err()
    for warning in launch_warnings(workspace, loaded):
        printer.line(f"{printer.paint('warning:', 'yellow')} {clean(warning)}")
    return loaded


def _say_how_to_watch(run: RunDirectory, begin: str) -> None:
    printer = err()
    printer.line("It trains in the background, whatever becomes of this terminal.")
    printer.line(f"  watch  {begin}")
    printer.line(f"  log    {begin} logs {run.id} -f")
    printer.line(f"  stop   {begin} stop {run.id}")


def run_demo(arguments: argparse.Namespace) -> int:
    """``sdxl-tui demo``."""
    from sdxl_tui.fleet.launch import launch  # noqa: PLC0415

    if not arguments.no_app:
        require_terminal("sdxl-tui demo --no-app --wait")
    workspace = _demo_workspace(arguments)
    arguments.workspace = str(workspace.path)  # for hints: later commands have to be told
    profile = _own_profile(workspace)
    live = next((run for run in list_runs(workspace) if run.alive), None)
    run = live.directory if live else launch(workspace, _checked(workspace, profile))
    if not arguments.no_app:
        code = run_app_on(workspace, open_run=run.id)
        err().line(f"The demo's runs stay in {clean(str(workspace.path))}. Open them again: {program(arguments)}")
        return follow(run, program(arguments)) if arguments.wait and code == EXIT_OK else code
    out().line(run.id)
    out().flush()
    if live:
        err().line(f"{run.id} trains already; no other one was started.")
    if arguments.wait:
        return follow(run, program(arguments))
    _say_how_to_watch(run, program(arguments))
    return EXIT_OK


def _demo_workspace(arguments: argparse.Namespace) -> Workspace:
    """The demo's own workspace, made if it is not there; never inside the program's source."""
    asked = arguments.dir or getattr(arguments, "workspace", None)
    folder = absolute_user_path(asked or DEMO_FOLDER)
    if folder.resolve().is_relative_to(SOURCE_ROOT):
        raise UserError(
            "the demo does not write into the program's own folder", where=str(folder), hint="Name another: --dir DIR"
        )
    workspace = Workspace(folder)
    workspace.create()
    return workspace


def _own_profile(workspace: Workspace) -> Path:
    """The demo profile in the workspace: a copy of the shipped one, made once, then the user's."""
    from engine.durable import write_atomically  # noqa: PLC0415
    from engine.profile.shipped import shipped_profiles  # noqa: PLC0415

    own = workspace.profiles / DEMO_PROFILE
    if not own.exists():
        shipped = next(path for path in shipped_profiles() if path.name == DEMO_PROFILE)
        write_atomically(own, shipped.read_bytes())
    return own
