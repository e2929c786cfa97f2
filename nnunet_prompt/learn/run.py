"""Learns the structures of a support set: from one to ten labelled cases to a small adapter of a trained model.

    learn("images", "labels", model="MODEL", output="liver")   # writes liver.pth
    PromptPredictor("MODEL", PredictOptions(adapter="liver"))

Half of the time chooses the kind of adapter by leaving cases out, the other half trains it on all cases.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from nnunet_prompt.common.arguments import as_path, check_type
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.inference.model_folder import LoadedModel, load_model
from nnunet_prompt.inference.options import PredictOptions
from nnunet_prompt.inference.with_adapter import adapter_path
from nnunet_prompt.io.atomic import check_writable, make_folder
from nnunet_prompt.io.guard import check_output_file, model_folders
from nnunet_prompt.learn.lesson import Lesson
from nnunet_prompt.learn.options import KINDS, Learned, LearnOptions
from nnunet_prompt.learn.support import Support, read_support
from nnunet_prompt.learn.vector import VECTOR, learn_vectors
from nnunet_prompt.networks.adapter_file import Adapter, base_sha256, read_adapter, write_adapter

_log = logging.getLogger(__name__)


def learn(
    images: Path | str,
    labels: Path | str,
    *,
    model: Path | str,
    output: Path | str,
    options: LearnOptions = LearnOptions(),  # noqa: B008 - frozen
    running: PredictOptions = PredictOptions(),  # noqa: B008 - frozen
) -> Learned:
    """Writes the adapter `output` (.pth is added) and returns what became of it.

    `running` has the fold, the checkpoint and the device; of several folds the first is the base. The structures are
    the values of the label maps. Ctrl-C writes the best so far. Raises `NNUNetPromptError` for what cannot be used.
    An existing adapter is replaced, any other file is refused.
    """
    check_type("options", options, LearnOptions, "LearnOptions(minutes=10)")
    deadline = time.monotonic() + options.minutes * 60
    images, labels = as_path("images", images), as_path("labels", labels)
    folder, output = as_path("model", model), adapter_path(as_path("output", output))
    check_output_file(output, [images, labels, *model_folders(folder)])
    if output.is_file():
        read_adapter(output)  # raises for a file that is none, which would be lost
    loaded = _first_fold(load_model(folder, running))
    support = read_support(images, labels, loaded, names=options.names)
    resumes = options.resume and options.kind != VECTOR  # which are not trained
    earlier = _earlier(output, support, loaded) if resumes else None
    make_folder(output.parent)
    check_writable(output.parent)
    _log.info(
        "support: %d case(s), structures %s", len(support.cases), ", ".join(support.table.names)
    )
    if options.kind == VECTOR:
        adapter, dice = learn_vectors(support, loaded)
        write_adapter(output, adapter)
        found = {VECTOR: dice} if dice else {}
        return Learned(output, VECTOR, support.table.names, done=0, iterations=0, dice=found)
    lesson = Lesson(support, loaded, options, deadline, earlier)
    lesson.run()
    return lesson.write(output)


def _first_fold(model: LoadedModel) -> LoadedModel:
    """The same model with its first fold alone."""
    if len(model.weights) > 1:
        _log.info("of several folds the first is the base; -f chooses another")
        model.network.load_state_dict(model.weights[0])
    return replace(model, weights=model.weights[:1])


def _earlier(output: Path, support: Support, model: LoadedModel) -> Adapter | None:
    """The adapter to train on; None where there is none yet. Raises `ModelError` for one of something else."""
    if not output.is_file():
        return None
    adapter = read_adapter(output)
    labels = adapter.about["init_args"]["dataset_json"].get("labels")
    if labels != support.dataset_json["labels"]:
        raise ModelError(
            f"{output}: has the labels {labels}, the support has {support.dataset_json['labels']}: learn anew under"
            " another name"
        )
    if adapter.tuning.method not in KINDS:
        raise ModelError(
            f"{output}: of the kind {adapter.tuning.method}, which learn does not train"
        )
    if adapter.base_sha256 != base_sha256(model.network):
        raise ModelError(f"{output}: was trained from another base; give its model with -m")
    return adapter
