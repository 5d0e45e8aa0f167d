"""Where to: [user@]host[:folder], as scp writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yolov12edge.errors import UsageError

# What ssh takes for a host: a name of ~/.ssh/config, a DNS name, an address; [...] around IPv6.
_ADDRESS = re.compile(
    r"(?P<login>(?:[\w.+-]+@)?(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+)))(?::(?P<folder>.*))?",
    re.ASCII | re.DOTALL,
)


@dataclass(frozen=True)
class Address:
    """A machine and, if one was named, a folder on it.

    Attributes:
        login: what ssh is given: [user@]host.
        host: the machine alone, for people and for names of files.
        folder: absolute, or below the home folder there; None where none was named.
    """

    login: str
    host: str
    folder: str | None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read [user@]host[:folder].

        Raises:
            UsageError: it is none, or would be taken for an option of ssh.

        Example:
            >>> Address.parse("nvidia@orin:engines/bccd").folder
            'engines/bccd'
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or text.startswith("-"):
            raise UsageError(f"{text!r} is no [user@]host[:folder]", "pass --to user@host")
        login, folder = found["login"], found["folder"] or None
        host = found["six"] or found["host"]
        if login.rpartition("@")[2].startswith("-"):
            raise UsageError(f"{text!r} is no [user@]host[:folder]", "pass --to user@host")
        if folder is not None:
            folder = _checked(folder, text)
        return cls(login.replace("[", "").replace("]", ""), host, folder)


def _checked(folder: str, text: str) -> str:
    folder = folder.removeprefix("~/").rstrip("/")
    if not folder or folder.startswith("~") or any(ord(one) < 32 for one in folder):
        raise UsageError(
            f"{text!r} names no folder of its own", "pass --to host:folder, below the home or /"
        )
    return f"./{folder}" if folder.startswith("-") else folder
