"""Charts as SVG that takes the page's own colours and letters; matplotlib draws them."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INSTALL = 'pip install "yolov12edge[train]"'

# matplotlib wants colours, the page decides them: by daylight, by night and on paper.
_COLORS = {
    "#010101": "ink",
    "#020202": "faint",
    "#030303": "rule",
    "#040404": "first",
    "#050505": "second",
}
_INK, _FAINT, _RULE, _FIRST, _SECOND = _COLORS
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _FAINT,
    "axes.edgecolor": _RULE,
    "xtick.color": _FAINT,
    "ytick.color": _RULE,
    "ytick.labelcolor": _INK,
    "grid.color": _RULE,
}
_WIDTH = 7.2
_LONGEST_NAME = 24
_LONGEST_TIME = 1e7
_MOST_MEGABYTES = 1e7


@dataclass(frozen=True)
class Bar:
    """A class with its average precisions, 0..1; None where there is none."""

    name: str
    reference: float | None
    artifact: float | None


@dataclass(frozen=True)
class LatencyRange:
    """An artifact with its latencies in ms."""

    name: str
    least: float
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class BlockTraffic:
    """A block of a network with the MB that its kernels touch, and a mark to write behind it."""

    name: str
    computed: float
    moved: float
    mark: str = ""


@dataclass(frozen=True)
class LayerLosses:
    """A layer with what its activations and its weights lose in INT8, before and after."""

    name: str
    before: tuple[float, float]
    after: tuple[float, float]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def class_bars(bars: Sequence[Bar], reference: str, artifact: str) -> str:
    """Two bars a class, from 0 to 1; `reference` and `artifact` name them in the legend."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(bars))
        for label, color, shift, values in (
            (reference, _FIRST, -0.19, [bar.reference for bar in bars]),
            (artifact, _SECOND, 0.19, [bar.artifact for bar in bars]),
        ):
            lengths = [_limited(value, 1.0) for value in values]
            axes.barh(places + shift, lengths, 0.36, color=color, label=label)
        axes.set_xlim(0, 1)
        axes.set_xlabel("AP50-95")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)

    return _draw([bar.name for bar in bars], 0.36, draw)


def latency_ranges(ranges: Sequence[LatencyRange]) -> str:
    """A line an artifact from its least to its 99th percentile, with median and 90th marked."""

    def draw(axes: Axes) -> None:
        for place, one in enumerate(ranges):
            least, p50, p90, p99 = (
                _limited(value, _LONGEST_TIME) for value in (one.least, one.p50, one.p90, one.p99)
            )
            axes.plot([least, p99], [place, place], color=_FIRST, linewidth=1.5)
            axes.plot([p50, p90], [place, place], color=_FIRST, linewidth=6)
            axes.plot([p50], [place], "o", color=_SECOND, markersize=7)
            axes.annotate(
                f"{p50:.2f}", (p50, place), (0, 8), textcoords="offset points", ha="center"
            )
        axes.set_xlim(left=0)
        axes.set_xlabel("ms a call")

    return _draw([one.name for one in ranges], 0.5, draw)


def block_traffic(blocks: Sequence[BlockTraffic]) -> str:
    """A bar a block: what computing kernels touch, and behind it what is moved only."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(blocks))
        computed = np.array([_limited(block.computed, _MOST_MEGABYTES) for block in blocks])
        moved = np.array([_limited(block.moved, _MOST_MEGABYTES) for block in blocks])
        axes.barh(places, computed, 0.7, color=_FIRST, label="computed")
        axes.barh(places, moved, 0.7, left=computed, color=_SECOND, label="moved")
        for place, block in enumerate(blocks):
            end = (computed[place] + moved[place], place)
            axes.annotate(block.mark, end, (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, max(1.25 * float((computed + moved).max(initial=0)), 0.1))
        axes.set_xlabel("MB touched by one inference")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)

    return _draw([block.name for block in blocks], 0.22, draw)


def layer_losses(layers: Sequence[LayerLosses]) -> str:
    """Two bars a layer, before and after: what activations lose, and behind it what weights do."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(layers))
        for when, offset, alpha in (("before", -0.2, 0.4), ("after", 0.2, 1.0)):
            pairs = [getattr(layer, when) for layer in layers]
            first = np.array([_limited(activations, 1.0) for activations, _ in pairs])
            second = np.array([_limited(weights, 1.0) for _, weights in pairs])
            style: dict[str, Any] = {"height": 0.36, "alpha": alpha}
            names = ("activations", "weights") if when == "after" else ("", "")
            axes.barh(places + offset, first, color=_FIRST, label=names[0], **style)
            axes.barh(places + offset, second, left=first, color=_SECOND, label=names[1], **style)
        axes.set_xlabel("share of what INT8 costs by rules alone; above, faint: before")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)

    return _draw([layer.name for layer in layers], 0.3, draw)


def _limited(value: float | None, most: float) -> float:
    return float(np.clip(np.nan_to_num(value or 0.0, nan=0.0), 0, most))


def _draw(names: Sequence[str], row: float, draw: Any) -> str:
    """Rows of `row` inches, the first on top, with their names to the left."""
    import matplotlib
    from matplotlib.figure import Figure

    # Only the browser knows whether its fonts have a character; and it says nothing.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(_WIDTH, 0.9 + row * len(names)), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.grid(axis="x", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        return _svg(figure, salt=f"{row} {names}")


def _short(name: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return printable if len(printable) <= _LONGEST_NAME else printable[: _LONGEST_NAME - 2] + ".."


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an `<svg>` element for an HTML page: scales, and is the same every time."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    # Ids that nothing refers to are the same in every chart, and a page has each id once.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    for color, name in _COLORS.items():
        text = text.replace(color, f"var(--{name})")
    return text.strip()
