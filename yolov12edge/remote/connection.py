"""One machine, reached by the user's own ssh: its configuration, agent, keys and jump hosts.

The ssh program and no library: what connects by hand connects here, and no password passes through
this package (BatchMode). One connection is opened and shared by all commands (ControlMaster).
"""

from __future__ import annotations

import importlib.resources
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from yolov12edge.errors import Interrupted, UnsupportedError
from yolov12edge.remote.address import Address
from yolov12edge.remote.processes import Collected, end_process, output_of, stop, write
from yolov12edge.remote.refusals import ConnectionBroken, broken
from yolov12edge.remote.text import plain

CONNECT_SECONDS = 20
# ssh gives up after so many unanswered questions, one every so many seconds.
ALIVE_SECONDS, ALIVE_COUNT = 10, 3
# How long to wait before a broken connection is tried again.
PAUSES = (1.0, 3.0, 8.0)
_BROKEN = 255

Sink = Callable[[bytes], None]


@dataclass(frozen=True)
class Answer:
    """What a command on the other machine left: exit code, output, and text for people."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """The output as text without control characters."""
        return plain(self.output)


class Connection:
    """Commands on another machine; a context manager that opens and closes the connection.

    Threads may share one. `abort` ends what runs, from any thread.

    Args:
        address: where to.
        config: passed to `ssh -F`; the user's own configuration if None.
    """

    def __init__(self, address: Address, config: Path | None = None) -> None:
        self.address = address
        self._config = config
        # Names of sockets are short, at most 104 bytes on some systems.
        self._folder = Path(tempfile.mkdtemp(prefix="y12e-", dir="/tmp"))
        self._socket = self._folder / "s"
        self._master: subprocess.Popen[bytes] | None = None
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._aborted = False
        # Called where a connection had to be made again.
        self.reconnected: Callable[[], None] = lambda: None

    def __enter__(self) -> Connection:
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect; does nothing where the connection stands.

        Raises:
            UnsupportedError: there is no ssh program.
            ConnectionBroken: ssh cannot connect, in its words, with what to do.
        """
        again = self._master is not None
        if self._master is not None and self._master.poll() is None:
            return
        self._socket.unlink(missing_ok=True)
        words = [*self._ssh(), "-M", "-N", "-o", "ControlPersist=no", "--", self.address.login]
        with (self._folder / "errors").open("wb") as errors:
            self._master = self._start(words, stdout=subprocess.DEVNULL, stderr=errors)
        end = time.monotonic() + CONNECT_SECONDS + 5
        while not self._socket.exists():
            if self._master.poll() is not None or time.monotonic() > end:
                end_process(self._master)
                raise broken(self.address.login, (self._folder / "errors").read_bytes())
            self._check_aborted()
            time.sleep(0.02)
        if again:
            self.reconnected()

    def close(self) -> None:
        """End the connection."""
        if self._master is not None:
            end_process(self._master)
        shutil.rmtree(self._folder, ignore_errors=True)

    def abort(self) -> None:
        """End every command that runs here, and refuse new ones; they raise Interrupted."""
        with self._guard:
            self._aborted = True
            running = list(self._running)
        for process in running:
            process.kill()

    def revive(self) -> None:
        """Allow commands again after `abort`, to clean up."""
        self._aborted = False

    def run(
        self,
        words: Sequence[str],
        source: Iterable[bytes] = (),
        sink: Sink | None = None,
        *,
        most: int = 1 << 20,
        timeout: float | None = None,
    ) -> Answer:
        """Run a command there and wait for its end.

        Args:
            words: the command; quoted for the shell of the other side.
            source: its input, in pieces.
            sink: takes its output as it comes; else it is in the answer.
            most: bytes of output; more end the command.
            timeout: seconds; None for as long as it takes.

        Raises:
            ConnectionBroken: the connection could not be made, or broke.
            UnsupportedError: it prints more than `most`, or takes longer than `timeout`.
            Interrupted: `abort` was called.
        """
        process = self.begin(words)
        with self._guard:
            self._running.add(process)
        try:
            return self._talk(process, source, sink, most, timeout)
        finally:
            end_process(process)
            with self._guard:
                self._running.discard(process)

    def begin(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command there, its input, output and errors on pipes.

        Raises:
            ConnectionBroken: the connection could not be made.
        """
        self.open()
        ssh = [*self._ssh(), "--", self.address.login, shlex.join(words)]
        pipe = subprocess.PIPE
        return self._start(ssh, stdin=pipe, stdout=pipe, stderr=pipe)

    def script(
        self,
        package: str,
        name: str,
        arguments: Sequence[str] = (),
        source: Iterable[bytes] = (),
        sink: Sink | None = None,
        *,
        most: int = 1 << 20,
        timeout: float | None = None,
    ) -> Answer:
        """Run a POSIX sh script of this package there; else as `run`.

        Args:
            package: its package, which has a folder scripts/.
            name: its file.
            arguments: $1 and so on.
        """
        words = script_words(package, name, arguments)
        return self.run(words, source, sink, most=most, timeout=timeout)

    def _talk(
        self,
        process: subprocess.Popen[bytes],
        source: Iterable[bytes],
        sink: Sink | None,
        most: int,
        timeout: float | None,
    ) -> Answer:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        errors, said = Collected(process.stderr), bytearray()
        failures: list[BaseException] = []
        writer = threading.Thread(target=write, args=(process.stdin, source, failures), daemon=True)
        for thread in (errors, writer):
            thread.start()
        late = threading.Event()
        timer = threading.Timer(timeout, stop, (process, late)) if timeout else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        total = 0
        for piece in output_of(process, process.stdout.fileno()):
            total += len(piece)
            if total > most:
                raise UnsupportedError(
                    f"{self.address.host} sent more than {most} bytes for one question",
                    "see what it prints: something else than what was asked runs there",
                )
            if sink is None:
                said += piece
            else:
                sink(piece)
        code = process.wait()
        if timer is not None:
            timer.cancel()
        errors.join(timeout=5 if code >= 0 else 0.2)
        self._check_aborted()
        if failures:
            raise failures[0]
        if late.is_set():
            raise UnsupportedError(
                f"{self.address.host} gave no answer in {timeout:.0f} s",
                "see whether it still works: run the same command again",
            )
        if code == _BROKEN or code < 0:
            raise broken(self.address.login, bytes(errors.content))
        return Answer(code, bytes(said), plain(bytes(errors.content)))

    def _ssh(self) -> list[str]:
        config = [] if self._config is None else ["-F", str(self._config)]
        choices = {
            "BatchMode": "yes",
            "ControlPath": self._socket,
            "ControlMaster": "no",
            "ConnectTimeout": CONNECT_SECONDS,
            "ServerAliveInterval": ALIVE_SECONDS,
            "ServerAliveCountMax": ALIVE_COUNT,
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
        }
        options = [word for name, value in choices.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", *config, "-T", *options]

    def _start(self, words: Sequence[str], **pipes: int | IO[bytes]) -> subprocess.Popen[bytes]:
        self._check_aborted()
        channels = {"stdin": subprocess.DEVNULL} | pipes
        try:
            # A session of its own: Ctrl-C in the terminal is for us, who then clean up over it.
            return subprocess.Popen(list(words), start_new_session=True, **channels)  # type: ignore[call-overload,no-any-return]
        except FileNotFoundError as error:
            raise UnsupportedError(
                "there is no ssh on this machine", "install OpenSSH: apt install openssh-client"
            ) from error

    def _check_aborted(self) -> None:
        if self._aborted:
            raise Interrupted("interrupted", "run the same command again: it goes on where it was")


def script_words(package: str, name: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command that runs a script of a package's folder scripts/ with these arguments."""
    text = importlib.resources.files(package).joinpath("scripts", name).read_text("utf-8")
    return ["sh", "-c", text, name, *arguments]


def persistently(connection: Connection, action: Callable[[], None]) -> None:
    """Do what may be done twice; where the connection breaks meanwhile, connect and do it again.

    Raises:
        ConnectionBroken: it broke, and cannot be made again in some ten seconds.
    """
    for pause in PAUSES:
        try:
            action()
        except ConnectionBroken:
            time.sleep(pause)
        else:
            return
    action()
