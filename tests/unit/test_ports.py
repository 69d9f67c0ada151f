"""Ports for programs that are started by tests."""

from __future__ import annotations

import os

import pytest

from tests.support.ports import END, FIRST, free_port


def test_each_is_handed_out_once() -> None:
    ports = [free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    assert all(FIRST <= port < END for port in ports)


def test_whoever_runs_the_tests_after_somebody_else_gets_some_too() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root to become another user")
    free_port()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            os._exit(0 if free_port() else 1)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
