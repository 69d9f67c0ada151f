"""Portside in one process and with separate roles, once each for all pushes and pulls of the matrix."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from typing_extensions import override

from tests.support.portside import Form, RunningPortside, running_portside

FOREIGN_LAYERS: Final = {"validation": {"manifests": {"urls": {"allow": ["^http://127[.]0[.]0[.]1:"]}}}}
"""Without it nothing is pushed that names a layer elsewhere."""


@pytest.fixture(scope="session", params=[Form.ONE, Form.ROLES], ids=lambda form: form.name.lower())
def portside(request: pytest.FixtureRequest) -> Iterator[RunningPortside]:
    form: Form = request.param
    # pytest's own temporary folders have names too long for unix sockets.
    with tempfile.TemporaryDirectory(prefix="portside-") as folder, contextlib.ExitStack() as stack:
        yield stack.enter_context(running_portside(form, Path(folder), FOREIGN_LAYERS))


@dataclass(slots=True)
class Elsewhere:
    """A web server that has the layers which a registry has not."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Elsewhere]:
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Elsewhere(f"http://127.0.0.1:{server.server_port}", files)
        finally:
            server.shutdown()
            thread.join()
