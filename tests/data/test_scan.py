"""Headers of many images: in threads, remembered, never trusted blindly."""

from __future__ import annotations

import json
import os

import pytest

from tests.data.pictures import write_image
from yolov12edge.data import scan
from yolov12edge.data.scan import scan_images


@pytest.fixture
def remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan, "FEWEST_REMEMBERED", 2)
    paths = [write_image(tmp_path / f"{n}.png", 20 + n, 10, n) for n in range(4)]

    def memory():
        (file,) = (tmp_path / "cache/scans").iterdir()
        return file

    return paths, memory


def sizes(found):
    return [header.shown for header in found.headers.values()]


def test_a_second_look_reads_no_image(remembered, monkeypatch):
    paths, memory = remembered
    first = scan_images(paths)
    assert sizes(first) == [(20, 10), (21, 10), (22, 10), (23, 10)]
    monkeypatch.setattr(scan, "_read_header", None)
    assert scan_images(paths) == first
    assert len(json.loads(memory().read_text())) == 4


def test_changed_files_are_read_again(remembered):
    paths, _ = remembered
    scan_images(paths)
    write_image(paths[1], 50, 30)
    os.utime(paths[1], ns=(1, 1))
    assert sizes(scan_images(paths))[1] == (50, 30)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"0.png": 3, "1.png": [1, 2], "2.png": ["a", 1, 1, 1, 1]}',
    ],
)
def test_damaged_memory_is_ignored(remembered, content):
    paths, memory = remembered
    first = scan_images(paths)
    memory().write_bytes(content)
    assert scan_images(paths) == first


@pytest.mark.parametrize("entry", [[0, 10, 1], [20, 10, 9], [10**6, 10**6, 1], [True, 10, 1]])
def test_implausible_entries_are_ignored(remembered, entry):
    paths, memory = remembered
    first = scan_images(paths)
    known = json.loads(memory().read_text())
    known[str(paths[0])][2:] = entry
    memory().write_text(json.dumps(known))
    assert scan_images(paths) == first


def test_a_cache_that_cannot_be_written_does_not_matter(remembered, tmp_path):
    paths, _ = remembered
    (tmp_path / "cache").write_text("a file")
    assert len(scan_images(paths).headers) == 4


def test_long_files_are_read_in_part(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.jpg", 300, 200)
    monkeypatch.setattr(scan, "_HEAD", 700)
    monkeypatch.setattr(scan, "_TAIL", 20)
    assert path.stat().st_size > 1000
    assert sizes(scan_images([path])) == [(300, 200)]
    path.write_bytes(path.read_bytes()[:-10])
    assert scan_images([path]).problems[0].what == scan.BROKEN


def test_files_that_vanish_are_named(tmp_path):
    assert scan_images([tmp_path / "a.jpg"]).problems[0].what == scan.ABSENT
