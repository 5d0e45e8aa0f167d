"""What ssh says when it cannot connect, and what to do about it."""

from __future__ import annotations

from yolov12edge.errors import UnsupportedError
from yolov12edge.remote.text import last_line, plain


class ConnectionBroken(UnsupportedError):
    """ssh could not connect, or lost the connection (exit 7)."""


def broken(login: str, errors: bytes) -> ConnectionBroken:
    """The error that ssh's own words mean.

    Args:
        login: [user@]host.
        errors: what ssh wrote on stderr.
    """
    said = plain(errors)
    for sign, hint in _HINTS.items():
        if sign in said:
            line = next(line for line in said.splitlines() if sign in line).strip()
            return ConnectionBroken(f"ssh {login}: {line[:300]}", hint.format(login=login))
    return ConnectionBroken(
        f"the connection to {login} broke: {last_line(errors) or 'it ended'}",
        "run the same command again: it goes on where it was",
    )


_AGAIN = "is it on, and in the network? Once it is, run the same command again: it goes on"
# What ssh says, and what to do about it.
_HINTS = {
    "Permission denied": (
        "set up a key, nobody is asked for passwords here: ssh-copy-id {login}; "
        "then `ssh {login} true` has to work"
    ),
    "Too many authentication failures": "name the key for {login} in ~/.ssh/config (IdentityFile)",
    "Host key verification failed": (
        "connect once by hand and compare its fingerprint: ssh {login}"
    ),
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "if it was installed anew: ssh-keygen -R its name, then ssh {login}; otherwise beware"
    ),
    "Could not resolve hostname": "check the name, or give it an entry in ~/.ssh/config",
    "Connection refused": "start its SSH server: sudo apt install openssh-server",
    "Connection timed out": _AGAIN,
    "Operation timed out": _AGAIN,
    "No route to host": _AGAIN,
    "Network is unreachable": _AGAIN,
    "Bad configuration option": "check the file of ssh's configuration",
    "Can't open user config file": "check the path after --ssh-config",
}
