"""The model card of a published model: README.md in the form that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nnunet_prompt import __version__
from nnunet_prompt.common.errors import ModelError
from nnunet_prompt.io.json_file import read_object
from nnunet_prompt.prompts.channels import CHANNEL_NAMES

if TYPE_CHECKING:
    from nnunet_prompt.inference.model_folder import LoadedModel
    from nnunet_prompt.weights.export_files import Licence

IDENTIFIERS: Final = {
    "apache-2.0": r"apache[- ](license[, ]*)?(version )?2\.0",
    "mit": r"mit( license)?",
    "cc0-1.0": r"cc0([- ]1\.0)?",
    "cc-by-4.0": r"cc[- ]by[- ]4\.0",
    "cc-by-sa-4.0": r"cc[- ]by-sa[- ]4\.0",
    "cc-by-nc-4.0": r"cc[- ]by-nc[- ]4\.0",
    "cc-by-nc-sa-4.0": r"cc[- ]by-nc-sa[- ]4\.0",
}


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """What a card is made of; `summaries` are nnU-Net's summary.json by fold, `model_id` is nnInteractive's or ""."""

    repo: str
    model: LoadedModel
    licence: Licence
    summaries: Mapping[str, Mapping[str, Any]]
    model_id: str = ""

    @property
    def text(self) -> str:
        parts = (self._head(), self._use(), self._licence(), self._metrics(), _CITE)
        return "\n".join(parts) + f"\nMade by nnunet_prompt {__version__}.\n"

    def _head(self) -> str:
        name = self.repo.partition("/")[2]
        identifier = licence_identifier(self.licence.line)
        more = f"\nlicense_name: {_yaml(self.licence.line)}" if identifier == "other" else ""
        return (
            f"---\nlicense: {identifier}{more}\nlibrary_name: nnunet-prompt\npipeline_tag: image-segmentation\n"
            "tags: [medical, nnunet, nninteractive, promptable-segmentation]\n---\n\n"
            f"# {name}\n\nA promptable nnU-Net: it segments {len(self.model.table.structures)} structures by itself,"
            " and any object that prompts show.\n"
        )

    def _use(self) -> str:
        model, unsupported = self.model, self.model.capability.unsupported
        images = ", ".join(str(n) for n in model.dataset_json["channel_names"].values())
        spacing = " x ".join(f"{s:g}" for s in model.configuration.spacing)
        patch = " x ".join(str(int(n)) for n in model.configuration.patch_size)
        viewers = (
            f"\nViewers of nnInteractive: set `NNINTERACTIVE_REPO_ID={self.repo}` and choose `{self.model_id}`.\n"
            if self.model_id
            else ""
        )
        rows = "".join(f"| {s.label} | {s.name} |\n" for s in model.table.structures)
        known = ", ".join(n for n in CHANNEL_NAMES if n not in unsupported) or "none"
        return (
            "## Use\n\n```\n"
            f"nnunet-prompt predict -i IMAGES -o MASKS -m hf://{self.repo}@REVISION\n```\n{viewers}\n"
            "Intended for research on images like those of the training. Not a medical device: masks have to be"
            " checked by an expert.\n\n"
            f"Images: {images}; spacing {spacing} mm, patch {patch} voxels. Prompt channels it was trained on: {known}."
            f"\n\n| label | structure |\n|---|---|\n{rows}"
        )

    def _licence(self) -> str:
        dataset = str(self.model.plans.plans.get("dataset_name", "not named"))
        cases = self.model.dataset_json.get("numTraining", "unknown")
        chain = "".join(
            f"* weights from {o.name} ({o.family}): {o.licence}"
            + (f", sha256 {o.sha256}\n" if o.sha256 else "\n")
            for o in self.licence.origins
        )
        own = f"* this model: {self.licence.given}\n" if self.licence.given else ""
        trained = f"Trained on {dataset}, {cases} cases. Licence: {self.licence.line}."
        return f"## Data and licence\n\n{trained}\n\n{own}{chain}"

    def _metrics(self) -> str:
        rows = [
            f"| {fold} | {kind} | {dice:.3f} |\n"
            for fold, summary in self.summaries.items()
            for kind, dice in _dice_by_kind(summary)
        ]
        if not rows:
            return "## Metrics\n\nNone: the model folder has no validation/summary.json.\n"
        return (
            "## Metrics\n\nMean Dice of the structures on the validation cases of each fold, by kind of prompt.\n\n"
            f"| fold | prompts | Dice |\n|---|---|---|\n{''.join(rows)}"
        )


def licence_identifier(line: str) -> str:
    """The hub's identifier of a licence, "other" where it has none, or where several bind."""
    text = line.strip().lower()
    return next((key for key, form in IDENTIFIERS.items() if re.fullmatch(form, text)), "other")


def read_summaries(model: Path, folds: list[str]) -> dict[str, dict[str, Any]]:
    """validation/summary.json of those folds that have one. Raises `ModelError` for a damaged one."""
    paths = {fold: model / fold / "validation" / "summary.json" for fold in folds}
    return {fold: read_object(p, ModelError) for fold, p in paths.items() if p.is_file()}


def _dice_by_kind(summary: Mapping[str, Any]) -> list[tuple[str, float]]:
    kinds = summary.get("prompt_kinds") or {"none": summary}
    found = {
        str(k): v.get("foreground_mean", {}).get("Dice")
        for k, v in kinds.items()
        if isinstance(v, Mapping)
    }
    return [(kind, float(dice)) for kind, dice in found.items() if isinstance(dice, (int, float))]


def _yaml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_CITE: Final = (
    "## Cite\n\nIsensee et al., nnU-Net, Nature Methods 18 (2021), 203-211; Isensee et al., nnInteractive,"
    " arXiv:2503.08373 (2025); and the data that it was trained on.\n"
)
