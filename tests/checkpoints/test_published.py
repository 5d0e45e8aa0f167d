"""Fetching published checkpoints, from a server on loopback that can misbehave."""

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
from yolov12edge.checkpoints import fetch_published, published
from yolov12edge.errors import CheckpointError

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4000
OTHER = b"PK\x03\x04" + bytes(reversed(range(256))) * 4000


class Server(ThreadingHTTPServer):
    """Serves one content and misbehaves as told; remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.ranges = True
        self.redirect: str | None = None
        self.statuses: list[int] = []
        self.cut_at: list[int] = []
        self.announced: int | None = None
        self.wrong_range = False
        self.stall = threading.Event()
        self.stalls = False
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.stalls:
            server.stall.wait(20)
            return
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        self._send(wanted)

    def _send(self, wanted: str | None) -> None:
        server = self.server
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(server.announced or len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        if start:
            shown = 5 if server.wrong_range else start
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {shown}-{last}/{len(server.content)}")
        self.end_headers()
        self.wfile.write(body[: server.cut_at.pop(0)] if server.cut_at else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("YOLOV12EDGE_WEIGHTS_URL", server.url)
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_pause", lambda _attempt: 0.0)
    yield server
    server.stall.set()
    server.shutdown()
    thread.join()
    server.server_close()


def leftovers(tmp_path: Path) -> set[str]:
    """Kinds of files in the cache."""
    return {p.name.partition(".")[2] for p in (tmp_path / "cache").rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("layout", "name", "address"),
    [
        ("v1", "yolov12n", "/v1.0/yolov12n.pt"),
        ("turbo", "x", "/turbo/yolov12x.pt"),
        ("turbo", "yolov12s.pt", "/turbo/yolov12s.pt"),
    ],
)
def test_fetch_into_the_cache(
    server: Server, tmp_path: Path, layout: str, name: str, address: str
) -> None:
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    path = fetch_published(
        name, layout, voice=Told(said), progress=lambda *step: steps.append(step)
    )
    assert path == tmp_path / "cache/weights" / address[1:]
    assert path.read_bytes() == CONTENT
    assert server.asked == [(address, None)]
    assert len(said) == 1
    assert "AGPL-3.0" in said[0]
    assert server.url + address in said[0]
    assert steps[-1] == (path.stem, len(CONTENT), len(CONTENT))
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert leftovers(tmp_path) == {"pt", "json", "lock"}


def test_second_use_asks_nobody_and_says_nothing(server: Server) -> None:
    fetch_published("n")
    said: list[str] = []
    fetch_published("n", voice=Told(said))
    assert len(server.asked) == 1
    assert said == []


@pytest.mark.parametrize("cuts", [[1000], [1000, 70_000, 5]])
def test_broken_connection_is_resumed(server: Server, cuts: list[int]) -> None:
    server.cut_at = list(cuts)
    assert fetch_published("n").read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.asked]
    held = [sum(cuts[: index + 1]) for index in range(len(cuts))]
    assert ranges == [None, *(f"bytes={size}-" for size in held)]


def test_next_call_resumes_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.cut_at = [1000, 0, 0, 0]
    with pytest.raises(CheckpointError, match="the connection ended after 1000 of"):
        fetch_published("n")
    assert leftovers(tmp_path) == {"part", "part.json", "lock"}
    assert fetch_published("n").read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=1000-"


def test_file_that_changed_meanwhile_is_fetched_anew(server: Server) -> None:
    server.cut_at = [1000, 0, 0, 0]
    with pytest.raises(CheckpointError):
        fetch_published("n")
    server.content, server.etag = OTHER, '"two"'
    assert fetch_published("n").read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, 'W/"weak"', '"one"'])
def test_server_without_ranges_or_validators(server: Server, etag: str | None) -> None:
    server.ranges, server.etag, server.cut_at = False, etag, [1000]
    assert fetch_published("n").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_server_that_sends_another_part_than_asked(server: Server) -> None:
    server.wrong_range, server.cut_at = True, [1000]
    assert fetch_published("n").read_bytes() == CONTENT


def test_part_that_was_complete_already(server: Server, tmp_path: Path) -> None:
    server.cut_at = [1000, 0, 0, 0]
    with pytest.raises(CheckpointError):
        fetch_published("n")
    next((tmp_path / "cache").rglob("*.part")).write_bytes(CONTENT)
    assert fetch_published("n").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_trouble_is_retried(server: Server, status: int) -> None:
    server.statuses = [status, status]
    assert fetch_published("n").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 401])
def test_refusal_is_final_and_says_what_to_pass(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.statuses = [status]
    with pytest.raises(CheckpointError, match=f"the server answers {status}") as caught:
        fetch_published("s", "v1")
    assert len(server.asked) == 1
    assert "--weights FILE" in caught.value.hint
    assert str(tmp_path / "cache/weights/v1.0/yolov12s.pt") in caught.value.hint
    assert "YOLOV12EDGE_WEIGHTS_URL" in caught.value.hint
    assert leftovers(tmp_path) == {"lock"}


def test_offline(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("YOLOV12EDGE_WEIGHTS_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
    with pytest.raises(CheckpointError, match=r"cannot fetch .*refused") as caught:
        fetch_published("n")
    assert "--weights FILE" in caught.value.hint


def test_server_that_does_not_answer(server: Server) -> None:
    server.stalls = True
    with pytest.raises(CheckpointError, match=r"cannot fetch .*timed out"):
        fetch_published("n", timeout=0.1)
    assert len(server.asked) == download.ATTEMPTS


def test_web_page_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = b"<!DOCTYPE html><title>Sign in</title>"
    with pytest.raises(CheckpointError, match="is no checkpoint: it starts with '<!DOCTYPE"):
        fetch_published("n")
    server.content, server.etag = CONTENT, '"two"'
    assert fetch_published("n").read_bytes() == CONTENT


def test_size_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.announced = published.MAX_BYTES + 1
    with pytest.raises(CheckpointError, match="no YOLOv12 is larger than"):
        fetch_published("n")
    assert sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*")) < 1 << 20


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_other_schemes_are_refused(server: Server, address: str) -> None:
    server.redirect = address
    with pytest.raises(CheckpointError):
        fetch_published("n")
    assert len(server.asked) == 1


def test_redirect_from_https_to_http_is_refused() -> None:
    import http.client
    import io
    import urllib.request

    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(CheckpointError, match=r"redirects to 'http://example.org/b'"):
        download._Redirects(CheckpointError).redirect_request(
            request, io.BytesIO(), 302, "", http.client.HTTPMessage(), "http://example.org/b"
        )


def test_redirect_is_followed(server: Server) -> None:
    target = Server()
    threading.Thread(target=target.serve_forever, daemon=True).start()
    server.redirect = f"{target.url}/elsewhere"
    assert fetch_published("n").read_bytes() == CONTENT
    assert target.asked == [("/elsewhere", None)]
    target.shutdown()
    target.server_close()


def test_changed_cache_is_an_error_that_says_what_to_delete(server: Server) -> None:
    path = fetch_published("n")
    path.write_bytes(OTHER)
    with pytest.raises(CheckpointError, match="has SHA-256") as caught:
        fetch_published("n")
    assert f"delete {path} to fetch it again" in caught.value.hint


def test_later_fetch_must_match_the_first(server: Server, tmp_path: Path) -> None:
    path = fetch_published("n")
    path.unlink()
    server.content = OTHER
    with pytest.raises(CheckpointError, match="as when first fetched"):
        fetch_published("n")
    assert not path.exists()
    path.with_suffix(".json").unlink()
    assert fetch_published("n").read_bytes() == OTHER


def test_file_put_there_by_hand_is_taken_and_pinned(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "cache/weights/turbo/yolov12n.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    assert fetch_published("n") == path
    assert server.asked == []
    path.write_bytes(CONTENT)
    with pytest.raises(CheckpointError, match="has SHA-256"):
        fetch_published("n")


def test_damaged_record(server: Server) -> None:
    path = fetch_published("n")
    path.with_suffix(".json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        fetch_published("n")


def test_two_at_once_fetch_once(server: Server) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch_published("n"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(server.asked) == 1


def test_cache_that_cannot_be_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("YOLOV12EDGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="cannot keep") as caught:
        fetch_published("n")
    assert "YOLOV12EDGE_CACHE" in caught.value.hint


@pytest.mark.parametrize("name", ["yolov12q", "yolo11n", "../../etc/passwd", "", "q"])
def test_unknown_names(server: Server, name: str) -> None:
    with pytest.raises(CheckpointError, match="no published checkpoint"):
        fetch_published(name)
    assert server.asked == []


@pytest.mark.parametrize("base", ["file:///tmp", "ftp://host/x", "host/path"])
def test_base_address_must_be_http(
    server: Server, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setenv("YOLOV12EDGE_WEIGHTS_URL", base)
    with pytest.raises(CheckpointError, match="not an http or https address"):
        fetch_published("n")


def test_default_address_and_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOLOV12EDGE_WEIGHTS_URL", raising=False)
    monkeypatch.delenv("YOLOV12EDGE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    wanted = published.published_file("s", "v1")
    assert wanted.url == (
        "https://github.com/sunsmarterjie/yolov12/releases/download/v1.0/yolov12s.pt"
    )
    assert wanted.path == Path("/somewhere/yolov12edge/weights/v1.0/yolov12s.pt")
