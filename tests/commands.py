"""Running the command line in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from yolov12edge.cli import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Outcome:
    """Run `yolov12edge` with these words."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return Outcome(int(left.value.code or 0), captured.out, captured.err)


def fails(outcome: Outcome, code: int, message: str) -> None:
    """Assert a failure as users see it: exit code, one line of error, one line of hint."""
    lines = outcome.err.splitlines()
    assert outcome.code == code, outcome.err
    assert len([line for line in lines if line.startswith("error: ")]) == 1, outcome.err
    assert lines[-2].startswith("error: "), outcome.err
    assert lines[-1].startswith("hint:  "), outcome.err
    assert len(lines[-1]) > len("hint:  "), outcome.err
    assert message in lines[-2]
    assert "Traceback" not in outcome.err
    assert not lines[-2].startswith("error: unexpected")


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder and below: file contents by path, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
