"""A model as ONNX: one network, from image and prompt channels to logits, and a manifest with all that surrounds it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt import __version__
from nnunet_prompt.io.json_file import write_json
from nnunet_prompt.networks.capability import capability_to_json
from nnunet_prompt.networks.onnx_file import INPUT, OPSET, OUTPUT, save_onnx
from nnunet_prompt.networks.provenance import sha256_of
from nnunet_prompt.prompts.channels import CHANNEL_NAMES
from nnunet_prompt.weights.export_files import (
    Licence,
    ModelFiles,
    checkpoint_content,
    new_model_folder,
)

if TYPE_CHECKING:
    from nnunet_prompt.inference.model_folder import LoadedModel

MODEL, MANIFEST = "model.onnx", "manifest.json"
FORM: Final = 1  # of the manifest


def write_onnx_model(target: Path, model: LoadedModel, files: ModelFiles, licence: Licence) -> None:
    """Writes model.onnx and manifest.json, plans.json, dataset.json, prompt_capability.json and LICENSE.

    The file is run by onnxruntime before it gets its name. Raises `ModelError` where that gives other logits, where
    the packages are not installed, and where `target` holds something already.
    """
    ((fold, weights),) = files.weights.items()
    model.network.load_state_dict(weights)
    channels = model.n_image_channels + len(CHANNEL_NAMES)
    shape = (channels, *(int(n) for n in model.configuration.patch_size))
    described = checkpoint_content(files, fold.removeprefix("fold_"), licence.origins)
    with new_model_folder(target, files, licence) as folder:
        difference = save_onnx(model.network, shape, folder / MODEL, described)
        write_json(
            folder / MANIFEST,
            manifest(model, files, licence, shape)
            | {"largest_difference": difference, "sha256": sha256_of(folder / MODEL)},
            indent=2,
        )


def manifest(
    model: LoadedModel, files: ModelFiles, licence: Licence, shape: tuple[int, ...]
) -> dict[str, Any]:
    """What a program needs to prepare the input and to read the output, without nnU-Net and without this package."""
    settings, plans = model.configuration, model.plans
    names = model.dataset_json["channel_names"]
    images = [str(names[key]) for key in sorted(names, key=int)]
    statistics = plans.foreground_intensity_properties_per_channel
    normalisation = [
        {
            "scheme": scheme,
            "within_nonzero_mask": bool(masked),
            "intensities": statistics.get(str(number)),
        }
        for number, (scheme, masked) in enumerate(
            zip(settings.normalization_schemes, settings.use_mask_for_norm, strict=True)
        )
    ]
    return {
        "format": FORM,
        "made_by": f"nnunet_prompt {__version__}",
        "model": MODEL,
        "opset": OPSET,
        "configuration": files.configuration,
        "input": {
            "name": INPUT,
            "shape": ["batch", *shape],
            "dtype": "float32",
            "channels": [*images, *CHANNEL_NAMES],
        },
        "output": {
            "name": OUTPUT,
            "shape": ["batch", 1 + len(model.table.structures), *shape[1:]],
            "dtype": "float32",
            "activation": "sigmoid",
        },
        "object": {"index": 0},
        "structures": [
            {
                "index": s.label,
                "name": s.name,
                "value": s.official,
                "members": list(s.members),
            }
            for s in model.table.structures
        ],
        "priority": list(model.table.priority),
        "orientation": model.table.orientation,
        "transpose_forward": [int(a) for a in plans.transpose_forward],
        "spacing_mm": [float(s) for s in settings.spacing],
        "patch_size": list(shape[1:]),
        "normalisation": normalisation,
        "mirror_axes": list(files.mirror_axes),
        "prompts": capability_to_json(model.capability),
        "licence": licence.line,
        "origins": [asdict(origin) for origin in licence.origins],
    }
