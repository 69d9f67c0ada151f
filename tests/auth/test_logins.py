"""Logins are told once a second for each who logs in again and again."""

from __future__ import annotations

import logging

import pytest

from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Failure
from backends.web.logins import AGAIN_SECONDS, Logins

ALICE = Identity("alice", "htpasswd")
HERE = Caller("192.0.2.1", "docker/24.0.7", "v2", "https://registry.example")


class Counted:
    """Which logins were counted."""

    def __init__(self) -> None:
        self.logins: list[str] = []

    def logged_in(self, scheme: str) -> None:
        self.logins.append(scheme)

    def failed(self, scheme: str, failure: Failure) -> None:  # noqa: ARG002 - an observer
        raise AssertionError


def test_logins_are_told_once_a_second_for_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    counted = Counted()
    logins = Logins(counted, clock=lambda: now)
    others = [
        (Identity("bob", "htpasswd"), HERE),
        (Identity("alice", "token"), HERE),
        (ALICE, HERE._replace(address="192.0.2.2")),
        (ALICE, HERE._replace(agent="skopeo/1.9.3")),
    ]
    for _ in range(50):
        logins.tell(ALICE, HERE.address, HERE.agent)
        for identity, caller in others:
            logins.tell(identity, caller.address, caller.agent)
        now += AGAIN_SECONDS / 100
    assert len(caplog.records) == len(counted.logins) == 5
    now += AGAIN_SECONDS
    logins.tell(ALICE, HERE.address, HERE.agent)
    assert [each.getMessage() for each in caplog.records][5:] == [
        "alice at 192.0.2.1 logged in (htpasswd, docker/24.0.7)"
    ]
    assert counted.logins.count("token") == 1
