"""Long steps on another machine: they outlive the connection and are followed again after it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from yolov12edge.errors import EdgeError, UnsupportedError
from yolov12edge.remote.connection import Answer, Connection, persistently
from yolov12edge.remote.files import ROOM
from yolov12edge.remote.text import last_line, plain

MOST_LOG = 64 << 20
_TAIL = 400


@dataclass(frozen=True)
class StepResult:
    """How a step ended.

    Attributes:
        code: its exit code.
        lines: the last lines of its log, as plain text.
        again: it had been done before under the same key, and was not run again.
    """

    code: int
    lines: tuple[str, ...]
    again: bool


def log_path(name: str) -> str:
    """Where the log of a step is, below the folder."""
    return f".deploy/steps/{name}/log"


def run_step(
    connection: Connection,
    folder: str,
    name: str,
    key: str,
    script: str,
    told: Callable[[str], None] = lambda line: None,
) -> StepResult:
    """Run a sh script in a folder there, or follow the one that runs there already.

    A step is started once for a key. It goes on where the connection breaks; after a Ctrl-C it is
    stopped there.

    Args:
        name: of the step, a word.
        key: what its result depends on; under the same key a step that ended well is not repeated.
        script: its commands.
        told: called with each line of its log, as plain text.

    Raises:
        UnsupportedError: it is gone without an exit code, as after a restart of that machine.
        ConnectionBroken: the connection broke and could not be made again; the step goes on.
        Interrupted: somebody stopped it.
    """
    started = ""

    def start() -> None:
        nonlocal started
        answer = _step(connection, "start", folder, name, key, script)
        started = started or answer.text.strip()

    persistently(connection, start)
    log = _Log(told)

    def follow() -> None:
        _step(connection, "follow", folder, name, str(log.size), sink=log.take)

    try:
        persistently(connection, follow)
    except KeyboardInterrupt:
        stop_step(connection, folder, name)
        raise
    log.end()
    code = _code(connection, folder, name)
    return StepResult(code, tuple(log.lines), started == "done")


def stop_step(connection: Connection, folder: str, name: str) -> None:
    """End a step there, as far as that machine can be reached; whatever fails is left."""
    with contextlib.suppress(EdgeError):
        connection.script(ROOM, "step.sh", ["stop", folder, name], timeout=15)


def forget_step(connection: Connection, folder: str, name: str) -> None:
    """Have a step done again, although it was done under the same key."""
    persistently(connection, lambda: _forget(connection, folder, name))


def _forget(connection: Connection, folder: str, name: str) -> None:
    _step(connection, "forget", folder, name)


def _code(connection: Connection, folder: str, name: str) -> int:
    said = ""

    def ask() -> None:
        nonlocal said
        said = _step(connection, "state", folder, name).text.strip()

    persistently(connection, ask)
    found = re.fullmatch(r"done (\d{1,3})", said)
    if found is None:
        host = connection.address.host
        raise UnsupportedError(
            f"{name} on {host} ended without an exit code: it was killed, or {host} restarted",
            "if memory is short there, stop other programs; then run the same command again: "
            "it goes on where it was",
        )
    return int(found[1])


def _step(
    connection: Connection, action: str, *words: str, sink: Callable[[bytes], None] | None = None
) -> Answer:
    answer = connection.script(ROOM, "step.sh", [action, *words], sink=sink, most=MOST_LOG)
    if answer.code:
        raise UnsupportedError(
            f"{connection.address.host} cannot keep its records: "
            + (last_line(answer.errors) or f"exit code {answer.code}"),
            "is the disk there full? Free some space, or name another folder with --to host:folder",
        )
    return answer


class _Log:
    """Lines out of pieces of bytes; the last ones are kept."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._rest = b""
        self.size = 0
        self.lines: list[str] = []

    def take(self, piece: bytes) -> None:
        """More bytes."""
        self.size += len(piece)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self._add(line)

    def end(self) -> None:
        """What came after the last line end."""
        if self._rest:
            self._add(self._rest)

    def _add(self, line: bytes) -> None:
        text = plain(line[:4000]).rstrip()
        self.lines.append(text)
        del self.lines[:-_TAIL]
        self._told(text)
