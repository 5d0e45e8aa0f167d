"""Files and steps on another machine, over a real sshd, with connections that break."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sshd import NAME, Device, running_device
from yolov12edge.errors import Interrupted, UnsupportedError, UsageError
from yolov12edge.remote import Address, Connection, ConnectionBroken, connection, files
from yolov12edge.remote.files import Outgoing, TransferError, fetch, send
from yolov12edge.remote.hold import Hold
from yolov12edge.remote.processes import pieces
from yolov12edge.remote.steps import run_step, stop_step
from yolov12edge.remote.text import last_line, plain


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with running_device(tmp_path_factory.mktemp("device")) as started:
        yield started


@pytest.fixture
def open_connection(device: Device) -> Iterator[Connection]:
    with Connection(Address.parse(NAME), device.config) as opened:
        yield opened


@pytest.fixture
def there(device: Device, request: pytest.FixtureRequest) -> str:
    """A folder there, with a space and a quote in its name."""
    folder = device.root / f"it's {request.node.name[:40]}"
    folder.mkdir()
    return str(folder)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSES", (0.1, 0.2, 0.2))


@pytest.mark.parametrize(
    ("text", "login", "host", "folder"),
    [
        ("box", "box", "box", None),
        ("nvidia@orin", "nvidia@orin", "orin", None),
        ("orin:/opt/my models/", "orin", "orin", "/opt/my models"),
        ("orin:~/engines", "orin", "orin", "engines"),
        ("me@[fe80::1]:x", "me@fe80::1", "fe80::1", "x"),
        ("orin:-x", "orin", "orin", "./-x"),
    ],
)
def test_addresses(text: str, login: str, host: str, folder: str | None) -> None:
    assert Address.parse(text) == Address(login, host, folder)


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "me@-x", "a b", "box:~", "box:/", "box:a\nb", "@box", "a;b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        Address.parse(text)


def test_what_comes_back_moves_no_cursor() -> None:
    assert plain(b"\x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\xff\r\nc") == "red ab\ufffd\nc"
    assert last_line("one\n\n two \n\n") == "two"


def test_words_arrive_as_they_are(open_connection: Connection) -> None:
    words = ["a b", "it's", "$HOME", '"', "\\", "*", "-n", "new\nline"]
    answer = open_connection.run(["printf", "%s|", *words])
    assert answer.output.decode() == "".join(f"{word}|" for word in words)


def test_output_is_bounded(open_connection: Connection) -> None:
    with pytest.raises(UnsupportedError, match="more than 1000 bytes"):
        open_connection.run(["sh", "-c", "while :; do echo x; done"], most=1000)


def test_a_command_that_takes_too_long(open_connection: Connection) -> None:
    with pytest.raises(UnsupportedError, match="no answer in 0 s"):
        open_connection.run(["sleep", "30"], timeout=0.4)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"IdentityFile": "/dev/null"}, "Permission denied", "ssh-copy-id"),
        ({"UserKnownHostsFile": "/dev/null"}, "Host key verification failed", "by hand"),
        ({"HostName": "no-such-host.invalid"}, "Could not resolve hostname", "~/.ssh/config"),
        ({"Port": "1"}, "Connection refused", "openssh-server"),
    ],
)
def test_ssh_that_cannot_connect_says_what_to_do(
    changes: dict[str, str], message: str, hint: str, device: Device, tmp_path: Path
) -> None:
    head = "".join(f"{name} {value}\n" for name, value in changes.items())
    text = device.config.read_text()
    if "IdentityFile" in changes:
        text = "\n".join(line for line in text.splitlines() if "IdentityFile" not in line)
    (tmp_path / "config").write_text(f"{head}\n{text}")
    with (
        pytest.raises(ConnectionBroken, match=message) as caught,
        Connection(Address.parse(NAME), tmp_path / "config"),
    ):
        pass
    assert hint in caught.value.hint


def outgoing(folder: Path, large: int = 3 << 20) -> list[Outgoing]:
    folder.mkdir(exist_ok=True)
    (folder / "small").write_bytes(b"small")
    (folder / "empty").write_bytes(b"")
    (folder / "large").write_bytes(os.urandom(large))
    names = {"small": "a/b/small.txt", "empty": "empty", "large": "c/large.bin"}
    return [Outgoing.of(folder / name, path) for name, path in names.items()]


def contents(folder: str) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in Path(folder).rglob("*")
        if path.is_file() and ".deploy" not in path.parts
    }


def test_files_arrive_once(open_connection: Connection, there: str, tmp_path: Path) -> None:
    wanted = outgoing(tmp_path / "from")
    seen: list[int] = []
    sent = send(open_connection, there, wanted, lambda label, done, total: seen.append(done))
    assert (sent.files, sent.size) == (3, sum(one.size for one in wanted))
    assert seen == sorted(seen)
    assert contents(there) == {one.path: one.size for one in wanted}
    again = send(open_connection, there, wanted)
    assert (again.files, again.size) == (0, 0)


def test_a_changed_file_is_sent_again(
    open_connection: Connection, there: str, tmp_path: Path
) -> None:
    wanted = outgoing(tmp_path / "from")
    send(open_connection, there, wanted)
    (Path(there) / "a/b/small.txt").write_bytes(b"smell")
    assert send(open_connection, there, wanted).files == 1
    assert (Path(there) / "a/b/small.txt").read_bytes() == b"small"


def test_a_partly_sent_file_goes_on_where_it_was(
    open_connection: Connection, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = outgoing(tmp_path / "from")
    part = Path(there) / "incoming/c/large.bin"
    part.parent.mkdir(parents=True)
    part.write_bytes((tmp_path / "from/large").read_bytes()[: 2 << 20])
    offsets: list[int] = []

    def noted(file: Path, offset: int = 0) -> Iterator[bytes]:
        offsets.append(offset)
        return pieces(file, offset)

    monkeypatch.setattr(files, "pieces", noted)
    send(open_connection, there, wanted)
    assert offsets == [2 << 20]
    assert (Path(there) / "c/large.bin").read_bytes() == (tmp_path / "from/large").read_bytes()


def test_a_wrong_part_is_begun_anew(
    open_connection: Connection, there: str, tmp_path: Path
) -> None:
    wanted = outgoing(tmp_path / "from")
    part = Path(there) / "incoming/c/large.bin"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(2 << 20))
    send(open_connection, there, wanted)
    assert (Path(there) / "c/large.bin").read_bytes() == (tmp_path / "from/large").read_bytes()


def test_a_file_that_never_arrives_whole(
    open_connection: Connection, there: str, tmp_path: Path
) -> None:
    """Something changes the bytes on the way, each time."""
    wanted = outgoing(tmp_path / "from")
    (tmp_path / "from/large").write_bytes(bytes(3 << 20))
    with pytest.raises(TransferError, match=r"c/large.bin arrives at box with another SHA-256"):
        send(open_connection, there, wanted)
    assert "c/large.bin" not in contents(there)


def test_a_connection_that_breaks_is_made_again(
    device: Device, open_connection: Connection, there: str, tmp_path: Path
) -> None:
    wanted = outgoing(tmp_path / "from", 40 << 20)
    cuts = []

    def cut(label: str, done: int, total: int) -> None:
        if done > total / 3 and not cuts:
            cuts.append(device.cut_connections())

    send(open_connection, there, wanted, cut)
    assert cuts[0] > 0
    assert contents(there) == {one.path: one.size for one in wanted}


def test_files_come_back_whole(open_connection: Connection, there: str, tmp_path: Path) -> None:
    contents = {"plan.bin": os.urandom(3 << 20), "a.log": b"log\n\n", "b/log": b"", "c": b"x" * 9}
    (Path(there) / "b").mkdir()
    for name, content in contents.items():
        (Path(there) / name).write_bytes(content)
    (tmp_path / ".engine.plan.part").write_bytes(contents["plan.bin"][:1000])
    names = {"plan.bin": "engine.plan", "a.log": "a.log", "absent": "x", "b/log": "b", "c": "c"}
    brought = fetch(open_connection, there, names, tmp_path, 4 << 20)
    assert {path: file.read_bytes() for path, file in brought.items()} == contents
    assert {file.name for file in tmp_path.iterdir()} == {"engine.plan", "a.log", "b", "c"}


def test_what_comes_back_is_bounded(
    open_connection: Connection, there: str, tmp_path: Path
) -> None:
    (Path(there) / "plan.bin").write_bytes(bytes(2000))
    with pytest.raises(TransferError, match="expected are 1000 at most"):
        fetch(open_connection, there, {"plan.bin": "plan.bin"}, tmp_path, 1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "", "a b", ".x", "a/../b"])
def test_no_file_leaves_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ValueError, match="no name for a file there"):
        Outgoing.of(tmp_path / "x", path)


def test_a_step_runs_once_for_a_key(open_connection: Connection, there: str) -> None:
    script = "echo one; echo two >>count; printf three; exit 0"
    lines: list[str] = []
    done = run_step(open_connection, there, "work", "key", script, lines.append)
    assert (done.code, lines, done.again) == (0, ["one", "three"], False)
    again = run_step(open_connection, there, "work", "key", script)
    assert (again.code, again.lines, again.again) == (0, ("one", "three"), True)
    assert (Path(there) / "count").read_text() == "two\n"
    assert not run_step(open_connection, there, "work", "other", script).again


def test_a_step_whose_result_is_gone_is_done_again(open_connection: Connection, there: str) -> None:
    script = "echo x >result"
    for expected in (False, True):
        done = run_step(open_connection, there, "work", "key", script, needs=["result"])
        assert done.again == expected
    (Path(there) / "result").unlink()
    assert not run_step(open_connection, there, "work", "key", script, needs=["result"]).again


def test_a_step_that_failed_is_tried_again(open_connection: Connection, there: str) -> None:
    script = "echo no; test -f ready"
    assert run_step(open_connection, there, "work", "key", script).code == 1
    (Path(there) / "ready").touch()
    assert run_step(open_connection, there, "work", "key", script).code == 0


def test_a_step_outlives_the_connection(
    device: Device, open_connection: Connection, there: str
) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.2; done"
    lines: list[str] = []

    def told(line: str) -> None:
        lines.append(line)
        if line == "3":
            device.cut_connections()

    assert run_step(open_connection, there, "work", "key", script, told).code == 0
    assert lines == list("12345678")


def test_a_machine_that_restarts_meanwhile(open_connection: Connection, there: str) -> None:
    """Its processes are gone, and there is no exit code."""
    record = Path(there) / ".deploy/steps/work/process"

    def told(line: str) -> None:
        number = int(record.read_text().split()[0])
        os.killpg(number, 9)

    with pytest.raises(UnsupportedError, match="killed, or box restarted"):
        run_step(open_connection, there, "work", "key", "echo at work; sleep 30", told)
    done = run_step(open_connection, there, "work", "key", "echo again")
    assert done.lines == ("again",)


def test_a_step_is_stopped_with_its_children(open_connection: Connection, there: str) -> None:
    def told(line: str) -> None:
        if line == "at work":
            threading.Timer(0.1, open_connection.abort).start()

    script = "echo at work; sleep 60 & echo $! >child; wait"
    with pytest.raises(Interrupted):
        run_step(open_connection, there, "work", "key", script, told)
    open_connection.revive()
    stop_step(open_connection, there, "work")
    child = int((Path(there) / "child").read_text())
    end = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    alive = Path(f"/proc/{child}/status")
    assert not alive.exists() or "zombie" in alive.read_text()


def test_one_deploy_at_a_time(device: Device, there: str) -> None:
    one, two = (Connection(Address.parse(NAME), device.config) for _ in range(2))
    with one, two:
        with (
            Hold(one, there, "me on pc"),
            pytest.raises(UnsupportedError, match=r"another deploy works in .*: me on pc"),
        ):
            Hold(two, there, "you on mac").__enter__()
        with Hold(two, there, "you on mac"):
            pass


def test_a_hold_ends_with_its_connection(device: Device, there: str) -> None:
    with Connection(Address.parse(NAME), device.config) as one:
        hold = Hold(one, there, "me on pc")
        hold.__enter__()
        device.cut_connections()
        end = time.monotonic() + 5
        while (Path(there) / ".deploy/lock").exists() and time.monotonic() < end:
            time.sleep(0.05)
        with (
            Connection(Address.parse(NAME), device.config) as two,
            Hold(two, there, "you on mac"),
        ):
            pass


def test_a_hold_of_a_machine_that_restarted(open_connection: Connection, there: str) -> None:
    lock = Path(there) / ".deploy/lock"
    lock.mkdir(parents=True)
    (lock / "holder").write_text("1\nanother-boot\nyou on mac\n")
    with Hold(open_connection, there, "me on pc"):
        assert (lock / "holder").read_text().splitlines()[2] == "me on pc"
    end = time.monotonic() + 5
    while lock.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not lock.exists()


def test_what_one_left_behind_without_a_word_is_ones_own(device: Device, there: str) -> None:
    one, two = (Connection(Address.parse(NAME), device.config) for _ in range(2))
    with one, two, Hold(one, there, "me on pc"), Hold(two, there, "me on pc"):
        pass


def test_a_folder_that_cannot_be_made(open_connection: Connection) -> None:
    with pytest.raises(UnsupportedError, match="cannot work in /dev/null/x on box"):
        Hold(open_connection, "/dev/null/x", "me").__enter__()
