"""Asks a model for a phantom as the challenge asks for its cases; the image does it once, when it is built.

python -m nnunet_prompt.cli.self_check MODEL
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunet_prompt.cli.main import main as command_line
from nnunet_prompt.common.errors import ModelError, NNUNetPromptError


def self_check(model: Path, folder: Path) -> str:
    """Segments one phantom heart with `nnunet-prompt submit` on the CPU, in `folder`, and returns what came out.

    The model may be of any organ: the phantom is its image in every channel, and what it finds is not judged. Raises
    `NNUNetPromptError` if the network cannot be built, if the case is degraded, or if the mask lies on another grid or
    holds a label that was not asked for.
    """
    from nnunet_prompt.inference.model_folder import load_model
    from nnunet_prompt.inference.options import PredictOptions
    from nnunet_prompt.io.nifti import read_label_volume, read_nifti

    loaded = load_model(model, PredictOptions(device="cpu"))
    case = _write_input(folder / "input", loaded.n_image_channels)
    output = folder / "output"
    options = ["-device", "cpu", "--disable_tta", "--strict", "--order", "xy", "--base", "0"]
    arguments = ["-i", folder / "input", "-o", output, "-m", model, *options]
    if command_line(["submit", *map(str, arguments)]) != 0:
        raise ModelError(f"{model}: does not segment a phantom; see the lines above")
    mask = read_label_volume(output / f"{case}_pred.nii.gz")
    truth = read_label_volume(folder / "input" / "labels" / f"{case}.nii.gz")
    image = read_nifti(next((folder / "input" / "images").iterdir()))
    if mask.file_shape != image.file_shape or not np.array_equal(mask.affine, image.affine):
        raise ModelError(f"{mask.path}: has another geometry than {image.path}")
    asked, found = np.unique(truth.array), np.unique(mask.array)
    if not set(found) <= set(asked):
        raise ModelError(f"{mask.path}: holds {found.tolist()}, asked for were {asked.tolist()}")
    return f"{model}: a phantom of {truth.array.size} voxels, {np.count_nonzero(mask.array)} of them segmented"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what came out and returns 0, or prints what is wrong and returns 1."""
    parser = argparse.ArgumentParser(description="Segments a phantom with a model.")
    parser.add_argument(
        "model", type=Path, help="folder of a trained model, <trainer>__<plans>__<configuration>"
    )
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(self_check(args.model, Path(folder)))
    except (NNUNetPromptError, OSError) as error:
        print(f"self-check: error: {error}", file=sys.stderr)
        return 1
    return 0


def _write_input(folder: Path, n_channels: int) -> str:
    """Writes a challenge input with one phantom and returns its case id."""
    from nnunet_prompt.challenge.simulate import simulate_prompts_json
    from nnunet_prompt.io.image_cases import without_ending
    from nnunet_prompt.phantom.heart import write_phantoms

    write_phantoms(folder, 1, part="test")
    (image,) = (folder / "images").iterdir()
    case = without_ending(image.name)
    if n_channels > 1:
        for channel in range(n_channels):
            shutil.copy(image, image.with_name(f"{case}_{channel:04d}.nii.gz"))
        image.unlink()
    simulate_prompts_json(folder / "labels", folder / "prompts.json")
    return case


if __name__ == "__main__":
    sys.exit(main())
