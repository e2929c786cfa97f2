"""Train, prompt and ship promptable nnU-Nets.

    from nnunet_prompt import PromptSession, save_mask

    session = PromptSession("MODEL", device="cpu")
    session.set_image("case_001.nii.gz")
    session.add_point((88, 97, 5), label=500)
    mask = session.predict()
    save_mask(mask, "out.nii.gz", like="case_001.nii.gz")

What is named in `__all__` is the public interface, and docs/python.md describes it. Each name is imported when it is
first used, so that `import nnunet_prompt` alone takes neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnunet_prompt.common.errors import DatasetError as DatasetError
    from nnunet_prompt.common.errors import ImageError as ImageError
    from nnunet_prompt.common.errors import ModelError as ModelError
    from nnunet_prompt.common.errors import NNUNetPromptError as NNUNetPromptError
    from nnunet_prompt.common.errors import OutputError as OutputError
    from nnunet_prompt.common.errors import PromptError as PromptError
    from nnunet_prompt.common.errors import PromptFileError as PromptFileError
    from nnunet_prompt.common.errors import RefusedError as RefusedError
    from nnunet_prompt.evaluation.evaluate import evaluate as evaluate
    from nnunet_prompt.evaluation.options import EvaluateOptions as EvaluateOptions
    from nnunet_prompt.inference.options import PredictOptions as PredictOptions
    from nnunet_prompt.inference.predictor import PromptPredictor as PromptPredictor
    from nnunet_prompt.inference.session import PromptSession as PromptSession
    from nnunet_prompt.io.save_mask import save_mask as save_mask
    from nnunet_prompt.prompt_files.simulated import simulate_prompts as simulate_prompts
    from nnunet_prompt.prompts.types import Box as Box
    from nnunet_prompt.prompts.types import Point as Point
    from nnunet_prompt.prompts.types import PromptSet as PromptSet
    from nnunet_prompt.prompts.types import Scribble as Scribble

__version__ = "0.1.0"

__all__ = [
    "Box",
    "DatasetError",
    "EvaluateOptions",
    "ImageError",
    "ModelError",
    "NNUNetPromptError",
    "OutputError",
    "Point",
    "PredictOptions",
    "PromptError",
    "PromptFileError",
    "PromptPredictor",
    "PromptSession",
    "PromptSet",
    "RefusedError",
    "Scribble",
    "__version__",
    "evaluate",
    "save_mask",
    "simulate_prompts",
]

_HOMES = {
    "Box": "prompts.types",
    "Point": "prompts.types",
    "PromptSet": "prompts.types",
    "Scribble": "prompts.types",
    "PredictOptions": "inference.options",
    "PromptPredictor": "inference.predictor",
    "PromptSession": "inference.session",
    "EvaluateOptions": "evaluation.options",
    "evaluate": "evaluation.evaluate",
    "save_mask": "io.save_mask",
    "simulate_prompts": "prompt_files.simulated",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'common.errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
