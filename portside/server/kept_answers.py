"""Answers that are given again: to a request of the very same bytes, while all that its answer depends on is the same.

A client that polls, and each that pulls what others pulled, sends the same head again and again. To read it, to find
what it asks for and to write the answer's head costs ten times what is left when none of this is done twice: to ask
storage and access again whether anything has changed (`backends/dependencies.py`), and to leave a line and counts.

Here is what is kept; `answering_again` decides whether a piece is a request at all, `keeping` makes what is kept.

Invariants:
- a head is known by its SHA-256 alone, for it may hold credentials, within one listener and one kind of peers;
- what is found holds at this moment: each question about it was asked anew;
- what is kept is bounded in bytes, and what a client sends once leaves a number behind, for two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from aiohttp.helpers import rfc822_formatted_time

from backends.dependencies import Passage, Question, Tell
from backends.model.cache import Cache

LONGEST_HEAD = 4096
"""Longer heads are not looked up."""
LARGEST = 64 * 1024
"""Larger answers are not kept, whatever room there is."""
OVERHEAD = 4096
"""Bytes that an answer takes up beside its own: questions, and what is told of it."""
PASSAGES = 512
"""So many requests are known that go on to a registry in another process; each takes up to 20 KiB."""
SIGHT_SECONDS = 2.0
SIGHTS = 4096
"""So many heads are remembered as seen within the last seconds."""
FIRST_PAUSE = 0.002
LONGER, LONGEST_PAUSE = 4, 0.5
"""An answer is tried to be kept when its head is seen again. What cannot be kept, or not yet, is tried again after a
pause, each four times as long as the one before. A try in vain costs a third of a request: where hundreds of heads that
cannot be kept come in turn, each is back after tens of milliseconds, and should not be tried each time."""


class Dates:
    """The value of `Date`, made once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """Returns it as it is now."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = rfc822_formatted_time().encode()
        return self._text


class KeptAnswer:
    """An answer.

    Attributes:
        closes: whether it is the last one of its connection, as its request wants.
        size: of the message in bytes.
    """

    __slots__ = ("_after", "_before", "_dates", "_mark", "_questions", "_tells", "closes", "size")

    def __init__(
        self,
        mark: bytes,
        before: bytes,
        after: bytes,
        dates: Dates,
        *,
        closes: bool,
        questions: Sequence[Question],
        tells: Sequence[Tell],
    ) -> None:
        self._mark = mark
        self._before = before
        self._after = after
        self._dates = dates
        self._questions = tuple(questions)
        self._tells = tuple(tells)
        self.closes = closes
        self.size = len(before) + len(after)

    def is_for(self, head: bytes) -> bool:
        """Whether it is the answer to these bytes, and nothing that it depends on has changed."""
        if sha256(head).digest() != self._mark:
            return False
        return self.holds()

    def holds(self) -> bool:
        """Whether nothing that it depends on has changed."""
        try:
            for ask in self._questions:
                if not ask():
                    return False
        except OSError:  # of storage: whoever answers anew finds out, and says so
            return False
        return True

    def message(self) -> bytes:
        """Returns head and body as they are to be sent now."""
        return b"".join((self._before, self._dates.now(), self._after))

    def tell(self, peer: str, seconds: float) -> None:
        """Leaves the line, the counts and whatever else such a request leaves.

        Args:
            peer: the address of the client's end of the connection; `unix` for a unix socket.
            seconds: from the request's head to now.
        """
        for tell in self._tells:
            tell(peer, seconds)


@dataclass(frozen=True, slots=True)
class KeptPassage:
    """How a request goes on to a registry in another process.

    Attributes:
        mark: the SHA-256 of its head.
        passage: this.
        questions: all must be true.
    """

    mark: bytes
    passage: Passage
    questions: tuple[Question, ...]


class KeptAnswers:
    """The answers of one listener to one kind of peers.

    Args:
        bound: bytes.
        clock: seconds, from any beginning.

    Attributes:
        is_open: whether any are kept: not after `close`; then there are others in their place, or none.
    """

    __slots__ = ("_answers", "_clock", "_dates", "_passages", "_seen", "_seen_until", "is_open")

    def __init__(self, bound: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers: Cache[int, KeptAnswer] = Cache(bound=bound, weigh=_weight)
        self._passages: Cache[int, KeptPassage] = Cache(bound=PASSAGES)
        self._dates = Dates()
        self._clock = clock
        self._seen: dict[int, tuple[float, float]] = {}
        self._seen_until = 0.0
        self.is_open = True

    def find(self, head: bytes) -> KeptAnswer | None:
        """Returns the answer to a request, which must be whole and have no body; None where none is known to hold."""
        number = hash(head)
        answer = self._answers.find(number)
        if answer is None:
            return None
        if answer.is_for(head):
            return answer
        self._answers.forget(number)
        self._seen.pop(number, None)
        return None

    def see(self, head: bytes) -> bool:
        """Takes note of a request that has no answer here; returns whether it comes often enough to keep one."""
        if len(head) > LONGEST_HEAD:
            return False
        now = self._clock()
        if now > self._seen_until or len(self._seen) >= SIGHTS:
            self._seen_until = now + SIGHT_SECONDS
            self._seen.clear()
        number = hash(head)
        seen = self._seen.get(number)
        if seen is None:
            self._seen[number] = (now, FIRST_PAUSE)
            return False
        again_at, pause = seen
        if now < again_at:
            return False
        self._seen[number] = (now + pause, min(LONGER * pause, LONGEST_PAUSE))
        return True

    def keep(
        self,
        head: bytes,
        parts: tuple[bytes, bytes],
        *,
        closes: bool,
        questions: Sequence[Question],
        tells: Sequence[Tell],
    ) -> None:
        """Keeps an answer.

        Args:
            head: of its request.
            parts: what comes before the value of its `Date`, and after.
            closes: whether its request is the last one of a connection.
            questions: all must be true when it is given again.
            tells: are called each time.
        """
        if not self.is_open or len(head) > LONGEST_HEAD or sum(map(len, parts)) > LARGEST:
            return
        answer = KeptAnswer(sha256(head).digest(), *parts, self._dates, closes=closes, questions=questions, tells=tells)
        self._answers.put(hash(head), answer)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._answers.weight

    def find_passage(self, head: bytes) -> Passage | None:
        """Returns how a request goes on, which must be whole and have no body; None where nothing is known of it."""
        number = hash(head)
        found = self._passages.find(number)
        if found is None or sha256(head).digest() != found.mark:
            return None
        return found.passage if all(ask() for ask in found.questions) else None

    def keep_passage(self, head: bytes, passage: Passage, *, questions: Sequence[Question]) -> None:
        """Keeps how a request goes on to a registry in another process.

        Args:
            head: of the request.
            passage: for it.
            questions: all must be true when it is used.
        """
        if self.is_open and len(head) <= LONGEST_HEAD:
            self._passages.put(hash(head), KeptPassage(sha256(head).digest(), passage, tuple(questions)))

    def close(self) -> None:
        """Forgets all, and keeps nothing any more."""
        self.is_open = False
        self._passages = Cache(bound=1)
        self._answers = Cache(bound=1)
        self._seen.clear()


def _weight(_: int, answer: KeptAnswer) -> int:
    return answer.size + OVERHEAD
