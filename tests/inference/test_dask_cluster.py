"""A cluster does every case once, also when a worker dies; what a worker does is tried here without one, too."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.inference import dask_cluster as cluster
from nnunet_prompt.inference.dask_cluster import do_job, make_jobs, open_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.predict_case import Asked, CaseToDo
from nnunet_prompt.inference.predict_folder import Predicted, predict_folder
from nnunet_prompt.inference.run_options import RunOptions
from nnunet_prompt.io.image_cases import ImageCase
from nnunet_prompt.prompt_files.prompt_file import load_prompts
from tests.helpers.each import each
from tests.helpers.models import write_model_folder

CPU = PredictOptions(device="cpu")
PATIENCE = 300  # seconds, for what must happen


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(len(path.name)).random((9, 11, 6), np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([1.25, 1.5, 4, 1])), path)
    return path


def saved_mask(path: Path) -> Path:
    """An empty mask on the grid of `image`."""
    image(path)
    like = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(like.shape, np.uint8), like.affine), path)
    return path


def prompts_file(path: Path, *names: str) -> Path:
    said = {name: {"500": {"points": [{"position": [4, 5, 3]}]}} for name in names}
    path.write_text(json.dumps({"format": "nnunet-prompt", "version": 1, "cases": said}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def no_model_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_opened", {})


def jobs(tmp_path: Path, model: Path, *names: str, asked: Asked = Asked()) -> list[cluster.Job]:  # noqa: B008 - frozen
    cases = [
        CaseToDo(
            ImageCase(name, {"": (image(tmp_path / "in" / f"{name}.nii.gz"),)}),
            tmp_path / f"{name}.nii.gz",
        )
        for name in names
    ]
    return make_jobs(cases, asked, model=model, options=CPU)


class TestJobs:
    def test_paths_are_absolute_and_prompts_are_those_of_the_case(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        prompts_file(Path("p.json"), "a", "b")
        asked = Asked(load_prompts(Path("p.json")), refine=Path("auto"))
        case = ImageCase("b", {"": (Path("in/b.nii.gz"),)})
        (job,) = make_jobs(
            [CaseToDo(case, Path("out/b.nii.gz"))], asked, model=Path("m"), options=PredictOptions()
        )
        assert job.model == tmp_path / "m" and job.case.target == tmp_path / "out" / "b.nii.gz"
        assert job.case.images.first == tmp_path / "in" / "b.nii.gz"
        assert job.asked.prompts is not None and list(job.asked.prompts.cases) == ["b"]
        assert job.asked.prompts.path == tmp_path / "p.json"
        assert job.asked.refine == tmp_path / "auto"
        assert pickle.loads(pickle.dumps(job)) == job

    def test_a_case_without_prompts_is_told_by_the_worker(
        self, tmp_path: Path, model: Path
    ) -> None:
        asked = Asked(load_prompts(prompts_file(tmp_path / "p.json", "b")))
        (job,) = jobs(tmp_path, model, "a", asked=asked)
        assert "no prompts for case 'a', it names 'b'" in str(do_job(job).reason)


class TestOnTheWorker:
    def test_a_case_is_done_once(self, tmp_path: Path, model: Path) -> None:
        (job,) = jobs(tmp_path, model, "a")
        assert do_job(job) == cluster.Done()
        before = job.case.target.stat()
        assert nib.load(job.case.target).shape == (9, 11, 6)
        assert do_job(job) == cluster.Done()
        after = job.case.target.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.nii.gz"]

    def test_the_tiles_come_back(self, tmp_path: Path, model: Path) -> None:
        asked = Asked(load_prompts(prompts_file(tmp_path / "p.json", "a")))
        (job,) = jobs(tmp_path, model, "a", asked=asked)
        tally = do_job(job).tally
        assert tally is not None and tally.tiles.keys() == {500} and tally.tiles[500] >= 1

    def test_a_mask_that_appears_meanwhile_stays(
        self, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (job,) = jobs(tmp_path, model, "a")
        real = cluster.predict_case

        def slow(*args: Any) -> Any:
            job.case.target.write_bytes(b"of another worker")
            return real(*args)

        monkeypatch.setattr(cluster, "predict_case", slow)
        assert do_job(job).reason is None
        assert job.case.target.read_bytes() == b"of another worker"
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.nii.gz"]

    def test_what_fails_is_a_line(self, tmp_path: Path, model: Path) -> None:
        one, other = jobs(tmp_path, model, "a", "b")
        one.case.images.first.write_bytes(b"nothing")
        assert "a.nii.gz" in str(do_job(one).reason)
        lost = replace(other, model=tmp_path / "nowhere")
        assert "nowhere" in str(do_job(lost).reason)
        assert do_job(other).reason is None

    def test_notes_for_the_user_come_back(self, tmp_path: Path, model: Path) -> None:
        (job,) = jobs(tmp_path, model, "a")
        array = np.full((9, 11, 6), np.nan, np.float32)
        nib.save(nib.Nifti1Image(array, np.diag([1.25, 1.5, 4, 1])), job.case.images.first)
        (note,) = do_job(job).notes
        assert note.endswith("594 voxels are not finite and taken as 0")

    def test_the_model_is_loaded_once_until_it_changes(self, tmp_path: Path) -> None:
        folder = write_model_folder(tmp_path / "model")
        first = open_model(folder, CPU)
        assert open_model(folder, CPU) is first
        assert open_model(folder, replace(CPU, step_size=1.0)) is not first
        again = open_model(folder, CPU)
        checkpoint = folder / "fold_0" / "checkpoint_final.pth"
        os.utime(checkpoint, ns=(1, 1))
        assert open_model(folder, CPU) is not again and len(cluster._opened) == 1


class TestWithoutACluster:
    def test_without_dask(
        self, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        image(tmp_path / "in" / "a.nii.gz")
        options = RunOptions(dask="tcp://127.0.0.1:1")
        with pytest.raises(NNUNetPromptError, match=r"pip install 'nnunet-prompt\[dask\]'"):
            predict_folder(tmp_path / "in", tmp_path, model=model, run_options=options)

    @each("address", ["tcp://127.0.0.1:1", "localhost", "foo://x:1", ""])
    def test_where_no_scheduler_answers(
        self, tmp_path: Path, model: Path, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("distributed")
        monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
        image(tmp_path / "in" / "a.nii.gz")
        options = RunOptions(dask=address)
        with pytest.raises(NNUNetPromptError, match=f"--dask {address}: no Dask scheduler answers"):
            predict_folder(tmp_path / "in", tmp_path, model=model, run_options=options)

    def test_nothing_left_to_do_needs_no_scheduler(self, tmp_path: Path, model: Path) -> None:
        image(tmp_path / "in" / "a.nii.gz")
        saved_mask(tmp_path / "out" / "a.nii.gz")
        options = RunOptions(dask="tcp://127.0.0.1:1")
        made = predict_folder(tmp_path / "in", tmp_path / "out", model=model, run_options=options)
        assert made == Predicted(written=0, kept=1)


# A real cluster -----------------------------------------------------------------------------------------------------

PRELOAD = """
import os, pathlib, time
from nnunet_prompt.inference import dask_cluster as cluster

def dask_setup(worker):
    here = pathlib.Path({here!r})
    predict, write = cluster.predict_case, cluster.write_mask

    def logged(masked, path):
        with (here / "written").open("a") as log:
            log.write(masked.case.images.case + chr(10))
        return write(masked, path)

    def stuck(predictor, loaded, asked):
        if os.environ.get("VICTIM"):
            (here / "stuck").write_text(loaded.case.images.case)
            time.sleep(3600)
        time.sleep(0.2)
        return predict(predictor, loaded, asked)

    cluster.predict_case, cluster.write_mask = stuck, logged
"""


class Cluster:
    """A scheduler and two workers, each a process; the first worker gets stuck in its first case."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        preload = folder / "preload.py"
        preload.write_text(PRELOAD.format(here=str(folder)))
        common = ["--scheduler-file", str(self.file), "--no-dashboard"]
        anywhere = ["--port", "0", "--dashboard-address", "127.0.0.1:0"]
        self.start("dask_scheduler", *common, *anywhere, "--host", "127.0.0.1")
        worker = [*common, "--no-nanny", "--nthreads", "2", "--preload", str(preload)]
        self.victim, self.survivor = (
            self.start("dask_worker", *worker, "--name", name, VICTIM=victim)
            for name, victim in (("victim", "1"), ("survivor", ""))
        )

    def start(self, what: str, *args: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{what}", *args]
        with (self.folder / f"log{len(self.processes)}").open("wb") as log:
            started = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(started)
        return started

    def logs(self) -> str:
        return "\n".join(p.read_text() for p in sorted(self.folder.glob("log*")))

    def stop(self) -> None:
        for process in self.processes[::-1]:
            process.kill()
            process.wait(PATIENCE)


@pytest.fixture
def cluster_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    try:
        wait_for(lambda: made.logs().count("Registered to:") == 2, made)
        yield made
    finally:
        made.stop()


def wait_for(what: Any, cluster: Cluster) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, cluster.logs()
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_is_killed_and_another_one_does_its_cases(
    tmp_path: Path, model: Path, cluster_of_two: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"case_{i}" for i in range(8)]
    for name in names:
        image(tmp_path / "in" / f"{name}.nii.gz")
    out = tmp_path / "out"
    saved_mask(out / "case_0.nii.gz")
    before = (out / "case_0.nii.gz").read_bytes()
    prompts = prompts_file(tmp_path / "prompts.json", *names)
    run_options = RunOptions(dask=str(cluster_of_two.file), verbose=True)
    killed: list[str] = []

    def kill() -> None:
        stuck = cluster_of_two.folder / "stuck"
        wait_for(lambda: stuck.exists() and stuck.read_text(), cluster_of_two)
        killed.append(stuck.read_text())
        (out / f".partial-9-{killed[0]}.nii.gz").write_bytes(b"of another run")
        cluster_of_two.victim.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    made = predict_folder(
        tmp_path / "in", out, model=model, prompts=prompts, options=CPU, run_options=run_options
    )
    killer.join(PATIENCE)
    assert made == Predicted(written=7, kept=1)
    assert (out / "case_0.nii.gz").read_bytes() == before
    visible = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    assert visible == [f"{name}.nii.gz" for name in names]
    assert [p.name for p in out.glob(".*")] == [f".partial-9-{killed[0]}.nii.gz"]
    for name in names[1:]:
        assert nib.load(out / f"{name}.nii.gz").shape == (9, 11, 6)
    written = sorted((cluster_of_two.folder / "written").read_text().split())
    assert killed[0] in names and written == names[1:]  # each once, and that one, too
    said = caplog.text
    assert f"case {killed[0]}: label 500: " in said and "for 7 labels in 7 cases" in said
    # the survivor has the model, and goes on to work for others
    again = predict_folder(
        tmp_path / "in",
        tmp_path / "again",
        model=model,
        structures=("ball",),
        options=CPU,
        run_options=run_options,
    )
    assert again == Predicted(written=8)


@pytest.mark.slow
def test_the_scheduler_goes_away(tmp_path: Path, model: Path, cluster_of_two: Cluster) -> None:
    image(tmp_path / "in" / "a.nii.gz")
    cluster_of_two.survivor.kill()
    run_options = RunOptions(dask=str(cluster_of_two.file))

    def kill() -> None:
        wait_for((cluster_of_two.folder / "stuck").exists, cluster_of_two)
        cluster_of_two.processes[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        NNUNetPromptError, match=r"scheduler is gone or was restarted; run the same command again"
    ):
        predict_folder(
            tmp_path / "in", tmp_path / "out", model=model, options=CPU, run_options=run_options
        )
    killer.join(PATIENCE)
