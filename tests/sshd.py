"""A device on the loopback: OpenSSH's own sshd, with keys and a configuration of the test's own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

NAME = "box"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Device:
    """A running sshd, reached as `box` by ssh with `config`.

    Attributes:
        root: a folder for what deploys leave there.
        config: a configuration for `ssh -F`.
        bin: a folder that comes first in PATH there.
        log: what sshd says.
    """

    root: Path
    config: Path
    bin: Path
    log: Path
    process: subprocess.Popen[bytes]

    def cut_connections(self) -> int:
        """Kill the processes that serve connections, as a lost network would; how many."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        serving = [child for child in children if child.name().startswith("sshd")]
        for child in serving:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL)
        return len(serving)


def program(name: str) -> str:
    """Path of a program of openssh-server or openssh-client; skips where it is missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextlib.contextmanager
def running_device(
    folder: Path,
    path: str | None = None,
    environment: dict[str, str] | None = None,
    root: Path | None = None,
) -> Iterator[Device]:
    """Start sshd in a folder of its own, and end it.

    Args:
        path: PATH of what runs there, after the device's own folder of programs.
        environment: more variables there.
        root: the folder for what deploys leave; one of its own if None.
    """
    sshd, keygen = program("sshd"), program("ssh-keygen")
    program("ssh")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ("host", "user"):
        words = [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    bin_folder, log = folder / "bin", folder / "sshd.log"
    root = root or folder / "its files"
    bin_folder.mkdir()
    root.mkdir(exist_ok=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    variables = {"PATH": f"{bin_folder}:{path or SYSTEM_PATH}"} | (environment or {})
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"PidFile {folder}/sshd.pid\nMaxSessions 20\n"
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()) + "\n"
    )
    (folder / "config").write_text(
        f"Host {NAME} twin\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {folder}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    words = [sshd, "-D", "-f", str(folder / "sshd_config"), "-E", str(log)]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    device = Device(root, folder / "config", bin_folder, log, process)
    try:
        _wait(device)
        yield device
    finally:
        device.cut_connections()
        process.terminate()
        process.wait()


def _wait(device: Device) -> None:
    words = ["ssh", "-F", str(device.config), "-o", "BatchMode=yes", NAME, "true"]
    end = time.monotonic() + 10
    while True:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return
        if device.process.poll() is not None or time.monotonic() > end:
            said = device.log.read_text() if device.log.exists() else ""
            pytest.skip(f"sshd does not serve this user: {(said + done.stderr)[-300:]}")
        time.sleep(0.1)
