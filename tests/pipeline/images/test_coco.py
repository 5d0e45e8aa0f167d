"""The COCO calibration set, from a server on loopback that can misbehave."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.voices import Told
from yolov12edge import download
from yolov12edge.errors import DataError
from yolov12edge.pipeline.images import coco as coco_images
from yolov12edge.pipeline.images.coco import ListedImage, coco_list, fetch_coco_images

CONTENTS = {f"{index:012d}.jpg": bytes([index]) * 5000 for index in range(12)}


class Server(ThreadingHTTPServer):
    """Serves pictures and misbehaves as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.missing: set[str] = set()
        self.changed: set[str] = set()
        self.cut: set[str] = set()
        self.stalls = False
        self.stall = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        server, name = self.server, self.path.rpartition("/")[2]
        server.asked.append(name)
        if server.stalls:
            server.stall.wait(20)
            return
        if name in server.missing or name not in CONTENTS:
            self.send_error(404)
            return
        body = b"other bytes" if name in server.changed else CONTENTS[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = name in server.cut
        server.cut.discard(name)
        self.wfile.write(body[:100] if cut else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}/train2017"
    listed = tuple(
        ListedImage(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()
    )
    monkeypatch.setattr(coco_images, "coco_list", lambda: (address, listed))
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_pause", lambda _attempt: 0.0)
    yield server
    server.stall.set()
    server.shutdown()
    thread.join()
    server.server_close()


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jpg")}


def test_the_list_is_256_images_with_hashes() -> None:
    base, images = coco_list()
    assert base == "http://images.cocodataset.org/train2017"
    assert len({image.sha256 for image in images}) == 256
    assert all(len(image.sha256) == 64 for image in images)
    assert all(Path(image.name).name == image.name for image in images)


@pytest.mark.shared
def test_the_list_is_of_the_public_images(shared: Path) -> None:
    _, images = coco_list()
    for image in images[::16]:
        content = (shared / "data/coco/images/train2017" / image.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == image.sha256


def test_images_are_fetched_once(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    steps: list[tuple[int, int]] = []
    folder = fetch_coco_images(
        voice=Told(said), progress=lambda _label, done, total: steps.append((done, total))
    )
    assert folder == tmp_path / "cache/calib/coco256"
    assert pictures(folder) == CONTENTS
    assert steps[-1] == (12, 12)
    assert "12 calibration images from http://127.0.0.1" in said[0]
    assert fetch_coco_images(voice=Told(said)) == folder
    assert len(server.asked) == 12
    assert len(said) == 1


def test_a_limit_takes_the_first(server: Server) -> None:
    assert set(pictures(fetch_coco_images(3))) == set(list(CONTENTS)[:3])
    assert len(server.asked) == 3


def test_missing_and_changed_images_are_left_out(server: Server) -> None:
    names = list(CONTENTS)
    server.missing, server.changed = set(names[:2]), set(names[2:4])
    voice = Told()
    folder = fetch_coco_images(voice=voice)
    said = voice.warned
    assert set(pictures(folder)) == set(names[4:])
    assert len(said) == 4
    assert sum("404" in line for line in said) == 2
    assert sum("as listed" in line for line in said) == 2
    server.missing, server.changed = set(), set()
    assert pictures(fetch_coco_images()) == CONTENTS
    assert not list(folder.glob("*.part*"))


def test_a_broken_connection_is_tried_again(server: Server) -> None:
    server.cut = set(CONTENTS)
    assert pictures(fetch_coco_images()) == CONTENTS


def test_a_damaged_image_in_the_cache_is_fetched_again(server: Server) -> None:
    folder = fetch_coco_images()
    (folder / "000000000003.jpg").write_bytes(b"cut")
    assert pictures(fetch_coco_images()) == CONTENTS
    assert server.asked.count("000000000003.jpg") == 2


def test_a_useless_server_is_given_up(server: Server) -> None:
    server.changed = set(CONTENTS)
    with pytest.raises(DataError, match="as listed") as caught:
        fetch_coco_images()
    assert "--calib DIR" in caught.value.hint
    assert "YOLOV12EDGE_IMAGES_URL" in caught.value.hint


def test_a_server_that_does_not_answer(server: Server) -> None:
    server.stalls = True
    with pytest.raises(DataError, match="timed out"):
        fetch_coco_images(2, timeout=0.1)


def test_offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = coco_images.coco_list()[1]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr(coco_images, "coco_list", lambda: (base, listed))
    with pytest.raises(DataError, match=r"cannot fetch .*refused"):
        fetch_coco_images()


def test_other_schemes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("YOLOV12EDGE_IMAGES_URL", "file:///etc")
    with pytest.raises(DataError, match="not an http address"):
        fetch_coco_images()


def test_a_cache_that_cannot_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot keep images"):
        fetch_coco_images()


def test_the_list_file_is_what_the_readme_says() -> None:
    path = Path(coco_images.__file__).parents[3] / "calib" / coco_images.LIST_NAME
    document = json.loads(path.read_text())
    assert document["schema_version"] == 1
    assert document["images"][0].keys() == {"file", "sha256", "bytes"}
