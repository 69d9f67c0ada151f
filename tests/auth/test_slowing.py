"""Who has to wait with the next password, and who has not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.slowing import AT_ONCE, BOUND, KNOWN_SECONDS, RECOVERY_SECONDS, Slowing


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowing(clock: Clock) -> Slowing:
    return Slowing(clock=clock)


def fail(slowing: Slowing, times: int, address: str = "192.0.2.1", user: str = "alice") -> None:
    for _ in range(times):
        slowing.failed(address, user)


def test_some_are_tried_at_once_and_then_one_now_and_then(slowing: Slowing, clock: Clock) -> None:
    fail(slowing, AT_ONCE - 1)
    assert slowing.wait("192.0.2.1", "alice") == 0
    fail(slowing, 1)
    assert slowing.wait("192.0.2.1", "alice") == pytest.approx(RECOVERY_SECONDS)
    clock.now += RECOVERY_SECONDS
    assert slowing.wait("192.0.2.1", "alice") == 0
    fail(slowing, 1)
    assert slowing.wait("192.0.2.1", "bob") == pytest.approx(RECOVERY_SECONDS)


def test_all_is_forgotten_in_the_end(slowing: Slowing, clock: Clock) -> None:
    fail(slowing, AT_ONCE)
    clock.now += AT_ONCE * RECOVERY_SECONDS
    fail(slowing, AT_ONCE - 1)
    assert slowing.wait("192.0.2.1", "alice") == 0


def test_others_elsewhere_do_not_wait(slowing: Slowing) -> None:
    fail(slowing, 100)
    assert slowing.wait("192.0.2.2", "alice") == 0
    assert slowing.wait("unix", "alice") == 0


def test_a_network_of_ipv6_is_one_address(slowing: Slowing) -> None:
    for number in range(AT_ONCE):
        fail(slowing, 1, f"2001:db8::{number:x}")
    assert slowing.wait("2001:db8::ffff", "alice") > 0
    assert slowing.wait("2001:db8:0:1::1", "alice") == 0


def test_a_port_that_a_proxy_adds_makes_no_other_address(slowing: Slowing) -> None:
    for number in range(AT_ONCE):
        fail(slowing, 1, f"192.0.2.1:{5000 + number}")
    assert slowing.wait("192.0.2.1:6000", "alice") > 0


def test_who_has_logged_in_there_has_tries_of_its_own(slowing: Slowing, clock: Clock) -> None:
    slowing.succeeded("192.0.2.1", "alice")
    fail(slowing, 100, user="bob")
    fail(slowing, 100, user="carol")
    assert slowing.wait("192.0.2.1", "alice") == 0
    assert slowing.wait("192.0.2.1", "dave") > 0
    fail(slowing, 100, user="alice")
    assert slowing.wait("192.0.2.1", "alice") > 0
    assert slowing.wait("192.0.2.2", "alice") == 0
    clock.now += KNOWN_SECONDS
    fail(slowing, AT_ONCE, user="bob")
    assert slowing.wait("192.0.2.1", "alice") > 0


def test_a_right_password_does_not_pay_for_wrong_ones(slowing: Slowing) -> None:
    for _ in range(AT_ONCE):
        fail(slowing, 1, user="alice")
        slowing.succeeded("192.0.2.1", "mallory")
    assert slowing.wait("192.0.2.1", "alice") > 0


def test_what_is_counted_is_bounded(slowing: Slowing) -> None:
    for number in range(BOUND * 2):
        slowing.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "alice")
        slowing.succeeded("192.0.2.1", f"user{number}")
    for table in (slowing._forgotten_at, slowing._known):
        assert len(table) + len(table._old) <= BOUND


@given(st.lists(st.floats(0, 2 * RECOVERY_SECONDS), max_size=60))
def test_no_address_gets_more_than_its_tries(pauses: list[float]) -> None:
    clock = Clock()
    slowing = Slowing(clock=clock)
    tried = 0
    for pause in pauses:
        clock.now += pause
        if slowing.wait("192.0.2.1", "alice") == 0:
            tried += 1
            slowing.failed("192.0.2.1", "alice")
    assert tried <= AT_ONCE + (clock.now - 1000) / RECOVERY_SECONDS + 1e-6
