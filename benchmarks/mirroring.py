"""Does it pay to mirror only where it matters? Four flips of a tile first, the other four only where these disagree.

    python benchmarks/mirroring.py MODEL IMAGES LABELS -n 12 --name hippocampus

The four are the corners of a tetrahedron among the eight flips of a tile: none, and each pair of axes. A tile in which
their masks are the same in every voxel (or in all but some) would not get the other four. Writes
benchmarks/results/mirroring.md and .json.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness
from harness import HeldOut, Record, header, held_out_lines, row

CORNERS = ((), (0, 1), (0, 2), (1, 2))
OTHERS = ((0,), (1,), (2,), (0, 1, 2))
ALLOWED = (0.0, 1e-4, 1e-3, 1e-2)  # share of a tile's voxels in which the corners may disagree


def main() -> int:
    """Measures and writes the table."""
    return harness.on_held_out(__doc__, Record("mirroring"), measure, report, cases=12)


def measure(model: Path, cases: Iterable[HeldOut]) -> dict[str, Any]:
    """By allowed disagreement the share of tiles that need four flips only, and the Dice of their masks with those of
    eight."""
    import torch

    predictor = harness.predictor(model)
    tiles, alone = 0, dict.fromkeys(ALLOWED, 0)
    both, either = dict.fromkeys(ALLOWED, 0), dict.fromkeys(ALLOWED, 0)
    with torch.inference_mode():
        for case in cases:
            for tile in tiles_of(predictor, case):
                corners, others = (flipped(predictor, tile, f) for f in (CORNERS, OTHERS))
                masks = corners > 0
                differs = float((masks != masks[:1]).any(0).any(0).float().mean())
                full = torch.cat([corners, others]).mean(0) > 0
                tiles += 1
                for most in ALLOWED:
                    found = corners.mean(0) > 0 if differs <= most else full
                    alone[most] += differs <= most
                    both[most] += int((found & full).sum())
                    either[most] += int(found.sum()) + int(full.sum())
    return {
        "tiles": tiles,
        "alone": {str(a): alone[a] / tiles for a in ALLOWED},
        "dice": {str(a): 2 * both[a] / either[a] if either[a] else 1.0 for a in ALLOWED},
    }


def tiles_of(predictor: Any, case: HeldOut) -> Iterable[Any]:
    """The tiles (1, C + 7, *tile) of the full window, without prompts."""
    import torch

    from nnunet_prompt.prompts.channels import N_PROMPT_CHANNELS
    from nnunet_prompt.sliding_window.tiles import Tiling

    image = predictor.place([case.image], whole=True).image
    for window in Tiling(image.shape, predictor.engine.patch_size).lattice():
        part = image.tile(window)
        empty = part.new_zeros((N_PROMPT_CHANNELS, *part.shape[1:]))
        yield torch.cat([part, empty])[None]


def flipped(predictor: Any, tile: Any, flips: Iterable[tuple[int, ...]]) -> Any:
    """The structures' logits (flips, K, *tile), turned back."""
    import torch

    from nnunet_prompt.sliding_window.forward import mean_logits

    found = []
    for flip in flips:
        axes = [a + 2 for a in flip]
        logits = mean_logits([predictor.engine.network], torch.flip(tile, axes))
        found.append(torch.flip(logits, axes)[0, 1:])
    return torch.stack(found)


def report(results: dict[str, Any]) -> str:
    """The table as Markdown."""
    lines = [
        "# Mirroring only where four flips disagree",
        "",
        "`python benchmarks/mirroring.py MODEL IMAGES LABELS`: without prompts, all tiles of the full window. A tile in"
        " which the masks of four flips agree in all voxels, or in all but the share in the first column, would not"
        " get the other four.",
    ]
    for name, result in results.items():
        lines += [*held_out_lines(name, result), f"{result['tiles']} tiles.", ""]
        lines += header("allowed", "tiles with four flips", "passes saved", "Dice with all eight")
        for most, share in result["alone"].items():
            lines.append(
                row(most, f"{share:.0%}", f"{share / 2:.0%}", f"{result['dice'][most]:.4f}")
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
