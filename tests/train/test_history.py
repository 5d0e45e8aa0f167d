"""What each epoch gave: as CSV, as a picture, and for TensorBoard."""

from __future__ import annotations

import csv
import sys
import types
from pathlib import Path

import cv2
import pytest

from yolov12edge.errors import CheckpointError
from yolov12edge.train.curves import draw_curves
from yolov12edge.train.history import EpochRow, Evaluation, read_history, write_history
from yolov12edge.train.tensorboard import open_board

NAMES = ('disc, "round"', "Würfel")


def rows(count: int) -> list[EpochRow]:
    """Every second epoch is evaluated; one class has no objects."""
    return [
        EpochRow(
            epoch=number,
            seconds=1.25,
            images_per_second=8.5,
            updates=3 * number,
            lr=0.001 / number,
            box=1 / number,
            cls=2 / number,
            dfl=3 / number,
            evaluation=None
            if number % 2
            else Evaluation(0.25, 0.5, {NAMES[0]: 0.25, NAMES[1]: None}),
        )
        for number in range(1, count + 1)
    ]


def test_rows_come_back_and_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_history(path, rows(5), NAMES)
    with path.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [line["epoch"] for line in table] == ["1", "2", "3", "4", "5"]
    assert [line["map"] for line in table] == ["", "0.250000", "", "0.250000", ""]
    assert table[1][f"map_{NAMES[0]}"] == "0.250000"
    assert table[1][f"map_{NAMES[1]}"] == ""
    for kept in (0, 3, 5):
        again = read_history(path, kept, NAMES)
        write_history(tmp_path / "again.csv", again, NAMES)
        whole = path.read_text(encoding="utf-8").splitlines()
        assert (tmp_path / "again.csv").read_text(encoding="utf-8").splitlines() == whole[
            : kept + 1
        ]


@pytest.mark.parametrize("damage", ["", "epoch\n", "epoch,seconds\n1,x\n", None])
def test_a_damaged_table_is_told(tmp_path: Path, damage: str | None) -> None:
    path = tmp_path / "results.csv"
    if damage is not None:
        path.write_text(damage)
    with pytest.raises(CheckpointError, match=r"results\.csv"):
        read_history(path, 1, NAMES)
    assert read_history(path, 0, NAMES) == []


@pytest.mark.parametrize("count", [1, 5])
def test_curves_are_a_picture(tmp_path: Path, count: int) -> None:
    draw_curves(tmp_path / "curves.png", rows(count))
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert picture.shape[1] > 2 * picture.shape[0] > 400
    # The three panels have three frames and lines in them: not a white sheet.
    for panel in (picture[:, :400], picture[:, 450:850], picture[:, 900:]):
        assert 0.005 < (panel < 200).any(axis=2).mean() < 0.3


def test_tensorboard_is_fed_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            taken.append((name, value, step))

        def flush(self) -> None: ...

        def close(self) -> None:
            taken.append(("closed", 0, 0))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with open_board(tmp_path, wanted=True) as board:
        for row in rows(2):
            board.add(row)
    assert ("loss/box", 0.5, 2) in taken
    assert ("map/50-95", 0.25, 2) in taken
    assert (f"map/{NAMES[1]}", 0, 2) in taken
    assert [step for name, _, step in taken if name == "map/50"] == [2]
    assert taken[-1][0] == "closed"
    taken.clear()
    with open_board(tmp_path, wanted=False) as board:
        board.add(rows(1)[0])
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with open_board(tmp_path, wanted=True) as board:
        board.add(rows(1)[0])
    assert taken == []
