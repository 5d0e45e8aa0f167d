"""The builder fuses every attention of the exporter's graphs; the script asks all combinations."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks.test_scripts import BENCHMARKS

pytest.importorskip("tensorrt_rtx_bindings")

# Every pair of scale, layout, size, kind of batch and architecture is in here at least once.
CASES = [
    ("n", "turbo", 320, False, 75),
    ("n", "v1", 640, True, 86),
    ("n", "turbo", 1280, True, 89),
    ("n", "v1", 320, False, 120),
    ("s", "v1", 320, True, 75),
    ("s", "turbo", 640, False, 86),
    ("s", "v1", 1280, False, 89),
    ("s", "turbo", 640, True, 120),
]
LARGE = [
    ("m", "turbo", 1280, False, 86),
    ("m", "v1", 640, False, 89),
    ("m", "turbo", 640, True, 75),
    ("m", "v1", 320, True, 120),
    ("l", "v1", 1280, True, 120),
    ("l", "turbo", 320, True, 86),
    ("l", "v1", 640, False, 75),
    ("l", "turbo", 320, False, 89),
    ("x", "v1", 1280, False, 75),
    ("x", "turbo", 320, False, 86),
    ("x", "v1", 320, True, 89),
    ("x", "turbo", 640, True, 120),
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fused_attention")


def check(script: Any, words: tuple[Any, ...], folder: Path) -> None:
    *graph, sm = words
    case = script.Case(*graph)
    found = script.look(case, script.write_graph(case, folder, sm), sm)
    blocks = 16 if case.scale in "lx" else 8
    assert found.text == f"attention: {blocks} of {blocks} fused (SM{sm})", found.warnings


def test_the_plain_form_is_fused_too(script: ModuleType, tmp_path: Path) -> None:
    case = script.Case("n", "v1", 320, False)
    found = script.look(case, script.write_graph(case, tmp_path, None), 86)
    assert found.text == "attention: 8 of 8 fused (SM86)"


@pytest.mark.parametrize("words", CASES, ids=str)
def test_attention_is_fused(script: ModuleType, words: tuple[Any, ...], tmp_path: Path) -> None:
    check(script, words, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("words", LARGE, ids=str)
def test_attention_of_large_scales_is_fused(
    script: ModuleType, words: tuple[Any, ...], tmp_path: Path
) -> None:
    check(script, words, tmp_path)
