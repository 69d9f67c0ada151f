"""What is kept of answers: for whom, for how long, and when it is tried at all."""

from __future__ import annotations

from itertools import pairwise

from portside.server.kept_answers import LARGEST, LONGEST_HEAD, LONGEST_PAUSE, SIGHT_SECONDS, KeptAnswers

HEAD = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


def kept(answers: KeptAnswers, head: bytes = HEAD, *, body: bytes = b"\r\n\r\n{}", holds: bool = True) -> None:
    answers.keep(head, (b"HTTP/1.1 200 OK\r\nDate: ", body), closes=False, questions=[lambda: holds], tells=[])


def test_an_answer_is_for_the_very_same_bytes() -> None:
    answers = KeptAnswers(1 << 20)
    kept(answers)
    found = answers.find(bytes(bytearray(HEAD)))
    assert found is not None
    assert found.is_for(HEAD)
    assert not found.is_for(HEAD + b"x")  # as where two heads have one hash


def test_what_does_not_hold_is_forgotten() -> None:
    answers = KeptAnswers(1 << 20)
    kept(answers, holds=False)
    assert answers.find(HEAD) is None
    assert answers.size == 0


def test_what_is_too_long_is_not_kept() -> None:
    answers = KeptAnswers(1 << 20)
    long = HEAD + b"x" * LONGEST_HEAD
    kept(answers, long)
    kept(answers, body=b"x" * LARGEST)
    assert answers.size == 0
    assert not any(answers.see(long) for _ in range(5))


def test_an_answer_is_tried_to_be_kept_when_its_head_comes_again_and_then_after_longer_and_longer_pauses() -> None:
    now = 100.0
    answers = KeptAnswers(1 << 20, clock=lambda: now)
    tried = []
    for _ in range(1000):
        if answers.see(HEAD):
            tried.append(now)
        now += 0.001
    assert tried[0] < 100.01
    pauses = [after - before for before, after in pairwise(tried)]
    assert max(pauses) < LONGEST_PAUSE + 0.002
    assert len(tried) < 50
    now += SIGHT_SECONDS
    assert not answers.see(HEAD)


def test_nothing_is_kept_any_more_once_it_is_closed() -> None:
    answers = KeptAnswers(1 << 20)
    kept(answers)
    answers.close()
    kept(answers)
    assert answers.find(HEAD) is None
