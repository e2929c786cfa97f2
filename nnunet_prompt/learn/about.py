"""What an adapter states beside its tensors: the model that it completes, and the support set that it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnunet_prompt.inference.model_files import CAPABILITY_KEY
from nnunet_prompt.inference.model_folder import LoadedModel
from nnunet_prompt.learn.support import Support
from nnunet_prompt.networks.adapter_file import ABOUT
from nnunet_prompt.networks.capability import capability_to_json
from nnunet_prompt.training.components import find_one_component


def about_support(support: Support, model: LoadedModel) -> dict[str, Any]:
    """The keys of `ABOUT` with the structures of the support, and `learned`: how many cases, and their hash."""
    described = dict(support.dataset_json)
    cases = ((case.name, case.labels) for case in support.cases)
    one = find_one_component(cases, support.table)
    capability = replace(model.capability, one_component=one)
    described[CAPABILITY_KEY] = capability_to_json(capability)
    about = {key: model.checkpoint[key] for key in ABOUT}
    about["init_args"] = {
        **about["init_args"],
        "plans": model.plans.plans,
        "configuration": model.configuration_name,
        "dataset_json": described,
    }
    about["learned"] = {"cases": len(support.cases), "support_sha256": support.sha256}
    return about
