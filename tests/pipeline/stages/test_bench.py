"""How fast the cores were is remembered from run to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from yolov12edge.bench import cores as module
from yolov12edge.bench.cores import Cores
from yolov12edge.pipeline.stages.bench import watched_cores


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_usable", lambda: (0, 1))
    monkeypatch.setattr(Cores, "_used", lambda _: (0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """A run on cores that take so long; whether it thinks that they were left alone."""

    def go(milliseconds: float, looks: int = 30) -> bool:
        monkeypatch.setattr(module, "_work", lambda _: milliseconds)
        with watched_cores() as cores:
            for _ in range(looks):
                cores.look()
            return bool(cores.quiet().all())

    return go


def test_a_run_slowed_from_end_to_end_is_known_by_the_ones_before(
    run: Callable[..., bool],
) -> None:
    assert run(0.26)
    assert run(0.20)
    assert not run(0.26)
    assert run(0.21)


def test_a_machine_that_became_slower_is_believed_after_some_runs(
    run: Callable[..., bool],
) -> None:
    assert run(0.20)
    assert [run(0.26) for _ in range(10)] == [False] * 10
    assert run(0.26)


def test_a_short_run_is_not_remembered(run: Callable[..., bool], cache: Path) -> None:
    assert run(0.20, looks=29)
    assert run(0.26)


def test_a_damaged_memory_is_none(run: Callable[..., bool], cache: Path) -> None:
    assert run(0.20)
    [entry] = (cache / "results").iterdir()
    entry.write_bytes(entry.read_bytes()[:-3])
    assert run(0.26)


def test_a_cache_that_cannot_be_written_is_no_error(run: Callable[..., bool], cache: Path) -> None:
    cache.write_text("a file where the folder belongs")
    assert run(0.20)
    assert run(0.26)
