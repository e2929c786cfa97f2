"""`nnunet-prompt predict --dask SCHEDULER`: the cases of a folder on the workers of a Dask cluster that is there.

Every worker sees the folders under the same paths and has this package. It loads the model once. Dask does the cases of
a worker that dies again elsewhere. Where two workers do the same case nevertheless, the mask that is there first stays.
"""

from __future__ import annotations

import importlib
import logging
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.common.log import progress_bar
from nnunet_prompt.inference.case_runner import Run, reason_of
from nnunet_prompt.inference.folds import fold_checkpoints
from nnunet_prompt.inference.gpu_claim import pin_gpu
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.pipeline import Stages
from nnunet_prompt.inference.predict_case import (
    Asked,
    CaseToDo,
    LoadedCase,
    MaskedCase,
    Tally,
    load_case,
    predict_case,
    write_mask,
)
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.io.atomic import PARTIAL, write_once

if TYPE_CHECKING:
    from nnunet_prompt.inference.predictor import PromptPredictor

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 10
PER_WORKER = 3  # cases that a worker is given at a time: one that it loads, one that it runs, one that it writes


@dataclass(frozen=True, slots=True)
class Job:
    """One case for a worker. `run` is part of the names of files that are being written; all paths are absolute."""

    case: CaseToDo
    asked: Asked
    model: Path
    options: PredictOptions
    run: str


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome that a worker reports: `reason` is why a case has no mask, `notes` are for the user."""

    tally: Tally | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None


def predict_on_cluster(
    cases: Sequence[CaseToDo],
    asked: Asked,
    *,
    model: Path,
    options: PredictOptions,
    run_options: RunOptions,
) -> Run[Tally | None]:
    """Has the workers of the scheduler `run_options.dask` predict cases; like `inference.predict_folder.predict_cases`.

    `cases` are those without a finished mask; what else has its name is removed first. Ctrl-C cancels what has not
    begun; what has begun is done and written. Raises `NNUNetPromptError` without Dask, and where no scheduler answers
    or it goes away.
    """
    assert run_options.dask is not None
    run: Run[Tally | None] = Run()
    for case in cases:  # what is there is not finished, and workers keep what is there
        case.target.unlink(missing_ok=True)
    jobs = make_jobs(cases, asked, model=model, options=options)
    if not jobs:
        return run
    with (
        _client(run_options.dask) as client,
        progress_bar("predict", total=len(jobs)) as bar,
        closing(_as_done(client, jobs)) as outcomes,
    ):
        for job, done in outcomes:
            _note(run, job.case.images.case, done, verbose=run_options.verbose)
            bar.update()
    for folder in {job.case.target.parent for job in jobs}:
        for leftover in folder.glob(f"{PARTIAL}*{jobs[0].run}*"):  # of workers that died
            leftover.unlink(missing_ok=True)
    return run


def _note(run: Run[Tally | None], name: str, done: Done, *, verbose: bool) -> None:
    for note in done.notes:
        _log.warning("case %s: %s", name, note)
    if done.reason is not None:
        run.fail(name, done.reason)
    else:
        run.succeed(name, done.tally, verbose=verbose)


def make_jobs(
    cases: Sequence[CaseToDo], asked: Asked, *, model: Path, options: PredictOptions
) -> list[Job]:
    """Makes a job of each case, with its own prompts, and with paths that mean the same everywhere."""
    run = uuid.uuid4().hex[:12]
    if asked.prompts is not None:
        asked = replace(asked, prompts=replace(asked.prompts, path=asked.prompts.path.absolute()))
    if asked.refine is not None:
        asked = replace(asked, refine=asked.refine.absolute())
    jobs = []
    for case in cases:
        files = {
            tag: tuple(path.absolute() for path in paths)
            for tag, paths in case.images.files.items()
        }
        here = CaseToDo(replace(case.images, files=files), case.target.absolute())
        jobs.append(Job(here, asked.of(case.images.case), model.absolute(), options, run))
    return jobs


# On the worker ----------------------------------------------------------------------------------------------------

_stages = Stages()
_opening = Lock()
_opened: dict[Any, PromptPredictor] = {}


def do_job(job: Job) -> Done:
    """Predicts one case and writes its mask, unless it is there. However many threads call it, one runs the network."""
    if job.case.target.exists():
        return Done()
    notes: list[str] = []

    def load(job: Job) -> tuple[PromptPredictor, LoadedCase]:
        predictor = open_model(job.model, job.options)
        loaded = load_case(predictor, job.case, job.asked)
        notes.extend(loaded.notes)
        return predictor, loaded

    def work(both: tuple[PromptPredictor, LoadedCase]) -> MaskedCase:
        predictor, loaded = both
        _use_threads()
        return predict_case(predictor, loaded, job.asked)

    def write(masked: MaskedCase) -> Tally | None:
        write_once(job.case.target, lambda path: write_mask(masked, path), token=job.run)
        return masked.tally

    outcome = _stages.run(job, load=load, work=work, write=write)
    reason = None if outcome.error is None else reason_of(outcome.error)
    return Done(outcome.value, tuple(notes), reason)


def open_model(folder: Path, options: PredictOptions) -> PromptPredictor:
    """The model of a folder; the one that was asked for last stays open until its files change.

    A worker that may use GPUs takes one of its machine, which it keeps.
    """
    from nnunet_prompt.inference.predictor import PromptPredictor

    checkpoints = fold_checkpoints(folder, options.folds, options.checkpoint).values()
    files = sorted([*folder.glob("*.json"), *checkpoints])
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    key = (folder, options, stamps)
    with _opening:
        if key not in _opened:
            _opened.clear()
            if options.device in (None, "cuda"):
                pin_gpu()
            _opened[key] = PromptPredictor.from_folder(folder, options)
        return _opened[key]


def _use_threads() -> None:
    """Lets the network have as many threads as the worker was given; Dask allows libraries only one by default."""
    import torch

    distributed = importlib.import_module("distributed")
    try:
        threads = distributed.get_worker().state.nthreads
    except ValueError:  # no worker at all
        return
    torch.set_num_threads(threads)


# On the client ----------------------------------------------------------------------------------------------------


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    """A connection to a scheduler, by its address or its file. Raises `NNUNetPromptError` where there is none."""
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise NNUNetPromptError(
            f"--dask {scheduler}: Dask is not installed here; pip install 'nnunet-prompt[dask]'"
        ) from None
    try:
        if Path(scheduler).is_file():
            client = distributed.Client(scheduler_file=scheduler, timeout=CONNECT_SECONDS)
        else:
            importlib.import_module("distributed.comm").get_address_host_port(
                scheduler, strict=True
            )
            client = distributed.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, KeyError) as error:
        raise NNUNetPromptError(
            f"--dask {scheduler}: no Dask scheduler answers ({error}); expected the address of one that runs, such as"
            " tcp://host:8786, or its scheduler file"
        ) from None
    try:
        yield client
    finally:
        client.close()


def _as_done(client: Any, jobs: Sequence[Job]) -> Generator[tuple[Job, Done], None, None]:
    """Yields each job's outcome as it is known. No worker is given many jobs, so that late workers find some left."""
    if not client.nthreads():
        _log.info("no worker has joined this scheduler yet; waiting for one")
        client.wait_for_workers(1)
    rest = iter(jobs)
    running: dict[Any, Job] = {}
    waiting = importlib.import_module("distributed").as_completed()

    def begin() -> None:
        while len(running) < PER_WORKER * max(len(client.nthreads()), 1):
            job = next(rest, None)
            if job is None:
                return
            key = f"predict-{job.case.images.case}-{job.run}"
            future = client.submit(do_job, job, key=key, pure=False)
            running[future] = job
            waiting.add(future)

    try:
        begin()
        for future in waiting:
            job = running.pop(future)
            if future.cancelled():
                raise NNUNetPromptError(
                    "--dask: the scheduler is gone or was restarted; run the same command again to resume"
                )
            error = future.exception()  # such as of a case that kills its workers
            yield job, Done(reason=reason_of(error)) if error else future.result()
            begin()
    finally:
        if client.status == "running":
            client.cancel(list(running))
