"""A process whom modes bind: it has loaded the large libraries, and runs each command of the program in a fork.

Run as a file, it reads jobs from its input, a line of JSON for each: {"argv", "variables", "folder", "output"}, and
answers each with the exit code once all that the command prints stands in the file `output`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Modes do not bind root; without its capabilities they do, and it still owns the environment that runs the tests.
DROP = "setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all".split()
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ROOT = Path(__file__).parents[2]
# those that verbs load late; nnU-Net reads its folders when it is loaded, and is left to them
LIBRARIES = ("torch", "torch._dynamo", "nibabel", "SimpleITK", "scipy.ndimage", "seaborn")


def modes_can_bind() -> bool:
    """Whether such a process can be had here."""
    if not IS_ROOT:
        return os.name == "posix"
    able = shutil.which(DROP[0]) is not None
    return (
        able and subprocess.run([*DROP, "true"], capture_output=True, check=False).returncode == 0
    )


class Bound:
    """The process, and what it is asked; a context manager that ends it."""

    def __enter__(self) -> Bound:
        self._process = subprocess.Popen(
            [*(DROP if IS_ROOT else []), sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, argv: Sequence[str], variables: Mapping[str, str], folder: Path, output: Path
    ) -> tuple[int, str]:
        """The exit code of a command that runs in `folder`, and all that it prints, by way of `output`."""
        assert self._process.stdin and self._process.stdout
        job = {"argv": argv, "variables": variables, "folder": str(folder), "output": str(output)}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline()), output.read_text(encoding="utf-8")


def serve() -> None:
    """Answers jobs until the input ends."""
    for name in LIBRARIES:
        __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(argv: list[str], variables: dict[str, str], folder: str, output: str) -> None:
    """Runs a command as the program does, and ends this process."""
    from nnunet_prompt.cli.main import program

    os.environ.update(variables)
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = ["nnunet-prompt", *argv]
    try:
        sys.exit(
            program()
        )  # of the child alone: it unwinds, and runs what was registered for the end
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
