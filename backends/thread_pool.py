"""Threads for what may wait, where the system may start no more of them.

Where a container or a user may have no more of them, `ThreadPoolExecutor` fails after it has put the work on its queue.
One of its threads does it later, when its caller has long gone on: with a descriptor that is another file's by then, or
for a lock that nobody lets go of.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from typing_extensions import override


class NoThread(RuntimeError):  # noqa: N818 - as the error that it stands for
    """The system starts not even one thread."""


class ThreadPool(ThreadPoolExecutor):
    """A pool that does what it is given, with as many threads as there may be, or refuses it for good.

    Raises:
        NoThread: by `submit`, of a pool that has none yet.
    """

    @override
    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                self._work_queue.get_nowait()  # what was just put there
                raise NoThread(str(error)) from error
