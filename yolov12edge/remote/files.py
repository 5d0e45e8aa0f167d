"""Files to and from another machine: whole or absent, resumed, compared by SHA-256."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolov12edge.errors import UnsupportedError
from yolov12edge.files import sha256_file
from yolov12edge.remote.connection import Answer, Connection, persistently
from yolov12edge.remote.processes import pieces
from yolov12edge.remote.text import last_line, plain
from yolov12edge.voice import Progress, no_progress

ROOM = "yolov12edge.remote"
# Larger files travel alone, and go on where a broken connection left them.
LARGE = 1 << 20
_ROUNDS = 3
_NAME = re.compile(r"[\w][\w.+-]*(/[\w][\w.+-]*)*", re.ASCII)
_FULL = "No space left on device"
_QUOTA = "Disk quota exceeded"


class TransferError(UnsupportedError):
    """A file did not arrive as it was sent (exit 7)."""


@dataclass(frozen=True)
class Outgoing:
    """A file to send.

    Attributes:
        file: here.
        path: there, below the folder; letters, digits and . _ + - / only.
        sha256: of its bytes, in hex.
        size: in bytes.
    """

    file: Path
    path: str
    sha256: str
    size: int

    @classmethod
    def of(cls, file: Path, path: str) -> Outgoing:
        """Measure a file.

        Raises:
            ValueError: the path there has other characters, or leads elsewhere.
        """
        if not _NAME.fullmatch(path):
            raise ValueError(f"{path!r} is no name for a file there")
        return cls(file, path, sha256_file(file), file.stat().st_size)


@dataclass(frozen=True)
class Sent:
    """What became of files: how many, and how many bytes, had to be sent."""

    files: int
    size: int


def send(
    connection: Connection,
    folder: str,
    files: Sequence[Outgoing],
    progress: Progress = no_progress,
) -> Sent:
    """Make a folder there hold these files; what is there with the right hash is not sent again.

    Args:
        folder: on the other machine; it exists.
        progress: called with (label, bytes done, bytes).

    Raises:
        TransferError: the disk there is full, or a file arrives with another hash than it was
            sent with.
        ConnectionBroken: the connection broke and could not be made again.
    """
    missing: dict[str, int] = {}

    def look() -> None:
        missing.clear()
        missing.update(_missing(connection, folder, files))

    persistently(connection, look)
    first, total = dict(missing), sum(one.size for one in files if one.path in missing)
    by_path = {one.path: one for one in files}
    tries: list[int] = []

    def deliver() -> None:
        if tries:
            look()
        tries.append(1)
        label = f"{connection.address.host}: sending"
        counter = _Counter(progress, label, total)
        counter.add(total - sum(by_path[p].size - have for p, have in missing.items()))
        small = [by_path[path] for path in missing if by_path[path].size <= LARGE]
        if small:
            _check(connection, _receive(connection, [folder], counter.of(_archive(small))))
        for path, have in missing.items():
            one = by_path[path]
            if one.size > LARGE:
                content = counter.of(pieces(one.file, have))
                _check(connection, _receive(connection, [folder, path], content))

    for _ in range(_ROUNDS):
        if not missing:
            return Sent(len(first), total)
        persistently(connection, deliver)
        tries.clear()
        persistently(connection, look)
    name = next(iter(missing))
    raise TransferError(
        f"{name} arrives at {connection.address.host} with another SHA-256 than it was sent with",
        "its disk or its memory may be failing: check them, or name another folder with "
        "--to host:folder",
    )


def fetch(
    connection: Connection,
    folder: str,
    paths: Mapping[str, str],
    target: Path,
    most: int,
    progress: Progress = no_progress,
) -> dict[str, Path]:
    """Bring files back, those that are there.

    Args:
        folder: on the other machine.
        paths: below it, each with the file's name here.
        target: a folder here that exists; nothing is written outside of it.
        most: bytes that all of them may have together.
        progress: called with (label, bytes done, bytes).

    Returns:
        path there to file here; its bytes are what the other machine's hash says.

    Raises:
        TransferError: they are too large, or arrive with another hash.
        ConnectionBroken: the connection broke and could not be made again.
    """
    host = connection.address.host
    known, small = _look(connection, folder, list(paths), most)
    total = sum(size for _, size in known.values())
    if total > most:
        raise TransferError(
            f"what is to come back from {host} has {total} bytes, expected are {most} at most",
            "look at the folder there: something else wrote into it",
        )
    counter = _Counter(progress, f"{host}: bringing back", total)
    brought: dict[str, Path] = {}
    for path, (digest, size) in known.items():
        part, final = target / f".{paths[path]}.part", target / paths[path]
        if size <= LARGE:
            part.write_bytes(small[:size])
            small = small[size:]
            counter.add(size)
        else:
            _bring(connection, f"{folder}/{path}", part, size, counter)
        if sha256_file(part) != digest:
            part.unlink()
            raise TransferError(
                f"{path} came back from {host} with another SHA-256 than it has there",
                "run the same command again; if it stays so, its disk or memory may be failing",
            )
        part.replace(final)
        brought[path] = final
    return brought


def _look(
    connection: Connection, folder: str, paths: Sequence[str], most: int
) -> tuple[dict[str, tuple[str, int]], bytes]:
    """SHA-256 and size of the files that are there; contents of the small ones, one by one."""
    answers: list[Answer] = []

    def ask() -> None:
        words = [folder, str(LARGE), *paths]
        # A little more than expected: `fetch` then says what is too large.
        answers.append(connection.script(ROOM, "bring.sh", words, most=2 * most + (1 << 20)))
        _check(connection, answers[-1])

    persistently(connection, ask)
    head, _, small = answers[-1].output.partition(b"\n\n")
    known: dict[str, tuple[str, int]] = {}
    for line in plain(head).splitlines():
        found = re.fullmatch(r"([0-9a-f]{64}) (\d{1,15}) (.+)", line)
        if found and found[3] in paths:
            known[found[3]] = (found[1], int(found[2]))
    return known, small


def _bring(connection: Connection, where: str, part: Path, size: int, counter: _Counter) -> None:
    """Append to `part` what it does not have yet of a file there."""

    def bring() -> None:
        have = part.stat().st_size if part.exists() else 0
        with part.open("ab") as file:

            def take(piece: bytes) -> None:
                file.write(piece)
                counter.add(len(piece))

            words = ["tail", "-c", f"+{have + 1}", where]
            _check(connection, connection.run(words, sink=take, most=max(size - have, 0)))

    persistently(connection, bring)


def _missing(connection: Connection, folder: str, files: Sequence[Outgoing]) -> dict[str, int]:
    """Path to how many bytes of it are there already, of files that are not there whole."""
    listed = "".join(f"{one.sha256} {one.size} {one.path}\n" for one in files).encode()
    answer = connection.script(ROOM, "settle.sh", [folder], [listed])
    _check(connection, answer)
    states = {}
    for line in answer.text.splitlines():
        found = re.fullmatch(r"(ok|need|wrong) (\d{1,15}) (.+)", line)
        if found:
            states[found[3]] = (found[1], int(found[2]))
    missing = {}
    for one in files:
        state, have = states.get(one.path, ("need", 0))
        if state != "ok":
            missing[one.path] = min(have, one.size)
    return missing


def _receive(connection: Connection, arguments: Sequence[str], content: Iterator[bytes]) -> Answer:
    return connection.script(ROOM, "receive.sh", arguments, content)


def _check(connection: Connection, answer: Answer) -> None:
    """Raise what a failed command means for a transfer."""
    if answer.code == 0:
        return
    host = connection.address.host
    if _FULL in answer.errors or _QUOTA in answer.errors:
        raise TransferError(
            f"the disk of {host} is full: {last_line(answer.errors)}",
            "free some space there, or name another folder with --to host:folder; then run the "
            "same command again: it goes on where it was",
        )
    raise TransferError(
        f"{host} cannot take files: {last_line(answer.errors) or f'exit code {answer.code}'}",
        "name a folder that you may write to, with --to host:folder",
    )


def _archive(files: Sequence[Outgoing]) -> Iterator[bytes]:
    """A tar archive of small files, in pieces."""
    for one in files:
        content = one.file.read_bytes()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            entry = tarfile.TarInfo(one.path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
            end = archive.offset
        yield buffer.getvalue()[:end]
    yield bytes(2 * tarfile.BLOCKSIZE)


class _Counter:
    """Bytes that passed."""

    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self._progress, self._label, self._total = progress, label, total
        self._done = 0

    def add(self, count: int) -> None:
        """So many more."""
        self._done += count
        self._progress(self._label, min(self._done, self._total), self._total)

    def of(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, counted."""
        for piece in content:
            yield piece
            self.add(len(piece))


def digest_of(parts: Sequence[str]) -> str:
    """SHA-256 over texts, in hex: the key of a step."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
