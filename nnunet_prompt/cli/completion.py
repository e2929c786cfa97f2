"""`nnunet-prompt completion`: what a shell completes after Tab, as a script that needs no Python then."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=SHELLS,
        help='shell to complete in: eval "$(nnunet-prompt completion bash)" in ~/.bashrc; for zsh, the output is the'
        " file _nnunet-prompt in a folder of fpath; for fish, ~/.config/fish/completions/nnunet-prompt.fish",
    )


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell. Verbs, options and their choices are those of the `parser`; others are files."""
    import shtab

    _with_files(parser)
    written: str = shtab.complete(parser, shell=shell)
    return written


def run(shell: str, build: Callable[[], argparse.ArgumentParser]) -> int:
    print(script(build(), shell))
    return 0


def _with_files(parser: argparse.ArgumentParser) -> None:
    """Lets arguments that hold a path complete as one."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _with_files(below)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
