"""The demo: from nothing to masks and a picture, with the commands that a user would type.

    <output>/train, test                     phantom hearts as if downloaded; test also is a challenge input
    <output>/nnUNet_raw, ...                 nnU-Net's three folders
    <output>/with_prompts, without_prompts   masks of the test cases
    <output>/*.json, picture.png             what came out
    <output>/report.html, training.html      the same to look at, and the training
    <output>/logs, .done                     what each command reported, and which of them are finished

A finished stage is not run again, unless its command changed or a stage before it had to run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_prompt.cli.demo.progress import showing
from nnunet_prompt.common.errors import NNUNetPromptError, OutputError
from nnunet_prompt.training import external_trainers as extension

if TYPE_CHECKING:
    from rich.console import Console

DATASET_ID, DATASET = 901, "Dataset901_PhantomHeart"
TRAINING_CASES, TEST_CASES, PICTURED_CASES = 24, 6, 3
TRAINER, PLANS, CONFIGURATION = "nnUNetTrainerPromptDemo", "nnUNetPromptCPUPlans", "3d_fullres"
REPORT, TRAINING_REPORT = "report.html", "training.html"
ARMS = {"with prompts": "with_prompts", "without": "without_prompts"}

_DONE = ".done"
_ASSIGNMENT = re.compile(r"\w+=")

# One process each, because a small machine has its cores busy with torch; compiling takes longer than it saves.
SMALL_MACHINE = {"nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
NO_WORKERS = "nnUNet_n_proc_DA=0"  # for the training alone: nnU-Net's planner does not take a zero


@dataclass(frozen=True, slots=True)
class Stage:
    """One command, as a user types it. `name` names its log, `title` states what it is for.

    Words such as `NAME=value` may come before the program, as in a shell.
    """

    name: str
    title: str
    command: tuple[str, ...]


def run_demo(output: Path, *, seed: int = 0) -> None:
    """Runs the demo in `output`: a few minutes on two cores. Stopped or failed, it resumes.

    Raises `NNUNetPromptError` if a command fails, with its last line and the name of the file that has the others, and
    `OutputError` for a folder that cannot be written, or that has a `train` or `test` of its owner.
    """
    from rich.console import Console

    _check_output(output)
    console = Console(highlight=False)
    variables = demo_variables(output)
    steps = stages(output, seed=seed)
    console.print("[bold]From nothing to masks.[/] This demo types these commands for you:\n")
    _echo(console, extension.shell_exports(variables))
    redo = False
    for number, stage in enumerate(steps, 1):
        console.print(f"\n[bold cyan]{number}/{len(steps)}[/]  [bold]{stage.title}[/]")
        _echo(console, shlex.join(stage.command))
        redo = redo or not _is_done(stage, output)
        if redo:
            _run(stage, output, variables=variables, console=console)
        else:
            console.print("done before", style="dim")
    _conclude(output, console)


def _check_output(output: Path) -> None:
    from nnunet_prompt.io.atomic import make_folder

    begun = (output / _DONE).is_dir()
    taken = next((output / p for p in ("train", "test") if (output / p).exists()), None)
    if taken is not None and not begun:
        raise OutputError(
            f"{taken}: already exists, and not as part of a demo: choose another folder with -o"
        )
    make_folder(output / _DONE)


def demo_variables(output: Path) -> dict[str, str]:
    """The environment variables of the commands, beside those that are set already."""
    folders = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    ours = {name: str((output / name).resolve()) for name in folders}
    return ours | extension.environment() | SMALL_MACHINE


def stages(output: Path, *, seed: int) -> list[Stage]:
    """The commands of the demo, in order. They depend on the folder and the seed only."""
    lines = _learning(output, seed=seed) | _testing(output, seed=seed)
    return [Stage(name, title, tuple(shlex.split(line))) for name, (title, line) in lines.items()]


def _learning(output: Path, *, seed: int) -> dict[str, tuple[str, str]]:
    """Title and command of each stage up to the trained model."""
    train = _quoted(output / "train")
    return {
        "data": (
            "Generate phantom hearts to train on",
            f"nnunet-prompt phantom heart -o {train} -n {TRAINING_CASES} --seed {seed}",
        ),
        "test_data": (
            "Generate others to test on",
            f"nnunet-prompt phantom heart -o {_quoted(output / 'test')} -n {TEST_CASES} --seed {seed} --part test",
        ),
        "convert": (
            "Make an nnU-Net data set",
            f"nnunet-prompt convert phantom {train} -d {DATASET_ID}",
        ),
        "preprocess": (
            "nnU-Net plans and preprocesses",
            f"nnUNetv2_plan_and_preprocess -d {DATASET_ID} -c {CONFIGURATION} -np 1 -npfp 1",
        ),
        "plan": (
            "Make its plans small enough for a CPU",
            f"nnunet-prompt plan -d {DATASET_ID} -o {PLANS} --batch-size 4",
        ),
        "train": (
            "nnU-Net trains our trainer",
            f"{NO_WORKERS} nnUNetv2_train {DATASET_ID} {CONFIGURATION} 0"
            f" -tr {TRAINER} -p {PLANS} -device cpu",
        ),
    }


def _testing(output: Path, *, seed: int) -> dict[str, tuple[str, str]]:
    """Title and command of each stage that uses the model."""
    test = _quoted(output / "test")
    model = output / "nnUNet_results" / DATASET / f"{TRAINER}__{PLANS}__{CONFIGURATION}"
    how = f"-m {_quoted(model)} -f 0 -device cpu --disable_tta"
    prompted, plain = (_quoted(output / folder) for folder in ARMS.values())
    names = _quoted(output / "nnUNet_raw" / DATASET / "dataset.json")
    with_json, without_json = (_quoted(_metrics(output, folder)) for folder in ARMS.values())
    return {
        "simulate": (
            "Draw boxes and points for the test cases",
            f"nnunet-prompt simulate {test}/labels -o {test}/prompts.json --seed {seed}",
        ),
        "submit": (
            "Segment the test cases with these prompts",
            f"nnunet-prompt submit -i {test} -o {prompted} {how} --strict",
        ),
        "predict": (
            "Segment them without any",
            f"nnunet-prompt predict -i {test}/images -o {plain} {how}",
        ),
        "evaluate_with": (
            "Measure the masks made with prompts",
            f"nnunet-prompt evaluate {test}/labels {prompted} -o {with_json} --names {names}",
        ),
        "evaluate_without": (
            "Measure the masks made without",
            f"nnunet-prompt evaluate {test}/labels {plain} -o {without_json} --names {names}",
        ),
        "report": (
            "Write a page about both, to look at",
            f"nnunet-prompt report {test}/labels {plain} {prompted} -o {_quoted(output / REPORT)}"
            f" -i {test}/images -p {test}/prompts.json -m {_quoted(model)} --names {names}",
        ),
        "report_training": (
            "And one about the training",
            f"nnunet-prompt report {_quoted(model / 'fold_0')} -o {_quoted(output / TRAINING_REPORT)}",
        ),
    }


# Running one command --------------------------------------------------------------------------------------------


def _run(stage: Stage, output: Path, *, variables: Mapping[str, str], console: Console) -> None:
    """Runs a command to its end, shows its last line meanwhile, and remembers that it is done."""
    marker, log = _marker(stage, output), output / "logs" / f"{stage.name}.log"
    for path in (marker, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    started, last = time.monotonic(), ""
    with (
        log.open("w", encoding="utf-8") as file,
        showing(console) as show,
        _started(stage, variables) as process,
    ):
        for line in _lines(process):
            file.write(line + "\n")
            show(line)
            last = line
    if process.returncode:
        raise NNUNetPromptError(
            f"`{shlex.join(stage.command)}` failed: {last} (its whole output is in {log})"
        )
    marker.write_text(shlex.join(stage.command), encoding="utf-8")
    console.print(f"done in {time.monotonic() - started:.0f} s", style="dim")


@contextmanager
def _started(stage: Stage, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The running command, which has ended when the block ends; Ctrl-C ends it as well."""
    own = dict(word.split("=", 1) for word in takewhile(_ASSIGNMENT.match, stage.command))
    with subprocess.Popen(
        _executable(stage.command[len(own) :]),
        env={**os.environ, **variables, **own, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yields the output of a command line by line as it comes; a progress bar that redraws itself is many lines."""
    assert process.stdout is not None
    yield from (line.strip() for line in process.stdout if line.strip())


def _executable(command: Sequence[str]) -> list[str]:
    """The command with this interpreter's own programs, whatever the PATH holds."""
    program, *arguments = command
    if program == "nnunet-prompt":
        return [sys.executable, "-m", "nnunet_prompt", *arguments]
    beside = Path(sysconfig.get_path("scripts")) / program
    found = str(beside) if beside.exists() else shutil.which(program)
    if found is None:
        raise NNUNetPromptError(
            f"{program}: no such command; it comes with nnU-Net: pip install nnunetv2"
        )
    return [found, *arguments]


def _is_done(stage: Stage, output: Path) -> bool:
    marker = _marker(stage, output)
    return marker.is_file() and marker.read_text(encoding="utf-8") == shlex.join(stage.command)


def _marker(stage: Stage, output: Path) -> Path:
    return output / _DONE / stage.name


# What came out --------------------------------------------------------------------------------------------------


def _conclude(output: Path, console: Console) -> None:
    from nnunet_prompt.cli.demo.report import draw_demo_picture, results_table

    metrics = {arm: _metrics(output, folder) for arm, folder in ARMS.items()}
    console.print()
    console.print(results_table(metrics))
    test = output / "test"
    masks, plain = (output / folder for folder in ARMS.values())
    picture = draw_demo_picture(test, masks, plain, output / "picture.png", count=PICTURED_CASES)
    console.print(f"\n[bold]The picture[/]  {picture}", soft_wrap=True)
    console.print(f"[bold]The masks[/]    {masks}", soft_wrap=True)
    console.print(f"[bold]All of it[/]    {output}", soft_wrap=True)
    console.print(f"[bold]The training[/] {output / TRAINING_REPORT}", soft_wrap=True)
    console.print(f"[bold]The report[/]   {output / REPORT} (open it in a browser)", soft_wrap=True)
    console.print("\nWith data of your own: nnunet-prompt convert --help", markup=False)


def _metrics(output: Path, arm: str) -> Path:
    return output / f"metrics_{arm}.json"


def _echo(console: Console, text: str) -> None:
    for line in text.splitlines():
        console.print(f"$ {line}", style="green", soft_wrap=True, markup=False)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
