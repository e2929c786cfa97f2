"""How often training shows which kind of prompt, and how cleanly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnunet_prompt.prompts.options import Kind, SimulationOptions


def takes_turn(sample: int, share: float) -> bool:
    """Whether the sample of this running number, from 0, is one of a share: evenly spread, without chance."""
    return int((sample + 1) * share) > int(sample * share)


@dataclass(frozen=True, slots=True)
class PromptMixture:
    """Shares and weights of the kinds of prompts, and the noise they are drawn with. `p_` are probabilities.

    promptless: share of the samples that are shown no prompt and train the structure heads
    prompts_after: iterations at the beginning in which all samples are such ones (0: it costs points and masks more
        than it brings, see benchmarks/results/mixtures.md)
    few, slices, scribbles, mask, continued: weights of the kinds among the prompted samples (see `prompts.simulate`;
        `continued` is the kind "continue")
    p_box_only, p_points_only: of the kinds "few" and "slices" have boxes alone, or points alone
    p_jitter, max_jitter: prompts are moved by up to so many voxels either way
    p_displaced: they are moved by up to three times as many
    p_sparse: up to half of the slices have no prompt
    p_wrong: a misplaced point here and there, or a negative one inside the object
    p_negatives: points and strokes of the other structures serve as negatives
    p_beyond: these also lie in slices that do not show the object
    p_negative_area: the other structures are forbidden by negative boxes or a negative mask
    p_beside: a mask that is continued has prompts beside it
    p_disturb: a rough mask is shifted, eroded or dilated as a whole in addition
    p_component, p_union: the object is one connected component, or the union of two structures
    hide: heads of structures that are pointed at do not learn from that sample; else they learn to copy prompts
    refine: share of the iterations in which the network's own mask and clicks on its errors are shown
    refine_after: iterations before that begins: early masks are wrong everywhere, and short trainings have no time
    max_rounds: of these, at most
    max_points: of a slice, or of few clicks
    """

    promptless: float = 0.5
    prompts_after: int = 0
    few: float = 0.2
    slices: float = 0.7
    scribbles: float = 0.03
    mask: float = 0.05
    continued: float = 0.02
    p_box_only: float = 0.2
    p_points_only: float = 0.2
    p_jitter: float = 0.15
    max_jitter: int = 2
    p_displaced: float = 0.02
    p_sparse: float = 0.06
    p_wrong: float = 0.03
    p_negatives: float = 0.7
    p_beyond: float = 0.3
    p_negative_area: float = 0.08
    p_beside: float = 0.4
    p_disturb: float = 0.3
    p_component: float = 0.02
    p_union: float = 0.02
    hide: bool = True
    refine: float = 0.2
    refine_after: int = 1000
    max_rounds: int = 3
    max_points: int = 5

    def is_promptless(self, sample: int, iteration: int | None = None) -> bool:
        """Whether the sample of this running number is shown no prompt: evenly spread, without chance.

        `iteration` is how far the training is, None that this does not matter.
        """
        if iteration is not None and iteration < self.prompts_after:
            return True
        return takes_turn(sample, self.promptless)

    def refine_share(self, iteration: int) -> float:
        """The chance that the network's own mask is corrected in an iteration, counted from 0."""
        return self.refine if iteration >= self.refine_after else 0.0

    def draw_kind(self, rng: np.random.Generator) -> Kind:
        """One kind of a prompted sample, by its weight."""
        weights: dict[Kind, float] = {
            "few": self.few,
            "slices": self.slices,
            "scribbles": self.scribbles,
            "mask": self.mask,
            "continue": self.continued,
        }
        total = np.array(list(weights.values()))
        return list(weights)[int(rng.choice(len(weights), p=total / total.sum()))]

    def draw_options(self, rng: np.random.Generator, *, slice_axis: int = 0) -> SimulationOptions:
        """The noise of one patch."""
        form = rng.random()
        jitter = int(rng.integers(1, self.max_jitter + 1)) if rng.random() < self.p_jitter else 0
        jitter *= 3 if rng.random() < self.p_displaced else 1
        return SimulationOptions(
            boxes=form >= self.p_points_only,
            points=not self.p_points_only <= form < self.p_points_only + self.p_box_only,
            scribbles=self.scribbles > 0,
            max_points=self.max_points,
            jitter=jitter,
            p_drop=float(rng.uniform(0, 0.5)) if rng.random() < self.p_sparse else 0.0,
            p_wrong=0.1 if rng.random() < self.p_wrong else 0.0,
            p_negatives=1.0 if rng.random() < self.p_negatives else 0.0,
            p_beyond=self.p_beyond,
            p_negative_area=self.p_negative_area,
            p_beside=self.p_beside,
            p_disturb=self.p_disturb,
            p_satisfied=self.p_wrong,
            p_contradict=self.p_wrong * 0.1,
            slice_axis=slice_axis,
        )

    def channels(self) -> tuple[bool, ...]:
        """Whether training ever fills each of the seven prompt channels."""
        if self.promptless >= 1:
            return (False,) * 7
        beside = self.continued * self.p_beside
        drawn = self.few + self.slices
        refined, clicked = self.refine > 0, self.mask > 0 or self.refine > 0
        boxes = (drawn + beside) * (1 - self.p_points_only) > 0
        points = (drawn + beside) * (1 - self.p_box_only) > 0
        strokes = self.scribbles > 0
        return (
            self.mask + self.continued > 0 or refined,
            boxes,
            self.p_negative_area > 0,
            points or clicked or beside > 0,
            (points and self.p_negatives + self.p_wrong > 0) or clicked,
            strokes,
            strokes and (self.p_negatives > 0 or refined),
        )

    def as_dict(self) -> dict[str, Any]:
        """For the log and the capability file."""
        return asdict(self)
