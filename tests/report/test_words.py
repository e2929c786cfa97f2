"""Every metric has words, also one that another package adds."""

from __future__ import annotations

from nnunet_prompt.report.words import main_metrics, metric_of, table_metrics
from tests.helpers.each import each


@each(
    "key, head, better",
    [
        ("dice", "Dice", "high"),
        ("hd95_mm", "HD95 (mm)", "low"),
        ("volume_error", "Volume error (%)", "zero"),
        ("nsd_2mm", "NSD at 2 mm", "high"),
        ("nsd_1.5_mm", "NSD at 1.5 mm", "high"),
        ("nsd_mm", "NSD", "high"),
        ("surface_dice_3mm", "NSD at 3 mm", "high"),
        ("deviation_mm", "Deviation (mm)", "low"),
        ("volume_error_ml", "Volume error (ml)", "zero"),
        ("false_positives", "False positives", "low"),
        ("my_metric", "My metric", "high"),
    ],
)
def test_words_of_a_key(key: str, head: str, better: str) -> None:
    metric = metric_of(key)
    assert (metric.head, metric.better, metric.key) == (head, better, key)


def test_values_in_words() -> None:
    assert metric_of("dice").text(0.91249) == "0.912"
    assert metric_of("dice").text(None) == "–"
    assert metric_of("volume_error").text(-0.0234) == "−2.3"
    assert metric_of("volume_error").text(0.1) == "+10.0"
    assert metric_of("hd95_mm").text(-1.25, signed=True) == "−1.2"


def test_axes_state_unit_and_direction() -> None:
    assert metric_of("hd_mm").axis == "HD in mm (lower is better)"
    assert metric_of("dice").axis == "Dice (higher is better)"


def test_charts_are_of_the_main_metrics() -> None:
    keys = ["dice", "hd_mm", "hd95_mm", "assd_mm", "nsd_2mm", "nsd_3mm", "volume_error", "own"]
    assert [m.key for m in main_metrics(keys)] == ["dice", "hd95_mm", "nsd_2mm", "volume_error"]
    assert [m.key for m in main_metrics(["own", "other"])] == ["own"]
    assert main_metrics([]) == []


def test_tables_have_the_usual_metrics_where_there_are_many() -> None:
    few = [metric_of(key) for key in ("dice", "hd_mm", "nsd_1mm", "volume_ml")]
    assert table_metrics(few) == few
    keys = ["dice", "hd_mm", "hd95_mm", "assd_mm", "volume_error", "sensitivity", "volume_ml"]
    keys += ["nsd_1mm", "nsd_2mm", "nsd_3mm", "lesion_f1", "lesions", "of_a_plug_in"]
    found = [metric.key for metric in table_metrics(map(metric_of, keys))]
    assert found == [
        *("dice", "hd95_mm", "assd_mm", "volume_error", "sensitivity"),
        *("nsd_2mm", "lesion_f1", "of_a_plug_in"),
    ]
