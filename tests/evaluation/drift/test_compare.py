"""Tables of predict --monitor, read and compared site by site."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nnunet_prompt.cli.main import main
from nnunet_prompt.common.errors import NNUNetPromptError
from nnunet_prompt.evaluation.drift.compare import DriftOptions, compare, write_drift
from nnunet_prompt.evaluation.drift.table import read_monitored
from nnunet_prompt.inference.monitor import append_rows
from tests.helpers.each import each
from tests.helpers.schemas import check_form

pytestmark = pytest.mark.slow


def _table(
    path: Path, n: int, seed: int, *, shift: float = 0.0, start: int = 0, gain: float = 1.0
) -> Path:
    """A table of two structures and image features; entropy of LV is shifted, intensities are multiplied."""
    rng = np.random.default_rng(seed)
    for k in range(start, start + n):
        low = 10 * gain
        about = {f"intensity_p{q:02d}": gain * (10 + q + rng.normal()) for q in (25, 50, 75, 95)}
        shared = {"case": f"c{k:03d}", "intensity_p05": low, "seconds": 1 + seed, **about}
        append_rows(
            path,
            [
                {
                    **shared,
                    "structure": "LV",
                    "volume_ml": rng.normal(100, 9),
                    "entropy": 0.2 + 0.05 * rng.normal() + shift,
                },
                {
                    **shared,
                    "structure": "RV",
                    "volume_ml": rng.normal(90, 9),
                    "entropy": 0.2 + 0.05 * rng.normal(),
                },
            ],
        )
    return path


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = read_monitored(_table(tmp_path / "a.csv", 3, 0, gain=2.0))
    assert table.cases == ("c000", "c001", "c002")
    assert "seconds" not in table.features
    assert {"LV: volume_ml", "RV: entropy", "intensity_p95", "intensity_p50, relative"} <= set(
        table.features
    )
    column = table.features.index("intensity_p05")
    assert table.values[:, column].tolist() == [20.0] * 3


def test_the_last_rows_of_a_case_count_and_a_cut_line_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for volume in (1.0, 2.0):
        append_rows(path, [{"case": "a", "structure": "LV", "volume_ml": volume}])
    with path.open("a") as file:
        file.write("b,LV,3")
    table = read_monitored(path)
    assert table.cases == ("a",)
    assert table.values.tolist() == [[2.0]]


def test_thickness_is_compared_with_the_size_of_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        {"case": "a", "structure": name, "volume_ml": 4.0, "thickness_mm": thickness}
        for name, thickness in (("LV", 10.0), ("RV", 5.0))
    ]
    append_rows(path, rows)
    table = read_monitored(path)
    found = dict(zip(table.features, table.values[0], strict=True))
    assert found["LV: relative thickness"] == pytest.approx(0.5)  # 8 ml are a cube of 20 mm
    assert found["RV: relative thickness"] == pytest.approx(0.25)


def test_the_level_of_a_look() -> None:
    assert DriftOptions().level == 0.01
    assert DriftOptions(alpha=0.05).level == pytest.approx(0.0005)
    assert DriftOptions(looks=1).level == 0.05
    with pytest.raises(NNUNetPromptError, match="above 0 and up to 1, found 20, 100 and 2"):
        DriftOptions(alpha=2)


def test_drift_is_seen_where_it_is(tmp_path: Path) -> None:
    reference = read_monitored(_table(tmp_path / "r.csv", 80, 0))
    path = _table(tmp_path / "n.csv", 40, 1)
    groups = {
        f"c{k:03d}": {"centre": "good" if k < 40 else "bad" if k < 80 else "tiny"}
        for k in range(83)
    }
    _table(path, 40, 2, shift=0.2, start=40)
    _table(path, 3, 3, start=80)
    result = compare(reference, read_monitored(path, groups), DriftOptions(by="centre"))
    assert [one["alarm"] for one in result["sites"]["good"]["looks"]] == [False, False]
    bad = result["sites"]["bad"]["looks"]
    assert [one["alarm"] for one in bad] == [True, True]
    assert bad[0]["severity"] == "severe"
    assert bad[0]["features"][0]["name"] == "LV: entropy"
    assert bad[0]["features"][0]["shift_in_sd"] > 2
    assert (bad[0]["first"], bad[1]["last"]) == ("c040", "c079")
    assert result["without"] == {"tiny": "batch: 3 case(s), expected at least 5"}


def test_a_site_is_compared_with_itself(tmp_path: Path) -> None:
    """A site whose scanner has another gain drifts from the others, and from its own cases only when it changes."""
    path = _table(tmp_path / "r.csv", 40, 0)
    _table(path, 40, 1, gain=3.0, start=40)
    groups = {f"c{k:03d}": {"centre": "A" if k < 40 else "B"} for k in range(100)}
    new = _table(tmp_path / "n.csv", 20, 2, gain=3.0, start=40)
    tables = read_monitored(path, groups), read_monitored(new, groups)
    for reference, alarm in (("global", True), ("site", False), ("adaptive", False)):
        found = compare(*tables, DriftOptions(by="centre", reference=reference))  # type: ignore[arg-type]
        (look,) = found["sites"]["B"]["looks"]
        assert look["alarm"] is alarm, reference


def test_an_adaptive_reference_grows_by_batches_without_alarm(tmp_path: Path) -> None:
    reference = read_monitored(_table(tmp_path / "r.csv", 20, 0))
    new = read_monitored(_table(tmp_path / "n.csv", 60, 1))
    sizes = []

    def spy(rows: np.ndarray, *args: object, **kwargs: object) -> object:
        sizes.append(len(rows))
        return real(rows, *args, **kwargs)  # type: ignore[arg-type]

    from nnunet_prompt.evaluation.drift import compare as module

    real = module.look
    module.look = spy  # type: ignore[assignment]
    try:
        compare(reference, new, DriftOptions(reference="adaptive"))
    finally:
        module.look = real
    assert sizes == [20, 40, 60]


@each(
    ("options", "message"),
    [
        ({"by": "vendor"}, "--by vendor: no such column"),
        ({"looks": 1}, "2 looks in this table, planned were 1"),
    ],
)
def test_what_cannot_be_compared(options: dict[str, object], message: str, tmp_path: Path) -> None:
    table = read_monitored(_table(tmp_path / "a.csv", 40, 0))
    with pytest.raises(NNUNetPromptError, match=message):
        compare(table, table, DriftOptions(**options))  # type: ignore[arg-type]


@each("text", ["", "a,b\n1,2\n", "case,structure,volume_ml\n"])
def test_what_is_no_table(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(NNUNetPromptError, match=r"a\.csv: expected rows with case, structure"):
        read_monitored(tmp_path / "a.csv")


def test_the_verb_writes_numbers_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = _table(tmp_path / "r.csv", 40, 0)
    new = _table(tmp_path / "n.csv", 20, 1, shift=0.3)
    (tmp_path / "g.csv").write_text("case,centre\n" + "".join(f"c{k:03d},<A>\n" for k in range(40)))
    files = ["-o", str(tmp_path / "d.json"), "--html", str(tmp_path / "d.html")]
    sites = ["--by", "centre", "--groups", str(tmp_path / "g.csv")]
    assert main(["drift", str(reference), str(new), *sites, *files]) == 0
    assert "<A>, look 1 (c000 to c019): p = 0.0005, ALARM, severe" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "d.json").read_text())["sites"]["<A>"]["looks"][0]["alarm"] is True
    )
    check_form("drift", tmp_path / "d.json")
    page = (tmp_path / "d.html").read_text()
    assert "1 of 1 looks raise an alarm. In 100 planned looks at most 1" in page
    assert "LV: entropy" in page
    assert "&lt;A&gt;" in page and "<A>" not in page
    assert main(["drift", str(reference), str(new), "-o", str(new)]) == 1
    assert "is the input" in capsys.readouterr().err


def test_a_feature_that_a_batch_has_not_is_null_in_the_file(tmp_path: Path) -> None:
    for name, known in (("r.csv", 20), ("n.csv", 10)):
        for k in range(20):
            entropy = 0.2 + k / 100 if k < known else ""
            row = {"case": f"c{k}", "structure": "LV", "volume_ml": 90 + k, "entropy": entropy}
            append_rows(tmp_path / name, [row])
    reference, new = read_monitored(tmp_path / "r.csv"), read_monitored(tmp_path / "n.csv")
    write_drift(compare(reference, new, DriftOptions(batch=10)), tmp_path / "d.json")
    check_form("drift", tmp_path / "d.json")
    looks = json.loads((tmp_path / "d.json").read_text())["sites"]["all"]["looks"]
    found = [next(f["new"] for f in one["features"] if f["name"] == "LV: entropy") for one in looks]
    assert found == [pytest.approx(0.245), None]
