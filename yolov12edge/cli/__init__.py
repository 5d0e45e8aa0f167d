"""The commands: one thin file each; parse, call, print."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from yolov12edge import __version__
from yolov12edge.cli import (
    bench,
    build,
    bundle,
    deploy,
    doctor,
    export,
    inspect,
    predict,
    quantize,
    report,
    targets,
    train,
    verify,
)
from yolov12edge.cli.output import JsonDocument, WarningHandler, print_json
from yolov12edge.errors import EXIT_INTERRUPTED, EdgeError, UnsupportedError, UsageError
from yolov12edge.interrupts import interrupted, interrupts_remembered

# Typer uses click or, as of late, carries it inside itself; its errors come from the same module.
_LineError: type[Exception] = import_module(typer.BadParameter.__module__).ClickException

app = typer.Typer(
    name="yolov12edge",
    help="YOLOv12 from a PyTorch checkpoint to an edge engine, fast and provably still correct.",
    add_completion=False,
    # Plain help takes half as long to show as help in boxes, and has more room for its words.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "train": train.command,
    "export": export.command,
    "quantize": quantize.command,
    "build": build.command,
    "verify": verify.command,
    "bench": bench.command,
    "predict": predict.command,
    "inspect": inspect.command,
    "report": report.command,
    "bundle": bundle.command,
    "deploy": deploy.command,
    "targets": targets.command,
    "doctor": doctor.command,
}
for name, function in COMMANDS.items():
    app.command(name)(function)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"yolov12edge {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """YOLOv12 from a PyTorch checkpoint to an edge engine, fast and provably still correct."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with the exit code of the error family.

    `--debug`, anywhere on the line, shows the traceback of an error.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    JsonDocument.printed = False
    WarningHandler.install()
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    words = arguments or ["--help"]
    try:
        with interrupts_remembered():
            code = app(args=words, prog_name="yolov12edge", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except _LineError as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "yolov12edge"
        message = error.format_message()  # type: ignore[attr-defined]
        _fail(arguments, UsageError.exit_code, message, f"see: {path} --help")
    except Exception as error:
        if debug:
            raise
        if not interrupted():
            _fail(arguments, *_explain(error))
        code = EXIT_INTERRUPTED
    # Typer makes an exit code of KeyboardInterrupt, and some libraries nothing at all.
    if code == EXIT_INTERRUPTED or interrupted():
        _fail(arguments, EXIT_INTERRUPTED, "interrupted", "nothing was left half-written")
    sys.exit(code if isinstance(code, int) else 0)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def _explain(error: Exception) -> tuple[int, str, str]:
    """Exit code, message and hint."""
    if isinstance(error, EdgeError):
        return error.exit_code, error.message, error.hint
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return (
            UnsupportedError.exit_code,
            "this machine has too little memory for this",
            "use a smaller --imgsz or --batch, or fewer images",
        )
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return UsageError.exit_code, str(error), "free some space, or write elsewhere with --out"
    if number in _FORBIDDEN:
        return UsageError.exit_code, str(error), "check the permissions of the file or folder"
    name = type(error).__name__
    return 1, f"unexpected {name}: {error}", "run again with --debug and report the traceback"


def _fail(arguments: list[str], code: int, message: str, hint: str) -> NoReturn:
    """One line what is wrong, one line what to do; as JSON too where that was asked for."""
    message = " ".join(message.split())
    if "--json" in arguments and not JsonDocument.printed:
        document: dict[str, Any] = {"error": {"code": code, "message": message, "hint": hint}}
        print_json(document)
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint:  {hint}", file=sys.stderr)
    sys.exit(code)
