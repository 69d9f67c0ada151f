"""Portside in its three forms, once each for all journeys."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.wire import Address


@pytest.fixture(scope="session", params=list(Form), ids=lambda form: form.name.lower())
def portside(request: pytest.FixtureRequest) -> Iterator[RunningPortside]:
    form: Form = request.param
    # pytest's own temporary folders have names too long for unix sockets.
    with tempfile.TemporaryDirectory(prefix="portside-") as folder, contextlib.ExitStack() as stack:
        yield stack.enter_context(running_portside(form, Path(folder)))


@pytest.fixture
def portside_address(portside: RunningPortside) -> Address:
    return portside.address
