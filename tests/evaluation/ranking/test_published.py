"""The order of the rows and the values are those of the organisers' pages."""

from __future__ import annotations

from nnunet_prompt.evaluation.ranking.published import published, published_in
from nnunet_prompt.evaluation.ranking.scheme import BOARDS
from tests.helpers.each import each

Rows = list[tuple[str, float, float]]


def _rows(scheme: str, table: str, *, alternative: bool = False) -> Rows:
    rows = published_in(scheme, table)
    return [(r.team, r.dice, r.hd_mm) for r in rows if r.alternative is alternative]


@each(
    ("table", "order"),
    [
        ("Lb1", ["Space", "Med-AIR", "Cemrg", "Xcare2025", "Qipeng Su"]),
        ("Lb2", ["Space", "Med-AIR", "Qipeng Su", "Xcare2025", "Cemrg"]),
        ("Lb3", ["Med-AIR", "Space", "Cemrg", "Xcare2025", "Qipeng Su"]),
        ("Lb4", ["Med-AIR", "Cemrg", "Space", "Qipeng Su", "Xcare2025"]),
        ("Lb5", ["Med-AIR", "Space", "Qipeng Su", "Xcare2025", "Cemrg"]),
        ("Lb6", ["Med-AIR", "Space", "Cemrg", "Qipeng Su", "Xcare2025"]),
    ],
)
def test_the_order_of_care_cardiac(table: str, order: list[str]) -> None:
    assert [team for team, _, _ in _rows("care-cardiac", table)] == order


@each(
    ("scheme", "table", "best"),
    [
        ("care-cardiac", "Lb1", ("Space", 0.9392, 15.8789)),
        ("care-cardiac", "Lb2", ("Space", 0.7777, 37.0773)),
        ("care-cardiac", "Lb3", ("Med-AIR", 0.9088, 13.6256)),
        ("care-cardiac", "Lb4", ("Med-AIR", 0.9261, 10.4423)),
        ("care-cardiac", "Lb5", ("Med-AIR", 0.6709, 16.9396)),
        ("care-cardiac", "Lb6", ("Med-AIR", 0.7613, 12.6665)),
        ("care-myops", "Lb1", ("fpt", 0.4933, 28.796)),
        ("care-myops", "Lb2", ("king", 0.7387, 13.5691)),
        ("care-myops", "Lb3", ("ZXN", 0.6499, 31.8488)),
        ("care-myops", "Lb4", ("king", 0.7585, 14.7051)),
        ("care-whs", "Lb1", ("wei_yuan", 0.941, 12.5151)),
        ("care-whs", "Lb2", ("wei_yuan", 0.974, 11.6691)),
        ("care-whs", "Lb3", ("wei_yuan", 0.8992, 24.7081)),
        ("care-whs", "Lb4", ("huangzh", 0.8969, 20.7411)),
    ],
)
def test_the_best_of_each_table(scheme: str, table: str, best: tuple[str, float, float]) -> None:
    assert _rows(scheme, table)[0] == best


@each(
    ("table", "team", "hd_mm"),
    [("Lb1", "Med-AIR", 13.7725), ("Lb2", "Qipeng Su", 28.2984), ("Lb5", "Med-AIR", 16.9396)],
)
def test_the_best_distances_of_care_cardiac(table: str, team: str, hd_mm: float) -> None:
    found = min(_rows("care-cardiac", table), key=lambda row: row[2])
    assert (found[0], found[2]) == (team, hd_mm)


def test_where_the_pages_disagree_both_are_there() -> None:
    other = {t: _rows("care-cardiac", t, alternative=True) for t in ("Lb1", "Lb4", "Lb6")}
    assert other == {
        "Lb1": [],
        "Lb4": [("Space", 0.8704, 20.0847), ("Xcare2025", 0.6745, 58.5886)],
        "Lb6": [("Med-AIR", 0.7729, 12.0632)],
    }
    swapped = ("Lb2", "Lb1", "Lb4", "Lb3")
    for table, twin in zip(("Lb1", "Lb2", "Lb3", "Lb4"), swapped, strict=True):
        found = _rows("care-myops", table, alternative=True)
        assert found == _rows("care-myops", twin) and len(found) == 8


def test_each_row_has_a_page_and_a_table() -> None:
    tables = {(scheme, board.name) for scheme, boards in BOARDS.items() for board in boards}
    assert {(row.scheme, row.table) for row in published()} == tables
    assert all("care_2025_pages:_pages/" in row.page for row in published())
    assert all(0 < row.dice < 1 < row.hd_mm for row in published())
    keys = [(row.scheme, row.table, row.team, row.alternative) for row in published()]
    assert len(set(keys)) == len(keys)
