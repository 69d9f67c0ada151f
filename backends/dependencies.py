"""What an answer depends on, said by those who know it while the answer is made; a like request is then answered again.

`portside/server/kept_answers.py` keeps answers and gives them to later requests of the very same bytes. That is right
only while all that was asked to make one would be told the same again. So whoever answers a question about something
that may change, of storage or of access, adds the question here; who cannot ask it again refuses.

Invariants:
- nothing is kept unless its operation permits it, nobody refuses, and it was made without waiting for anything;
- a question never waits, and is true only where it was asked anew: none of them remembers its own answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

Question = Callable[[], bool]
"""Whether something is still as it was."""

Tell = Callable[[str, float], None]
"""Called with the address of a client and the seconds that its answer took."""


class Passing(Protocol):
    """A request that has gone on to a registry in another process without being read here."""

    def message(self, *, closes: bool) -> bytes | None:
        """Returns the whole answer as it is to be sent, once `done` was called.

        Args:
            closes: whether the connection ends with it.

        Returns:
            None where it takes a handler to give it: one that finds this under `request_context.PASSED_ON`.
        """
        ...

    def tell(self, peer: str, seconds: float) -> None:
        """Leaves what such a request leaves, once its message was sent."""
        ...

    def leave(self, peer: str, seconds: float) -> None:
        """Says that the client has gone before its answer was there, and leaves what such a request leaves."""
        ...

    def drop(self) -> None:
        """Says that nobody takes the answer."""
        ...


class Passage(Protocol):
    """How requests of the very same bytes go on to a registry in another process without being read again.

    Attributes:
        tells: returns what an answer leaves behind, of its status and the bytes of its body.
    """

    tells: Callable[[int, int], Sequence[Tell]]

    def begin(self, head: bytes, peer: str, done: Callable[[], None]) -> Passing | None:
        """Passes a request on; None where that takes waiting.

        Args:
            head: the request's bytes.
            peer: the address of its client.
            done: called once, when its answer is there, or is not to be given without a handler.
        """
        ...


class Dependencies:
    """What one answer depends on.

    Attributes:
        is_permitted: whether its operation is one of those whose answers may be given again.
        is_refused: whether somebody cannot say when that would be right.
        needs_storage: whether its operation cannot answer without storage.
        asks_storage: whether storage was asked, and can be asked again.
        questions: all of these must be true.
        tells: what each such answer leaves behind: a line, counts, a login.
        passage: how its request may go on to a registry in another process, if that is where answers are made.
    """

    __slots__ = ("asks_storage", "is_permitted", "is_refused", "needs_storage", "passage", "questions", "tells")

    def __init__(self) -> None:
        self.is_permitted = self.is_refused = self.needs_storage = self.asks_storage = False
        self.questions: list[Question] = []
        self.tells: list[Tell] = []
        self.passage: Passage | None = None

    @property
    def are_known(self) -> bool:
        """Whether they are all here, so that the answer may be given again while all questions are true.

        A driver that says nothing of what it was asked has its answers kept by nobody.
        """
        return self.is_permitted and not self.is_refused and (self.asks_storage or not self.needs_storage)

    def permit(self, *, needs_storage: bool) -> None:
        """Says that the answer may be given again, as far as the operation is concerned.

        Args:
            needs_storage: whether it has asked storage.
        """
        self.is_permitted = True
        self.needs_storage = needs_storage

    def refuse(self) -> None:
        """Says that it may not, whatever others say."""
        self.is_refused = True

    def add(self, question: Question) -> None:
        """Adds what must still be true."""
        self.questions.append(question)

    def add_of_storage(self, question: Question) -> None:
        """Adds what must still be true of storage."""
        self.questions.append(question)
        self.asks_storage = True

    def tell(self, tell: Tell) -> None:
        """Adds what each such answer leaves behind."""
        self.tells.append(tell)


NOTED: ContextVar[Dependencies | None] = ContextVar("portside.dependencies", default=None)
"""Those of the request that is being answered; None for most requests, whose answers are not to be kept."""


def refuse_keeping(*_: Any) -> None:
    """Says that the answer that is being made depends on what cannot be asked again."""
    noted = NOTED.get()
    if noted is not None:
        noted.refuse()
