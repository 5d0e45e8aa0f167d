"""Long steps on another machine: they outlive the connection and are followed again after it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
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
    needs: Sequence[str] = (),
) -> StepResult:
    """Run a sh script in a folder there, or follow the one that runs there already.

    A step is started once for a key. It goes on where the connection breaks, and is followed again.

    Args:
        name: of the step, a word.
        key: what its result depends on; under the same key a step that ended well is not repeated.
        script: its commands.
        told: called with each line of its log, as plain text.
        needs: files that it leaves; where one is gone it is repeated.

    Raises:
        UnsupportedError: it is gone without an exit code, as after a restart of that machine.
        ConnectionBroken: the connection broke and could not be made again; the step goes on.
        Interrupted: somebody stopped it.
    """
    log = _Log(told)
    state: dict[str, str] = {}

    def follow() -> None:
        words = ["run", folder, name, key, str(log.size), script, *needs]
        answer = connection.script(ROOM, "step.sh", words, sink=log.take, most=MOST_LOG)
        _check(connection, answer)
        said = re.findall(r"^step (new|again|gone|done \d{1,3})$", answer.errors, re.MULTILINE)
        state.setdefault("first", said[0] if said else "")
        state["last"] = said[-1] if said else ""

    persistently(connection, follow)
    log.end()
    found = re.fullmatch(r"done (\d{1,3})", state["last"])
    if found is None:
        host = connection.address.host
        raise UnsupportedError(
            f"{name} on {host} ended without an exit code: it was killed, or {host} restarted",
            "if memory is short there, stop other programs; then run the same command again: "
            "it goes on where it was",
        )
    return StepResult(int(found[1]), tuple(log.lines), state["first"] == "again")


def stop_step(connection: Connection, folder: str, name: str) -> None:
    """End a step there, as far as that machine can be reached; whatever fails is left."""
    with contextlib.suppress(EdgeError):
        connection.script(ROOM, "step.sh", ["stop", folder, name], timeout=15)


def _check(connection: Connection, answer: Answer) -> None:
    if answer.code:
        raise UnsupportedError(
            f"{connection.address.host} cannot keep its records: "
            + (last_line(answer.errors) or f"exit code {answer.code}"),
            "is the disk there full? Free some space, or name another folder with --to host:folder",
        )


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
