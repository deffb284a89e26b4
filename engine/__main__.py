"""The engine's own command line: train a run, or say what a checkpoint holds. The manager starts it; a person may, too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine import __version__
from engine.errors import UserError

USER_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv``; the exit code: 0, 1 for a defect, 2 for something a person can mend."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--version", action="version", version=f"sdxl-tui engine {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_follow(commands)
    _add_inspect(commands)
    _add_dataset(commands)
    _add_resize(commands)
    _add_export(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser(
        "train",
        help="train a run, or resume it from a checkpoint",
        description="Train the run in RUN_DIR. A run that has checkpoints is resumed from its newest whole one. SIGTERM and "
        "SIGINT finish the step, save a checkpoint and exit 0.",
    )
    train.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a run's folder (runs/<run-id> of a workspace)")
    train.add_argument(
        "--from", dest="checkpoint", metavar="step-NNNNNNNN", help="resume from this checkpoint of the run"
    )
    train.add_argument(
        "--keep-stored",
        action="store_true",
        help="let the checkpoint's values win over edited ones that a resume restores (else such a resume is refused)",
    )
    train.add_argument("--attempt", type=int, metavar="N", help="for the keeper: the attempt it has begun")
    train.add_argument(
        "--lock-fd", type=int, metavar="FD", help="for the keeper: the descriptor that holds the run's lock"
    )
    train.set_defaults(run=_train)


def _add_follow(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    follow = commands.add_parser(
        "follow",
        help="for the engine itself: train beside it on another device",
        description="Train the run in RUN_DIR beside the engine that has started this process. It writes no file of the run.",
    )
    follow.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    follow.add_argument("--from", dest="checkpoint", metavar="step-NNNNNNNN", help="the checkpoint to start from")
    follow.add_argument("--attempt", type=int, required=True, metavar="N", help="the attempt that has begun")
    follow.add_argument("--rank", type=int, required=True, metavar="N", help="which of the processes this is, from 1")
    follow.add_argument("--processes", type=int, required=True, metavar="N", help="how many there are")
    follow.add_argument("--meeting", type=Path, required=True, metavar="FILE", help="where they find each other")
    follow.add_argument(
        "--parent", type=int, required=True, metavar="PID", help="the engine; its end is this one's, too"
    )
    follow.set_defaults(run=_follow)


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    inspect = commands.add_parser(
        "inspect",
        help="say what a checkpoint holds",
        description="Print the stored schedule, rates and counters of a checkpoint, and whether all of its files are what was "
        "saved. Reads JSON and digests, never weights.",
    )
    inspect.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint's folder (…/step-NNNNNNNN)")
    inspect.set_defaults(run=_inspect)


def _add_dataset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    dataset = commands.add_parser(
        "dataset",
        help="say what a profile's data set comes to",
        description="Print as JSON what the data set of PROFILE would come to: buckets, captions, what is left out. Encodes "
        "nothing.",
    )
    dataset.add_argument("profile", type=Path, metavar="PROFILE", help="a profile's file")
    dataset.add_argument("--set", action="append", default=[], metavar="section.field=value", dest="overrides")
    dataset.add_argument("--no-tokens", action="store_false", dest="tokens", help="do not count the captions' tokens")
    dataset.set_defaults(run=_dataset)


def _add_resize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    resize = commands.add_parser(
        "resize",
        help="give a LoRA another rank",
        description="Write the LoRA in FILE at another rank and alpha, by singular value decomposition, and print as JSON what "
        "was kept of each module.",
    )
    _add_files(resize)
    resize.add_argument("--rank", type=int, metavar="N", help="rank of every module; with a share to keep, the highest")
    resize.add_argument("--conv-rank", type=int, metavar="N", help="of convolutions wider than a pixel (default: N)")
    resize.add_argument("--alpha", type=float, metavar="A", help="of every module (default: alpha / rank stays)")
    resize.add_argument("--keep", type=float, metavar="SHARE", help="of the sum of singular values")
    resize.add_argument("--keep-frobenius", type=float, metavar="SHARE", help="of the Frobenius norm")
    resize.add_argument("--keep-ratio", type=float, metavar="R", help="singular values down to the largest / R")
    resize.add_argument("--to-lora", action="store_true", help="make a LoRA of a LoHa or LoKr")
    resize.set_defaults(run=_resize)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = commands.add_parser(
        "export-lora",
        help="write a LoRA in another program's format",
        description="Write the LoRA in FILE as sd-scripts, diffusers or peft have it; peft's is a folder per component.",
    )
    _add_files(export)
    export.add_argument("--format", choices=("sd-scripts", "diffusers", "peft"), required=True)
    export.set_defaults(run=_export)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a LoRA of sd-scripts, diffusers or peft, or ours")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="where to write")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), help="number format (default: the file's)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at OUT")


def _dataset(arguments: argparse.Namespace) -> int:
    from engine.data.outlook_command import print_dataset  # noqa: PLC0415

    return print_dataset(arguments)


def _resize(arguments: argparse.Namespace) -> int:
    from engine.model.lora_commands import resize_file  # noqa: PLC0415

    return resize_file(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from engine.model.lora_commands import export_file  # noqa: PLC0415

    return export_file(arguments)


def _train(arguments: argparse.Namespace) -> int:
    from engine.train.requests import Requests  # noqa: PLC0415

    requests = Requests()
    requests.listen_to_signals()  # before anything that takes long
    from engine.train.attempt import run_engine  # noqa: PLC0415

    return run_engine(
        arguments.run_dir,
        attempt=arguments.attempt,
        lock_fd=arguments.lock_fd,
        from_checkpoint=arguments.checkpoint,
        requests=requests,
        keep_stored=arguments.keep_stored,
    )


def _follow(arguments: argparse.Namespace) -> int:
    from engine.train.crew import Place  # noqa: PLC0415
    from engine.train.follower import run_follower  # noqa: PLC0415

    place = Place(arguments.rank, arguments.processes, arguments.meeting)
    return run_follower(arguments.run_dir, arguments.attempt, arguments.checkpoint, place, arguments.parent)


def _inspect(arguments: argparse.Namespace) -> int:
    from engine.checkpoint.inspect import report  # noqa: PLC0415

    print(report(arguments.checkpoint))
    return 0


if __name__ == "__main__":
    sys.exit(main())
