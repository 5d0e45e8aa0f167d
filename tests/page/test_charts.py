"""Charts: drawn to scale, whole, and safe to put into a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.page.pages import ReadPage
from yolov12edge.page import Chart, Page, Section, Verdict, render_page
from yolov12edge.page.charts import (
    Bar,
    BlockTraffic,
    LatencyRange,
    block_traffic,
    class_bars,
    latency_ranges,
)

pytest.importorskip("matplotlib")
SVG = "{http://www.w3.org/2000/svg}"


def widths(svg: str, color: str) -> list[float]:
    """Of all filled shapes of one colour, in the order they are drawn."""
    found = []
    for path in ElementTree.fromstring(svg).iter(SVG + "path"):
        if f"fill: var(--{color})" in path.get("style", ""):
            across = [float(x) for x in re.findall(r"[ML] (\S+) ", path.get("d", "") + " ")]
            found.append(max(across) - min(across))
    return found


def test_bars_are_as_long_as_their_values() -> None:
    svg = class_bars([Bar("a", 0.8, 0.4), Bar("b", 0.2, 1.0)], "checkpoint", "artifact")
    # The last of each colour is its sample in the legend.
    one, two, _ = widths(svg, "first")
    three, four, _ = widths(svg, "second")
    unit = one / 0.8
    assert [two / unit, three / unit, four / unit] == pytest.approx([0.2, 0.4, 1.0], rel=1e-3)


def test_medians_are_written_and_names_are_kept() -> None:
    svg = latency_ranges(
        [LatencyRange("checkpoint", 3, 4.125, 5, 9), LatencyRange("model.onnx", 1, 2, 2, 3)]
    )
    words = [element.text for element in ElementTree.fromstring(svg).iter(SVG + "text")]
    assert {"checkpoint", "model.onnx", "4.12", "2.00", "ms a call"} <= set(words)


def test_what_is_moved_stands_behind_what_is_computed() -> None:
    svg = block_traffic([BlockTraffic("model.6", 20, 10, "4 of 4 fused"), BlockTraffic("b", 5, 0)])
    computed, shorter, _ = widths(svg, "first")
    moved, nothing, _ = widths(svg, "second")
    assert [moved / computed, shorter / computed] == pytest.approx([0.5, 0.25], rel=1e-3)
    assert nothing == 0
    words = [element.text for element in ElementTree.fromstring(svg).iter(SVG + "text")]
    assert {"model.6", "4 of 4 fused", "MB touched by one inference"} <= set(words)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0, 1e300, None])
def test_any_number_is_drawn(value: float | None) -> None:
    ElementTree.fromstring(class_bars([Bar("a", value, value)], "x", "y"))
    length = value or 0.0
    ElementTree.fromstring(block_traffic([BlockTraffic("a", length, length)]))
    ElementTree.fromstring(latency_ranges([LatencyRange("a", length, length, length, length)]))


def test_hostile_names_stay_names() -> None:
    names = ["<script>x</script>", "$\\frac{", "犬\u202e", "a\nb\x00", "x" * 500]
    svg = class_bars([Bar(name, 0.5, 0.5) for name in names], names[0], names[1])
    ranges = latency_ranges([LatencyRange(name, 1, 2, 3, 4) for name in names])
    ElementTree.fromstring(svg)
    words = [element.text for element in ElementTree.fromstring(svg).iter(SVG + "text")]
    assert {"<script>x</script>", "$\\frac{", "a?b?"} <= set(words)
    section = Section("charts", "Charts", (Chart(svg, "one"), Chart(ranges, "two")))
    ReadPage(render_page(Page("", "", Verdict("", "", ""), (section,), ""))).assert_harmless()


def test_the_same_figures_give_the_same_drawing() -> None:
    bars = [Bar("a", 0.5, 0.25)]
    assert class_bars(bars, "x", "y") == class_bars(bars, "x", "y")
    assert "#0" not in class_bars(bars, "x", "y")
