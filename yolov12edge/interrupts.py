"""Ctrl-C that is neither lost in a library nor strikes where it must not."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_seen = False


@contextlib.contextmanager
def interrupts_remembered() -> Iterator[None]:
    """In this block Ctrl-C raises KeyboardInterrupt, and is remembered.

    Libraries that catch everything swallow the exception, or make another error of it; see
    `interrupted` and `raise_if_interrupted`. Does nothing outside of the main thread, which alone
    receives signals.
    """
    global _seen
    _seen = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def remember(number: int, frame: FrameType | None) -> None:
        global _seen
        _seen = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """In this block Ctrl-C waits; it takes effect right after it.

    For steps that must be done as a whole, and for imports of C++ extensions: an exception in
    Python code that their start-up calls ends the process. Blocking the signal would not do,
    since the threads of other libraries would take it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal held
        held = True

    previous = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if held:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """In this block Ctrl-C, or a request to terminate, is only noted; a second one raises.

    For long loops that stop by themselves between two steps.

    Yields:
        a function that says whether one came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def interrupted() -> bool:
    """Whether Ctrl-C came since `interrupts_remembered` was entered."""
    return _seen


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt that a library may have swallowed, before a result counts."""
    if _seen:
        raise KeyboardInterrupt
