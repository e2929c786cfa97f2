"""Whatever stands in the files of a job: a mask, or one line of error."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_prompt.challenge.forms.answer import answer
from nnunet_prompt.challenge.forms.grand_challenge import job_for
from nnunet_prompt.challenge.forms.inputs import read_inputs
from nnunet_prompt.challenge.forms.job import write_outputs
from nnunet_prompt.challenge.forms.sockets import default_sockets, read_sockets
from nnunet_prompt.challenge.submit import DEFAULTS
from nnunet_prompt.common.errors import NNUNetPromptError
from tests.challenge.forms.jobs import IMAGE, SHAPE, points, save_image, write_job
from tests.challenge.forms.test_answer import Network

pytestmark = pytest.mark.slow

STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3.5, 1e300, float("nan"), 10**30, "", "a", "../..", "/", "\0", "ball"),
    *([], {}, [[]], [None], {"": None}, [[1, 2, 3]], [1e9, 0, 0], {"slug": "points"}),
)


def mutated(value: Any, rng: random.Random) -> Any:
    """The same with one part replaced, removed or repeated."""
    if rng.random() < 0.3 or not isinstance(value, (dict, list)) or not value:
        return copy.deepcopy(rng.choice(STRANGE))
    found = copy.deepcopy(value)
    key = rng.choice(list(found) if isinstance(found, dict) else list(range(len(found))))
    how = rng.random()
    if how < 0.1:
        del found[key]
    elif how < 0.2 and isinstance(found, list):
        found.append(found[key])
    else:
        found[key] = mutated(found[key], rng)
    return found


def run(job: Path, network: Network) -> None:
    sockets = default_sockets("grand-challenge")
    found = job_for(network, read_inputs(job, sockets), sockets, DEFAULTS)
    labels = answer(network, found).labels
    write_outputs(
        labels, found.reference, sockets, folder=job.parent / "output", table=network.table
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "input"
    save_image(folder / IMAGE, np.ones(SHAPE, np.float32))
    save_image(folder / "images/previous-segmentation/m.mha", np.ones(SHAPE, np.uint8))
    box = {"type": "2D bounding box", "name": "200", "corners": [[2, 3, 1], [5, 3, 1], [5, 6, 1]]}
    own = {"format": "nnunet-prompt", "version": 1, "labels": {"500": {"points": [[1, 2, 3]]}}}
    files = {
        "medical-image": folder / IMAGE,
        "previous-segmentation": folder / "images/previous-segmentation/m.mha",
        "points": points((-20.0, 7.0, 11.0)),
        "lesion-clicks": points((1, 2, 3), name="tumor"),
        "bounding-boxes": {**box, "corners": [[-18, 9, 15], [-14, 9, 15], [-14, 12, 15]]},
        "prompts": own,
    }
    return write_job(folder, files)


@pytest.mark.slow
def test_a_job_of_any_content(job: Path) -> None:
    names = (
        "inputs.json",
        "points.json",
        "lesion-clicks.json",
        "bounding-boxes.json",
        "prompts.json",
    )
    whole = {name: (job / name).read_text() for name in names}
    run(job, Network())  # the job itself is in order
    outcomes = {"mask": 0, "error": 0}
    for seed in range(600):
        rng = random.Random(seed)
        name = rng.choice(names)
        text = json.dumps(mutated(json.loads(whole[name]), rng))
        if rng.random() < 0.05:
            text = text[: rng.randrange(len(text))]
        (job / name).write_text(text)
        try:
            run(job, Network())
            outcomes["mask"] += 1
        except NNUNetPromptError as error:
            assert "\n" not in str(error), (name, text)
            outcomes["error"] += 1
        (job / name).write_text(whole[name])
    assert min(outcomes.values()) > 50


def test_sockets_of_any_content(tmp_path: Path) -> None:
    whole = json.loads(default_sockets("autopet").model_dump_json())
    for seed in range(300):
        rng = random.Random(seed)
        path = tmp_path / "s.json"
        path.write_text(json.dumps(mutated(whole, rng)))
        try:
            read_sockets(path)
        except NNUNetPromptError as error:
            assert "\n" not in str(error)
