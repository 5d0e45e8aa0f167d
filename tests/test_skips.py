"""What is not run is counted, and a run that counts fails on what it did not expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.skips import NO_GPU, NO_SHARED

ROOT = Path(__file__).resolve().parents[1]
EXPECTED_SKIPS = f"""
import pytest

def test_that_runs():
    pass

@pytest.mark.skipif(True, reason={NO_GPU!r})
def test_by_a_mark():
    pass

@pytest.mark.parametrize("one", range(2))
def test_by_a_call(one):
    pytest.skip({NO_SHARED!r})
"""
UNEXPECTED_SKIPS = (
    ("def test(): pytest.skip('clang++ is not installed')", "clang++ is not installed"),
    ("@pytest.mark.skip(reason='later')\ndef test(): pass", "later"),
    ("@pytest.fixture\ndef tool(): pytest.skip('no tool')\ndef test(tool): pass", "no tool"),
    ("def test(): pytest.importorskip('absent.part')", "no absent"),
    ("pytest.importorskip('absent')\ndef test(): pass", "no absent"),
    ("pytest.skip('not here', allow_module_level=True)", "not here"),
    ("@pytest.mark.xfail(reason='known')\ndef test(): assert False", "xfail known"),
    ("def test(): pytest.xfail('known')", "xfail known"),
    (f"def test(): pytest.skip('{NO_GPU} here')", f"{NO_GPU} here"),
)


@pytest.fixture(params=[(), ("-n", "2")], ids=["one process", "xdist"])
def start(request, pytester, monkeypatch):
    """Run pytest with the plugin alone on the files of `pytester`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ("-q", "-p", "no:cacheprovider", "-p", "tests.skips", *request.param)
    return lambda *more: pytester.runpytest_subprocess(*words, *more)


@pytest.mark.parametrize("strict", [(), ("--strict-skips",)])
def test_one_line_says_what_was_skipped_and_why(pytester, start, strict):
    pytester.makepyfile(EXPECTED_SKIPS)
    result = start(*strict)
    assert result.ret == 0
    assert f"skipped: 3 (2 {NO_SHARED}, 1 {NO_GPU})" in result.outlines


def test_a_run_that_skips_nothing_says_so(pytester, start):
    pytester.makepyfile("def test_that_runs(): pass")
    result = start("--strict-skips")
    assert result.ret == 0
    assert "skipped: none" in result.outlines


def test_every_kind_of_unexpected_skip_fails_a_strict_run(pytester, start):
    sources = {
        f"test_{number}": f"import pytest\n{source}"
        for number, (source, _) in enumerate(UNEXPECTED_SKIPS)
    }
    pytester.makepyfile(**sources, test_good="def test_that_runs(): pass")
    result = start("--strict-skips")
    assert result.ret == 1
    named = sorted(line for line in result.outlines if line.startswith("SKIPPED "))
    assert len(named) == len(UNEXPECTED_SKIPS)
    for number, (_, reason) in enumerate(UNEXPECTED_SKIPS):
        assert named[number].startswith(f"SKIPPED test_{number}.py")
        assert named[number].endswith(f": {reason}")
    assert f"{len(named)} skipped for a reason that is not in tests/skips.py" in result.outlines


def test_without_strict_an_unexpected_skip_is_only_counted(pytester, start):
    pytester.makepyfile("import pytest\ndef test(): pytest.importorskip('absent')")
    result = start()
    assert result.ret == 0
    assert "skipped: 1 (1 no absent)" in result.outlines


def test_a_failure_stays_a_failure_whatever_is_skipped(pytester, start):
    pytester.makepyfile("import pytest\ndef test(): assert 0\ndef test_two(): pytest.skip('x')")
    result = start("--strict-skips")
    assert result.ret == 1
    assert any("SKIPPED" in line and line.endswith(": x") for line in result.outlines)
