"""What each signal does, and whether a SIGHUP says that the terminal has closed.

- SIGTERM, SIGINT, SIGQUIT: requests in progress are finished; a second one ends everything at once.
- SIGHUP: what can change while serving is reloaded; or, when the terminal has closed that the program was started
  from, it ends as by SIGTERM, unless `nohup` has it ignore that.
- SIGUSR1, SIGUSR2: nothing. Log rotation sends them, and there is no file to reopen.

They are for the parent. A terminal, and some service managers, send to the whole group: workers ignore them, but for
SIGTERM and SIGQUIT, which end that worker only; it is replaced.
"""

from __future__ import annotations

import os
import signal
import time

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
WITHOUT_EFFECT = frozenset({signal.SIGUSR1, signal.SIGUSR2})
SIGNALS = ENDING | WITHOUT_EFFECT | {signal.SIGHUP, signal.SIGCHLD}
_WAIT_SECONDS = 0.05


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class Terminal:
    """The terminal that this process was started from; made while it is there."""

    def __init__(self) -> None:
        self._ends_with_it = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def closed(self) -> bool:
        """Whether it has closed, asked at a SIGHUP.

        The kernel sends one, or the shell does, which hears of it first; the kernel takes the terminal away from all
        who had it at the same time.
        """
        if not self._ends_with_it:
            return False
        time.sleep(_WAIT_SECONDS)
        return not _has_terminal()
