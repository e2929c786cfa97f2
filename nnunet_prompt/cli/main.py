"""The command line: `nnunet-prompt VERB ...`.

A verb that has a module of its own keeps its arguments and what it does there; `cli.arguments` and `cli.verbs` hold
those of the others. Nothing here imports torch, nnU-Net or another heavy library, so that `--help` answers at once.
Single-dash options are those of nnU-Net.

Exit codes: 0 done, 1 something the user can fix (one line on stderr), 2 misuse, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import _thread
import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from nnunet_prompt import __version__
from nnunet_prompt.cli import arguments as takes
from nnunet_prompt.cli import (
    atlas,
    completion,
    drift,
    evaluate,
    federate,
    interact,
    leaderboard,
    learn,
    predict,
    report,
    submit,
    train,
    view,
    weights,
)
from nnunet_prompt.cli import verbs as does
from nnunet_prompt.cli.doctor import verb as doctor
from nnunet_prompt.cli.options import take_from_hub
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import log_on_stderr

PROG = "nnunet-prompt"
DEBUG_VARIABLE = "NNUNET_PROMPT_DEBUG"
IMPORT_SECONDS = 0.02  # after which Ctrl-C is tried again that came while torch was imported


@dataclass(frozen=True, slots=True)
class Verb:
    """One word of the command line: its arguments, and the function that takes them and returns the exit code."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    add_all: Callable[[argparse.ArgumentParser], None] | None = None  # with those of other packages


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns its exit code; misuse ends in `SystemExit(2)`, as argparse does it."""
    parser = build_parser(sys.argv[1:] if argv is None else argv)
    args, rest = parser.parse_known_args(argv)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: any name can be printed
    if args.verbose and args.quiet:
        parser.error("argument -q/--quiet: not allowed with argument -v/--verbose")
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    with _ctrl_c() as pressed, log_on_stderr(level):
        try:
            take_from_hub(args)
            return VERBS[args.verb].run(args)
        except KeyboardInterrupt:
            return _stopped()
        except Exception as error:
            if pressed:  # a library made something else of it
                return _stopped()
            if not isinstance(error, (NNUNetPromptError, OSError)):
                raise
            return _failed(error, debug=args.debug)


def program() -> int:
    """What the installed command runs: `main`, after which Ctrl-C ends the interpreter without a traceback.

    By then all is written, and only other libraries still clean up.
    """
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        return main()
    except KeyboardInterrupt:  # between the last line of a verb and this one
        return _stopped()
    finally:
        if listens:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stopped() -> int:
    print(f"\n{PROG}: stopped", file=sys.stderr)
    return 130


def _failed(error: BaseException, *, debug: bool) -> int:
    if debug or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        raise error
    print(f"{PROG}: error: {_one_line(error)}", file=sys.stderr)
    return 1


def build_parser(typed: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all verbs; also what the documentation of the options is made from.

    Arguments that other packages add are looked for only where their verb is among the words that are `typed`.
    """
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Train and run promptable nnU-Nets.",
        epilog=f"`{PROG} VERB --help` lists the options of a verb.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    _add_common(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=verb.summary,
            description=verb.summary[0].upper() + verb.summary[1:] + ".",
            allow_abbrev=False,
        )
        add = verb.add_arguments if verb.add_all is None or name not in typed else verb.add_all
        add(sub)
        for one in _with_nested(sub):  # `predict ... --debug` is as good as `--debug predict ...`
            _add_common(one, argparse.SUPPRESS)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: Any = False) -> None:
    """Adds the options that every verb has; below a verb they set nothing unless they are given."""
    for flags, text in (
        (("-v", "--verbose"), "show more, such as how many tiles each label of a case took"),
        (("-q", "--quiet"), "show warnings and errors alone, no progress"),
        (("--debug",), f"show the traceback of an error (or set {DEBUG_VARIABLE}=1)"),
    ):
        shown = text if default is False else default
        parser.add_argument(*flags, action="store_true", default=default, help=shown)


def _with_nested(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its actions, such as `weights adapt`."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from _with_nested(one)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Notes that Ctrl-C was pressed; some libraries make of the `KeyboardInterrupt` an error of their own.

    While torch is imported it waits until that runs other code: compiled code of torch that meets it aborts the
    process.
    """
    pressed: list[int] = []
    waiting: list[threading.Timer] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if not _is_importing_torch(frame):
            signal.default_int_handler(number, frame)
        waiting[:] = [threading.Timer(IMPORT_SECONDS, _interrupt)]
        waiting[0].daemon = True
        waiting[0].start()

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        for timer in waiting:
            timer.cancel()
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt() -> None:
    """Ctrl-C again, for the main thread, whatever it waits for."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _is_importing_torch(frame: FrameType | None) -> bool:
    """Whether torch's own code is run, and as part of an import that `main` waits for: it may be in compiled code."""
    inner = frame
    while _is_of_torch(inner) and frame is not None and frame.f_code is not main.__code__:
        if frame.f_code.co_name == "<module>" and _is_of_torch(frame):
            return True
        frame = frame.f_back
    return False


def _is_of_torch(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "torch"


VERBS = {
    "convert": Verb(
        "make an nnU-Net raw data set from a download",
        takes.convert,
        does.convert,
        takes.convert_with_added,
    ),
    "phantom": Verb(
        "generate phantoms: hearts, or mock downloads of whole challenges",
        takes.phantom,
        does.phantom,
    ),
    "plan": Verb(
        "make small plans for a CPU, or plans without resampling, from nnU-Net's plans",
        takes.plan,
        does.plan,
    ),
    "weights": Verb(
        "start from the weights of other models, and export your own",
        weights.add_arguments,
        weights.run,
    ),
    "train": Verb(
        "train one fold: nnUNetv2_train with our trainers, and defaults for this machine",
        train.add_arguments,
        train.run,
    ),
    "learn": Verb(
        "learn structures from 1 to 10 labelled cases: a small adapter for `predict --with`",
        learn.add_arguments,
        learn.run,
    ),
    "atlas": Verb(
        "make rough masks without a network: those of the most similar of 1 to 10 labelled cases",
        atlas.add_arguments,
        atlas.run,
    ),
    "predict": Verb(
        "make masks from images, with or without prompts", predict.add_arguments, predict.run
    ),
    "simulate": Verb("make a prompts.json from label maps", takes.simulate, does.simulate),
    "submit": Verb(
        "run as a challenge container: from INPUT/images and INPUT/prompts.json to masks",
        submit.add_arguments,
        submit.run,
    ),
    "evaluate": Verb(
        "evaluate masks against reference label maps", evaluate.add_arguments, does.evaluate
    ),
    "leaderboard": Verb(
        "rank teams by their masks, with intervals, tests and published results",
        leaderboard.add_arguments,
        leaderboard.run,
    ),
    "drift": Verb(
        "compare what predict --monitor wrote with a reference: does the model still see what it knows?",
        drift.add_arguments,
        drift.run,
    ),
    "report": Verb(
        "write a page about masks or a training: numbers, charts and the worst slices",
        report.add_arguments,
        report.run,
    ),
    "interact": Verb(
        "evaluate a model interactively: a simulated user prompts and corrects",
        interact.add_arguments,
        interact.run,
    ),
    "federate": Verb(
        "train adapters at several sites that keep their data, with Flower",
        federate.add_arguments,
        federate.run,
    ),
    "view": Verb(
        "open a model in the browser: prompts on an image, the mask comes back over it",
        view.add_arguments,
        view.run,
    ),
    "env": Verb(
        'print exports so that nnU-Net finds our trainers: eval "$(nnunet-prompt env)"',
        takes.none,
        does.env,
    ),
    "trainers-dir": Verb("print the folder of our trainers", takes.none, does.trainers_dir),
    "doctor": Verb(
        "check this installation: versions, devices, folders, trainers, and a self-test",
        doctor.add_arguments,
        doctor.run,
    ),
    "completion": Verb(
        "print the completion for a shell: verbs, options and files after Tab",
        completion.add_arguments,
        lambda args: completion.run(args.shell, lambda: build_parser(["convert"])),
    ),
    "demo": Verb(
        "run everything on phantom hearts, from data to masks, in minutes on a CPU",
        takes.demo,
        does.demo,
    ),
}
