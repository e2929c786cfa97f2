"""A network as ONNX, from image and prompt channels to logits, and its weights read back."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nnunet_prompt.common.errors import ModelError, raise_system_error

if TYPE_CHECKING:
    from torch import Tensor, nn

ENDING: Final = ".onnx"
OPSET: Final = 17
INPUT, OUTPUT = "image_and_prompts", "logits"
CHECKPOINT_KEY: Final = "nnunet_prompt_checkpoint"  # in the file's metadata
REST_KEY: Final = "nnunet_prompt_tensors"
TOLERANCE: Final = 1e-4  # of the largest logit, or of 1 where all are smaller
MISSING: Final = "needs the packages onnx and onnxruntime: pip install nnunet-prompt[onnx]"


def is_onnx(path: Path, start: bytes) -> bool:
    """Whether a file is one, by its name and its first field, the version of the format."""
    return path.suffix == ENDING and start[:1] == b"\x08"


def save_onnx(
    network: nn.Module, shape: tuple[int, ...], path: Path, described: dict[str, Any]
) -> float:
    """Writes a network that takes (B, *shape) and gives (B, 1 + K, *patch), with any B, and runs it once.

    `described`, JSON, goes into its metadata. Returns the largest difference of a logit between onnxruntime and torch,
    for batches of one and two. Raises `ModelError` where they differ, and where the packages are not installed.
    """
    import torch

    try:
        import onnx
        import onnxruntime  # noqa: F401 - before the long work
    except ImportError:
        raise ModelError(f"{path}: {MISSING}") from None
    network = network.cpu().float().eval()
    with warnings.catch_warnings(), torch.inference_mode():
        # of the exporter that keeps the names of tensors: torch has a newer one, which does not
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros((1, *shape)),),
            str(path),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    saved = {one.name for one in model.graph.initializer}
    rest = _beside_graph(network.state_dict(), saved)
    for key, value in ((CHECKPOINT_KEY, described), (REST_KEY, rest)):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.save(model, str(path))
    return _check(network, shape, path)


def _beside_graph(weights: Mapping[str, Tensor], saved: set[str]) -> dict[str, Any]:
    """What the graph does not hold: other names of its tensors, and tensors that it does not use, such as the heads of
    deep supervision and where the weights come from.
    """
    places = {weights[name].data_ptr(): name for name in saved if name in weights}
    rest: dict[str, Any] = {}
    for name, value in weights.items():
        if name in saved:
            continue
        if value.data_ptr() in places:
            rest[name] = places[value.data_ptr()]
        else:
            places[value.data_ptr()] = name
            array = value.contiguous().numpy()
            data = base64.b64encode(array.tobytes()).decode()
            rest[name] = {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}
    return rest


def _restored(rest: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
    """Adds what `_beside_graph` kept."""
    import torch

    for name, value in rest.items():
        if isinstance(value, str):
            weights[name] = weights[value]
        else:
            data = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["dtype"]))
            weights[name] = torch.from_numpy(data.reshape(value["shape"]).copy())


def _check(network: nn.Module, shape: tuple[int, ...], path: Path) -> float:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for count in (1, 2):
        given = rng.standard_normal((count, *shape)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(given)).numpy()
        (found,) = session.run([OUTPUT], {INPUT: given})
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(found - expected).max())
        if difference > allowed:
            raise ModelError(
                f"{path}: onnxruntime differs from torch by {difference:.1e} in a batch of {count}, expected at most"
                f" {allowed:.1e}; nothing was exported: try other versions of onnx, onnxruntime and torch"
            )
        worst = max(worst, difference)
    return worst


def read_onnx(path: Path) -> dict[str, Any]:
    """The weights of such a file in the form of nnU-Net's checkpoint. Raises `ModelError` for any other file."""
    import torch

    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise ModelError(f"{path}: {MISSING}") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
        found = {one.key: one.value for one in model.metadata_props}
        described = json.loads(found[CHECKPOINT_KEY])
        weights: dict[str, Tensor] = {
            one.name: torch.from_numpy(np.array(numpy_helper.to_array(one)))
            for one in model.graph.initializer
            if "." in one.name and not one.name.startswith("onnx::")
        }
        _restored(json.loads(found[REST_KEY]), weights)
    except KeyError:
        raise ModelError(
            f"{path}: an ONNX file of others; expected one of `nnunet-prompt weights export --format onnx`"
        ) from None
    except Exception as error:  # protobuf's errors are of no common kind
        raise_system_error(error)
        raise ModelError(f"{path}: not a readable ONNX file ({error})") from None
    return {**described, "network_weights": weights}
