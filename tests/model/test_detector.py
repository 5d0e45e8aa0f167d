"""The network against published figures: parameter counts, key lists, shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yolov12edge.errors import UsageError
from yolov12edge.model import SCALES, build_model

PUBLISHED_PARAMETERS = {
    ("v1", "n"): 2_602_288,
    ("v1", "s"): 9_284_096,
    ("v1", "m"): 20_199_168,
    ("v1", "l"): 26_450_784,
    ("v1", "x"): 59_210_784,
    ("turbo", "n"): 2_553_904,
    ("turbo", "s"): 9_127_424,
    ("turbo", "m"): 19_670_784,
    ("turbo", "l"): 26_506_496,
    ("turbo", "x"): 59_414_176,
}
KEY_LISTS = {"v1": "ultralytics", "turbo": "official_turbo"}


@pytest.mark.parametrize(("layout", "scale"), PUBLISHED_PARAMETERS)
def test_parameters_equal_the_published_count(layout: str, scale: str) -> None:
    with torch.device("meta"):
        model = build_model(scale, layout)
    assert model.num_parameters == PUBLISHED_PARAMETERS[layout, scale]


@pytest.mark.shared
@pytest.mark.parametrize(("layout", "scale"), PUBLISHED_PARAMETERS)
def test_state_dict_is_the_published_one(shared: Path, layout: str, scale: str) -> None:
    lines = (shared / f"reference/keys/keys_{KEY_LISTS[layout]}_{scale}.tsv").read_text()
    published = [tuple(line.split("\t")[:2]) for line in lines.splitlines()]
    with torch.device("meta"):
        state = build_model(scale, layout).state_dict()
    assert [(key, str(tuple(value.shape))) for key, value in state.items()] == published


@pytest.mark.parametrize("layout", ["v1", "turbo"])
@pytest.mark.parametrize("scale", SCALES)
def test_output_shapes_at_any_size_and_class_count(layout: str, scale: str) -> None:
    with torch.device("meta"):
        model = build_model(scale, layout, num_classes=7)
        levels = model.raw(torch.empty(2, 3, 96, 160))
        decoded = model(torch.empty(2, 3, 96, 160))
    assert [tuple(level.shape) for level in levels] == [
        (2, 71, 12, 20),
        (2, 71, 6, 10),
        (2, 71, 3, 5),
    ]
    assert decoded.shape == (2, 11, 315)


def test_input_must_be_a_multiple_of_32() -> None:
    with pytest.raises(UsageError, match="333x320"):
        build_model("n")(torch.zeros(1, 3, 333, 320))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"scale": "q"}, "unknown scale 'q'"),
        ({"scale": "n", "layout": "v2"}, "unknown layout 'v2'"),
        ({"scale": "n", "num_classes": 0}, "num_classes is 0"),
        ({"scale": "n", "num_classes": 2, "names": ["cat"]}, "1 class names for 2 classes"),
    ],
)
def test_nonsense_is_refused_by_name(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        build_model(**arguments)  # type: ignore[arg-type]


def test_fresh_head_expects_few_objects() -> None:
    torch.manual_seed(0)
    scores = build_model("n").eval()(torch.rand(1, 3, 64, 64))[:, 4:]
    assert scores.max() < 0.01
