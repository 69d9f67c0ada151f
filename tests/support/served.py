"""A small server on Portside's own listeners and workers, as a process of its own, and the handlers it offers.

Run as a program (`python -m tests.support.served SETTINGS`) it serves; imported, `running_server` starts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from backends import request_context
from portside.problems import Problem
from portside.server.grammar import refuse
from portside.server.listening import Limits, Listener, bind, parse_address
from portside.server.serving import Handler
from portside.server.workers import serve
from portside.tls.contexts import CertificateChain, ClientAuth, TlsSettings, TlsVersion

_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts.

    Attributes:
        process: the parent of the workers.
        port: of its first listener; 0 for a unix socket.
        folder: where handlers leave marks.
    """

    process: subprocess.Popen[str]
    port: int
    folder: Path
    output: Path

    def log(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for_line(self, *words: str, seconds: float = 45.0) -> str:
        """Wait for a line of the log that has all the words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log().splitlines():
                if all(word in line for word in words):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {words} after {seconds} s:\n{self.log()}")

    def wait_for_mark(self, name: str, *, seconds: float = 45.0) -> None:
        """Wait until a handler has left a mark."""
        deadline = time.monotonic() + seconds
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline, f"no mark {name} after {seconds} s:\n{self.log()}"
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 45.0) -> int:
        """Ask it to end and return its status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextlib.contextmanager
def running_server(
    folder: Path,
    *,
    address: str = "127.0.0.1:0",
    tls: Mapping[str, Any] | None = None,
    wrapper: Sequence[str] = (),
    prepare: Callable[[], None] | None = None,
    group: bool = False,
    stdin: int | None = None,
    **settings: Any,
) -> Iterator[RunningServer]:
    """Run it until the end of the block.

    Args:
        folder: for its log and marks.
        tls: `chains` (pairs of paths), `minimum`, `client_cas`, `client_auth`, `reload_seconds`, `ciphers`.
        wrapper: a command before it, such as `unshare`.
        prepare: called in the process before the program starts.
        group: a process group of its own, which has its number.
        stdin: what it reads.
        settings: `workers`, `drain_seconds`, `trusted_networks`, `trusted_peer`, `limits` (the fields of `Limits`),
            `fails` (the worker's build raises), `loop`.

    Raises:
        AssertionError: it did not get ready.
    """
    output = folder / "served.log"
    chosen = {"address": address, "tls": tls, "folder": str(folder), **settings}
    with output.open("w") as log:
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "tests.support.served", json.dumps(chosen, default=str)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=_ROOT,
            text=True,
            stdin=stdin,
            preexec_fn=prepare,  # noqa: PLW1509 - setsid and an ioctl, in a test without threads
            process_group=0 if group else None,
        )
    server = RunningServer(process, 0, folder, output)
    try:
        line = server.wait_for_line("ready on", seconds=20)
        port = line.rpartition(":")[2]
        yield RunningServer(process, int(port) if port.isdigit() else 0, folder, output)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Services:
    """Handlers by path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {"main": self._answer}

    def change(self, values: Any) -> None:
        self._mark(f"changed-{values}-{os.getpid()}")

    @property
    def refusals(self) -> Mapping[str, Handler]:
        return {"main": refuse}

    async def drain(self) -> None:
        """Does nothing: nobody waits for anything here."""

    async def close(self) -> None:
        self._mark(f"closed-{os.getpid()}")

    def _mark(self, name: str) -> None:
        (self._folder / name).touch()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path:
            case "/pid":
                return web.Response(text=str(os.getpid()))
            case "/slow":
                self._mark("slow-began")
                await asyncio.sleep(float(request.query["seconds"]))
                return web.Response(text="slow but whole")
            case "/large":
                self._mark("large-began")
                return web.Response(body=b"x" * (32 << 20))
            case "/stream":
                return await self._stream(request)
            case "/hang":
                self._mark("hang-began")
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    self._mark("hang-cancelled")
                    raise
                return web.Response()
            case "/upload":
                self._mark("upload-began")
                size = 0
                async for chunk in request.content.iter_any():
                    size += len(chunk)
                return web.Response(text=str(size))
            case "/echo":
                return web.Response(body=await request.read())
            case "/peer":
                trusted = bool(request.get(request_context.TRUSTED_PEER))
                return web.json_response({"remote": request.remote, "trusted": trusted})
            case "/long":
                return web.Response(text=str(len(request.headers.get("X-Long", "")) + len(request.query_string)))
            case _:
                return web.Response(text="hello")

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = int(request.query["size"])
        await response.prepare(request)
        self._mark("stream-began")
        try:
            for _ in range(0, response.content_length, 1 << 16):
                await response.write(b"x" * (1 << 16))
        except (asyncio.CancelledError, ConnectionError):
            self._mark("stream-ended")
            raise
        await response.write_eof()
        return response


def _main(chosen: Mapping[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    if chosen.get("loop") == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment] # what an import does where it is not installed
    tls = chosen["tls"]
    listener = Listener(
        "main",
        parse_address(chosen["address"]),
        tls=None if tls is None else _tls(tls),
        trusted_peer=chosen.get("trusted_peer", chosen["address"].startswith("unix:")),
        trusted_networks=tuple(ip_network(each) for each in chosen.get("trusted_networks", ())),
        limits=Limits(**chosen.get("limits", {})),
    )
    folder = Path(chosen["folder"])

    async def build() -> _Services:
        match chosen.get("fails"):
            case "problem":
                raise Problem("the cellar is locked: bring the key")
            case "error":
                raise RuntimeError("nobody expected this")
            case "later" if (folder / "fail").exists():
                raise Problem("the cellar was locked later")
            case _:
                pass
        return _Services(folder)

    try:
        bound = bind([listener])
        return serve(
            bound,
            build,
            workers=chosen.get("workers", 1),
            drain_seconds=chosen.get("drain_seconds", 8.0),
            on_ready=lambda: print(f"ready on {bound[0].text}", flush=True),
        )
    except Problem as problem:
        print(f"problem: {problem}", flush=True)
        return 1


def _tls(chosen: Mapping[str, Any]) -> TlsSettings:
    return TlsSettings(
        chains=tuple(CertificateChain(Path(certificate), Path(key)) for certificate, key in chosen["chains"]),
        minimum=TlsVersion(chosen.get("minimum", "tls1.2")),
        ciphers=tuple(chosen.get("ciphers", ())),
        client_cas=tuple(Path(each) for each in chosen.get("client_cas", ())),
        client_auth=ClientAuth(chosen.get("client_auth", "require-and-verify-client-cert")),
        reload_seconds=chosen.get("reload_seconds", 5.0),
    )


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
