from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from nnunet_prompt.cli.demo.picture import Row, draw_picture
from nnunet_prompt.common.figures import figure_style
from nnunet_prompt.evaluation.interact.summary import draw_curves
from nnunet_prompt.evaluation.reliability import draw_reliability
from nnunet_prompt.report.charts import curves
from nnunet_prompt.training.logger import PromptLogger

LARGE = {
    "font.size": 40.0,
    "axes.labelsize": 40.0,
    "axes.facecolor": "#eaeaf2",
    "lines.linewidth": 9.0,
}
CALIBRATION = {
    "structures": {
        "1": {
            "name": "scar",
            "n": 3,
            "ece": 0.1,
            "table": [
                {"voxels": 5, "probability": 0.2, "reference": 0.3},
                {"voxels": 5, "probability": 0.8, "reference": 0.7},
            ],
        }
    }
}
POINTS = [{"interaction": n, "dice": 0.5 + n / 10, "nsd": 0.4} for n in range(3)]
SUMMARY = {"labels": {"1": {"curve": POINTS, "n": 3}}, "all": {"curve": POINTS, "n": 3}}


def drawn(folder: Path) -> list[bytes]:
    folder.mkdir()
    draw_reliability(CALIBRATION, folder / "reliability.png")
    draw_curves(SUMMARY, {1: "scar"}, folder / "curves.png")
    empty = np.zeros((3, 4), np.uint8)
    row = Row("Case1", np.zeros((3, 4), np.float32), {}, empty, empty, empty, aspect=1.0)
    draw_picture([row], {1: "scar"}, folder / "picture.png", caption="A caption.")
    logger = PromptLogger()
    for key in logger.my_fantastic_logging:
        logger.log(key, 0.5, 0)
    logger.plot_progress_png(str(folder))
    chart = curves({"rate": [0.3, 0.2]}, name="c", title="Rate", label="rate").svg
    return [*(path.read_bytes() for path in sorted(folder.iterdir())), chart.encode()]


def test_figures_are_the_same_whatever_the_process_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(tmp_path / "before")
    for key, value in LARGE.items():
        monkeypatch.setitem(mpl.rcParams, key, value)
    assert drawn(tmp_path / "after") == before
    assert mpl.rcParams["font.size"] == 40.0


def test_settings_hold_within_the_block_alone() -> None:
    outside = mpl.rcParams["font.size"]
    with figure_style({"font.size": 33.0}):
        assert mpl.rcParams["font.size"] == 33.0
    assert mpl.rcParams["font.size"] == outside
