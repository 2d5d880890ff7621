"""SIGINT and SIGTERM end a command at once, with exit code 130 and without a traceback.

Commands that finish something first (``Stop.on_signals``) replace these handlers while they work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

CODE = 130
"""128 plus the number of SIGINT, as in shells; SIGTERM has the same code."""
AGAIN_SECONDS = 0.02
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CALLBACKS = ("_log_handler_callback", "_marshal_")
"""Functions of pyvips that libvips calls back."""


def end_at_once() -> None:
    """Let the signals end this process at once, until there is something to clean up."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as set by nohup
            signal.signal(number, lambda *_: os._exit(CODE))


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """While in this context, the signals raise KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = {
        number: signal.signal(number, _interrupt)
        for number in (*_SIGNALS, signal.SIGALRM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, action in before.items():
            signal.signal(number, action)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    if _called_from_c(frame):
        # An exception here would be printed and dropped: deliver the signal again a little later.
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        return
    raise KeyboardInterrupt


def _called_from_c(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_name.startswith(_CALLBACKS) and "pyvips" in code.co_filename:
            return True
        frame = frame.f_back
    return False
