"""Text from untrusted files, made safe to print."""

from __future__ import annotations


def printable(text: object, limit: int = 80) -> str:
    """`text` quoted on one line, control characters escaped, at most about `limit` characters."""
    string = str(text) if isinstance(text, (str, int, float)) else type(text).__name__
    return ascii(string if len(string) <= limit else string[:limit] + "...")
