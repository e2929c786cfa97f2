"""How often training draws which kind of prompt, and how cleanly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnunet_prompt.prompts.simulate import KINDS, Kind, SimulationOptions


@dataclass(frozen=True, slots=True)
class PromptMixture:
    """Weights of the kinds of prompts, and the noise they are drawn with.

    The five weights need not sum to one; `continued` is that of the kind "continue": a part of the mask that enters at
    the border of the patch, what a tile sees where an object grows into it. Of the slices and volumes, `p_box_only`
    have boxes alone, `p_points_only` points alone, the rest both. `p_jitter` of the patches move their prompts by up to
    `max_jitter` voxels either way, `p_sparse` leave out up to half of the slices, `p_wrong` is the share of patches
    with a misplaced point here and there, and `p_negatives` that of patches that carry points of the other structures.
    `p_component` picks one connected component of the target, `p_union` the union of two structures, instead of one
    whole structure. In `p_hide` of the prompted patches the structures that are pointed at are unknown to their own
    heads, which else may learn to read the prompts; off, because in short trainings it costs the boxes more than it
    gives.
    """

    slices: float = 0.56
    volume: float = 0.02
    mask: float = 0.07
    continued: float = 0.03
    none: float = 0.32
    p_box_only: float = 0.2
    p_points_only: float = 0.2
    p_jitter: float = 0.25
    max_jitter: int = 2
    p_sparse: float = 0.1
    p_wrong: float = 0.05
    p_negatives: float = 0.7
    p_component: float = 0.02
    p_union: float = 0.02
    p_hide: float = 0.0
    max_points: int = 5

    def draw_kind(self, rng: np.random.Generator) -> Kind:
        """One kind, by its weight."""
        weights = np.array([self.slices, self.volume, self.mask, self.continued, self.none])
        return KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))]

    def draw_options(self, rng: np.random.Generator, *, slice_axis: int = 0) -> SimulationOptions:
        """The noise of one patch."""
        form = rng.random()
        jitter = int(rng.integers(1, self.max_jitter + 1)) if rng.random() < self.p_jitter else 0
        return SimulationOptions(
            boxes=form >= self.p_points_only,
            points=not self.p_points_only <= form < self.p_points_only + self.p_box_only,
            max_points=self.max_points,
            jitter=jitter,
            p_drop=float(rng.uniform(0, 0.5)) if rng.random() < self.p_sparse else 0.0,
            p_wrong=0.1 if rng.random() < self.p_wrong else 0.0,
            p_negatives=1.0 if rng.random() < self.p_negatives else 0.0,
            slice_axis=slice_axis,
        )
