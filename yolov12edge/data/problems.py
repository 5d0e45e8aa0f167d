"""What is wrong in a data set: named, counted, and summed up in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the file it is in.
        line: the line of a label file, counted from 1; None where that makes no sense.
        what: what is wrong; the same words for all cases of a kind.
        skipped: whether the image or the label was left out because of it.
        detail: what exactly, for example a value; may be empty.
    """

    path: Path
    line: int | None
    what: str
    skipped: bool
    detail: str = ""

    @property
    def place(self) -> str:
        """The file, and the line if there is one."""
        return str(self.path) if self.line is None else f"{self.path}, line {self.line}"

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.place}: {self.what}{detail}"


def summarize(problems: Iterable[Problem]) -> list[str]:
    """A line for each kind of problem: how often, what was done, and the first case.

    Example:
        >>> summarize([Problem(Path("a.txt"), 3, "the class is out of range", True, "class 7")])
        ['skipped 1: the class is out of range: a.txt, line 3 (class 7)']
    """
    counts: Counter[tuple[str, bool]] = Counter()
    first: dict[tuple[str, bool], Problem] = {}
    for problem in problems:
        kind = (problem.what, problem.skipped)
        counts[kind] += 1
        first.setdefault(kind, problem)
    lines = []
    for (what, skipped), count in counts.items():
        case = first[what, skipped]
        detail = f" ({case.detail})" if case.detail else ""
        more = f", and {count - 1} more" if count > 1 else ""
        verb = "skipped" if skipped else "noted"
        lines.append(f"{verb} {count}: {what}: {case.place}{detail}{more}")
    return lines
