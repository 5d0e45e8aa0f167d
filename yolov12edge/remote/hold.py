"""A folder on another machine that belongs to one deploy at a time."""

from __future__ import annotations

import getpass
import os
import platform
import re
import subprocess
from types import TracebackType

import psutil

from yolov12edge.errors import UnsupportedError
from yolov12edge.remote.connection import Connection, script_words
from yolov12edge.remote.files import ROOM
from yolov12edge.remote.processes import end_process
from yolov12edge.remote.refusals import ConnectionBroken
from yolov12edge.remote.text import last_line, plain


class Hold:
    """Holds a folder there for as long as the connection stands; made if it is not there.

    Nothing is left behind: a script there waits for the end of its input, which comes when the
    connection ends, however it ends. A connection that is made again takes the hold again.

    Args:
        folder: on the other machine.
        owner: names this side, in one line (`this_side`); what it left behind, or what a process
            that is gone from this machine left, is taken over.

    Raises:
        UnsupportedError: another deploy holds it, or it cannot be made.
    """

    def __init__(self, connection: Connection, folder: str, owner: str) -> None:
        self._connection, self._folder, self._owner = connection, folder, owner
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Hold:
        self._take()
        self._connection.reconnected = self._take
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.reconnected = lambda: None
        if self._process is not None:
            end_process(self._process)

    def _take(self) -> None:
        said = self._ask(self._owner)
        if said.startswith("busy ") and _is_gone(said.removeprefix("busy ")):
            said = self._ask(self._owner, said.removeprefix("busy "))
        if said == "held":
            return
        host = self._connection.address.host
        if said.startswith("busy"):
            by = said.removeprefix("busy").strip() or "it gives no name"
            raise UnsupportedError(
                f"another deploy works in {self._folder} on {host}: {by}",
                f"wait for it, or name another folder with --to {host}:folder",
            )
        assert self._process is not None
        assert self._process.stdin
        assert self._process.stderr
        self._process.stdin.close()
        errors = self._process.stderr.read(4000)
        if self._process.wait() == 255:
            raise ConnectionBroken(
                f"the connection to {host} broke: {last_line(errors)}",
                "run the same command again: it goes on where it was",
            )
        raise UnsupportedError(
            f"cannot work in {self._folder} on {host}: {last_line(errors) or 'no reason given'}",
            f"name a folder that you may write to, with --to {host}:folder",
        )

    def _ask(self, *words: str) -> str:
        if self._process is not None:
            end_process(self._process)
        self._process = self._connection.begin(
            script_words(ROOM, "hold.sh", [self._folder, *words])
        )
        assert self._process.stdout
        return plain(self._process.stdout.readline(1000)).strip()


def this_side() -> str:
    """Names this process, for whoever finds the folder held."""
    return f"{getpass.getuser()}@{platform.node()} process {os.getpid()}"


def _is_gone(owner: str) -> bool:
    """Whether an owner was a process of this machine that has ended."""
    found = re.fullmatch(r".*@(.+) process (\d{1,9})", owner)
    if found is None or found[1] != platform.node():
        return False
    return not psutil.pid_exists(int(found[2]))
