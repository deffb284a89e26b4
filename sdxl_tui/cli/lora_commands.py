"""The commands on LoRA files: ``resize`` and ``export-lora``. The work is done by the engine in a process of its own."""

from __future__ import annotations

import argparse
from typing import Any, Final

from engine.user_path import absolute_user_path
from sdxl_tui.cli.arguments import EXIT_OK, Commands, add_command, whole_number
from sdxl_tui.cli.output import Column, err, out
from sdxl_tui.fleet.ask_engine import ask_engine
from sdxl_tui.terminal.clean import clean
from sdxl_tui.terminal.numbers import format_bytes, format_percent

FORMATS: Final = ("sd-scripts", "diffusers", "peft")
DTYPES: Final = ("fp32", "fp16", "bf16")
COLUMNS: Final = (
    Column("MODULE", shortens=True),
    Column("RANK", right=True),
    Column("NOW", right=True),
    Column("FROBENIUS", right=True),
    Column("SUM", right=True, droppable=1),
)


def add_commands(commands: Commands) -> None:
    """Declare them."""
    resize = add_command(
        commands,
        "resize",
        resize_lora,
        summary="give a LoRA another rank",
        about="""Write a LoRA at another rank and alpha. Each module's change is decomposed into singular values, and the
        largest are kept: a fixed number of them (--rank), or as many as hold a share of their sum (--keep) or of the
        Frobenius norm (--keep-frobenius), or all down to the largest divided by a number (--keep-ratio); --rank is then
        the most. What was kept of each module is printed.

        alpha / rank stays what it was, unless --alpha says otherwise; the strength never changes. A rank above a module's own
        adds directions that do nothing yet, for training on. LoRAs, LoCons and DoRAs of sd-scripts, diffusers and peft; a DoRA
        keeps its magnitudes. A LoHa or LoKr has no other rank, but can become the LoRA that comes closest (--to-lora).""",
        examples=[
            "sdxl-tui resize style.safetensors -o style-r8.safetensors --rank 8",
            "sdxl-tui resize big.safetensors -o small.safetensors --keep 0.95 --rank 32",
            "sdxl-tui resize loha.safetensors -o out.safetensors --to-lora --keep 0.99",
        ],
        json=True,
    )
    _add_files(resize)
    resize.add_argument("--rank", type=whole_number(1), metavar="N", help="rank of every module")
    resize.add_argument("--conv-rank", type=whole_number(1), metavar="N", help="of 3×3 convolutions (default: --rank)")
    resize.add_argument("--alpha", type=float, metavar="A", help="alpha of every module (default: alpha / rank stays)")
    kept = resize.add_mutually_exclusive_group()
    kept.add_argument("--keep", type=float, metavar="SHARE", help="share of the sum of singular values, 0.95")
    kept.add_argument("--keep-frobenius", type=float, metavar="SHARE", help="share of the Frobenius norm, 0.95")
    kept.add_argument("--keep-ratio", type=float, metavar="R", help="values of at least the largest / R, 20")
    resize.add_argument("--to-lora", action="store_true", default=None, help="make a LoRA of a LoHa or LoKr")
    export = add_command(
        commands,
        "export-lora",
        export_lora,
        summary="write a LoRA in another program's format",
        about="""Write a LoRA as sd-scripts (ComfyUI, Forge), diffusers or peft has it. For diffusers a file that
        load_lora_weights reads as it is, for peft a folder with one adapter per model. Reads any of the three.""",
        examples=["sdxl-tui export-lora my.safetensors --format diffusers -o out.safetensors"],
        json=True,
    )
    _add_files(export)
    export.add_argument("--format", choices=FORMATS, required=True, help="whose format to write")


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="LORA", help="a .safetensors file, or a folder of peft's")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="file (peft: folder) to write")
    parser.add_argument("--dtype", choices=DTYPES, help="number format (default: the file's)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at OUT")


def resize_lora(arguments: argparse.Namespace) -> int:
    """``sdxl-tui resize LORA -o OUT``."""
    options = ("rank", "conv_rank", "alpha", "keep", "keep_frobenius", "keep_ratio", "to_lora")
    report = _run_engine("resize", arguments, {name: getattr(arguments, name) for name in options})
    if arguments.json:
        out().json(report)
        return EXIT_OK
    modules: list[dict[str, Any]] = report["modules"]
    rows = [
        [
            module["module"],
            str(module["old_rank"]),
            str(module["new_rank"]),
            format_percent(module["frobenius"]),
            format_percent(module["singular_values"]),
        ]
        for module in modules
    ]
    out().table(COLUMNS, rows)
    least = min(modules, key=lambda module: float(module["frobenius"]))
    err().line(
        f"{clean(report['output'])}: {format_bytes(report['bytes'])}, {len(modules)} modules; at least "
        f"{format_percent(least['frobenius'])} of the Frobenius norm was kept (in {clean(least['module'])})"
    )
    return EXIT_OK


def export_lora(arguments: argparse.Namespace) -> int:
    """``sdxl-tui export-lora LORA --format FORMAT -o OUT``."""
    report = _run_engine("export-lora", arguments, {"format": arguments.format})
    if arguments.json:
        out().json(report)
    else:
        out().line(clean(report["output"]))
        err().line(f"{report['modules']} modules in {report['format']}'s format, {format_bytes(report['bytes'])}")
    return EXIT_OK


def _run_engine(command: str, arguments: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """Have the engine do it, and return its report."""
    file, output = (str(absolute_user_path(path)) for path in (arguments.file, arguments.output))
    words = ["--output", output]
    for name, value in (*options.items(), ("dtype", arguments.dtype)):
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    if arguments.overwrite:
        words.append("--overwrite")
    return ask_engine(command, file, *words)
