"""Where the system starts no more threads, work is done by those that there are, or refused for good."""

from __future__ import annotations

import threading

import pytest

from backends.thread_pool import NoThread, ThreadPool
from tests.support.threads import no_more_threads


def test_the_threads_that_there_are_do_it_and_nothing_is_done_that_was_refused() -> None:
    busy = threading.Event()
    with ThreadPool(4) as pool:
        first = pool.submit(busy.wait, 10)
        with no_more_threads():
            others = [pool.submit(int, str(number)) for number in range(8)]
            assert len(pool._threads) == 1
            busy.set()
            assert [other.result(10) for other in others] == list(range(8))
        assert first.result(10)


def test_without_any_thread_it_refuses_and_forgets() -> None:
    done: list[int] = []
    with ThreadPool(4) as pool:
        with no_more_threads():
            for number in range(3):
                with pytest.raises(NoThread, match="thread"):
                    pool.submit(done.append, number)
        pool.submit(done.append, 3).result(10)
    assert done == [3]
