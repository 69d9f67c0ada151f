"""Around a handler: one line and one count a request, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from backends import request_context
from backends.http.configured_headers import ConfiguredHeaders
from portside.observe.access_log import REQUEST_KEYS, AccessLog, open_access_log
from portside.observe.logging import LogSettings
from portside.observe.metrics import Metrics
from portside.observe.requests import observed
from tests.support.loopback import Handler, serve
from tests.support.upstreams import Peer


class Observed:
    """A server on loopback whose handler is observed, and what it left behind."""

    def __init__(self, url: str, access: AccessLog, metrics: Metrics, log: Path) -> None:
        self.url = url
        self.access = access
        self.metrics = metrics
        self._log = log

    async def line(self, number: int = 0, *, seconds: float = 45.0) -> str:
        """A line of the access log, once it is there."""
        deadline = time.monotonic() + seconds
        while len(self.lines()) <= number:
            assert time.monotonic() < deadline, self.lines()
            await asyncio.sleep(0.02)
        return self.lines()[number]

    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()


@asynccontextmanager
async def observing(handler: Handler, folder: Path, *, listener: str = "proxy") -> AsyncIterator[Observed]:
    """Serves a handler, observed, as Portside does."""
    log = folder / "access.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    access, metrics = AccessLog(descriptor), Metrics()
    observing_it = observed(handler, listener, access=access, metrics=metrics, headers=ConfiguredHeaders({}))
    async with serve(observing_it) as port:
        yield Observed(f"http://127.0.0.1:{port}", access, metrics, log)
    await access.stop()
    metrics.flush()
    os.close(descriptor)


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    metrics.flush()
    found = [
        sample.value
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found)


async def test_a_request_leaves_a_line_with_its_way_and_counts_once(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        request[request_context.BACKEND] = "v2"
        request[request_context.ROUTE] = "docker 24.0.7 speaks v2"
        request[request_context.DECIDED] = ("modern", "client")
        return web.Response(status=202, body=b"12345")

    async with observing(handler, tmp_path) as served, aiohttp.ClientSession() as client:
        url = URL(served.url + "/v2/a%2Fb/?_state=SECRET&n=1&access_token=SECRET", encoded=True)
        await client.get(url, headers={"User-Agent": "docker/24.0.7"})
        line = await served.line()
        where = {"listener": "proxy", "backend": "v2"}
        assert _value(served.metrics, "registry_http_requests_total", **where, code="202", method="get") == 1
        assert _value(served.metrics, "registry_http_request_duration_seconds_count", **where) == 1
        assert _value(served.metrics, "registry_http_response_size_bytes_sum", **where) == 5
        assert _value(served.metrics, "portside_route_total", backend="v2", generation="modern", why="client") == 1
        assert _value(served.metrics, "registry_http_in_flight_requests", listener="proxy") == 0
    assert line.startswith("127.0.0.1 - - [")
    assert '"GET /v2/a%2Fb/?_state=***&n=1&access_token=*** HTTP/1.1" 202 5 "-" "docker/24.0.7" 0.' in line
    assert line.endswith('v2 "docker 24.0.7 speaks v2"')


async def test_a_client_cannot_forge_a_line_or_a_field(tmp_path: Path) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async with observing(handler, tmp_path) as served:
        host, port = served.url.removeprefix("http://").split(":")
        agent = b'x" 200 0 "-" "\xe2\x80\xa8\xff\t127.0.0.1'
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'GET /" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: ' + agent + b"\r\n\r\n")
        await reader.read()
        writer.close()
        line = await served.line()
    assert served.lines() == [line]
    assert line.isprintable()
    assert line.count('"') == 8


@given(text=st.text(st.characters(codec=None), max_size=5000))
@settings(max_examples=50)
def test_whatever_the_text_a_request_is_one_bounded_printable_line(text: str) -> None:
    async def log() -> bytes:
        reading, writing = os.pipe()
        access = AccessLog(writing)
        access.line(text, "GET", f"/?{text}", "HTTP/1.1", text, 200, 2, 0.001, "v2", text)
        await access.stop()
        os.close(writing)
        return _read_all(reading)

    data = asyncio.run(log())
    assert data.endswith(b"\n")
    assert data[:-1].decode().isprintable()
    assert len(data) <= select.PIPE_BUF


def _logged(settings: LogSettings, *requests: tuple[str, str, str], mute: bool = False) -> list[str]:
    """What an access log writes of requests: address, target, agent."""

    async def log() -> bytes:
        reading, writing = os.pipe()
        access = open_access_log(settings, version="1.2.3", instance="an-id", descriptor=writing)
        if mute:
            access.tell(requests=False)
        for remote, target, agent in requests:
            access.line(remote, "GET", target, "HTTP/1.1", agent, 200, 2, 0.00123, "v2", "because")
        await access.stop()
        os.close(writing)
        return _read_all(reading)

    return asyncio.run(log()).decode().split("\n")[:-1]


ASKED = ("127.0.0.1", "/v2/?token=SECRET", 'docker/24.0.7 "x"')
FIELDS = {"service": "registry", "level": "mine", "route": "mine"}


@pytest.mark.parametrize(("form", "message"), [("json", "msg"), ("logstash", "message")])
def test_as_json_a_request_is_an_event_with_distribution_s_names_and_the_fields(form: str, message: str) -> None:
    (line,) = _logged(LogSettings(formatter=form, fields=FIELDS), ASKED)
    assert "SECRET" not in line
    event = json.loads(line, object_pairs_hook=_once)
    assert event[message] == "response completed"
    assert (event["level"], event["route"], event["service"]) == ("info", "v2", "registry")
    assert (event["instance.id"], event["version"]) == ("an-id", "1.2.3")
    assert [event[key] for key in REQUEST_KEYS] == [
        "127.0.0.1",
        "GET",
        "/v2/?token=***",
        "HTTP/1.1",
        'docker/24.0.7 "x"',
        200,
        2,
        0.00123,
        "v2",
        "because",
    ]
    assert ("@timestamp" in event) == (form == "logstash")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("http://me:SECRET@host/v2/?n=1", "http://***@host/v2/?n=1"),
        ("https://me:SECRET@host@x/v2/", "https://***@x/v2/"),
        ("/v2/a/manifests/a@b", "/v2/a/manifests/a@b"),
        ("/v2/?_State=SECRET&Token=SECRET", "/v2/?_State=***&Token=***"),
    ],
)
def test_what_would_open_a_door_is_masked(form: str, target: str, shown: str) -> None:
    (line,) = _logged(LogSettings(formatter=form), ("127.0.0.1", target, "-"))
    assert "SECRET" not in line
    assert shown in line


def test_as_text_the_configured_fields_stand_at_the_end() -> None:
    (line,) = _logged(LogSettings(fields={"service": "the registry", "n": 1}), ASKED)
    assert line.endswith('0.0012 v2 "because" service="the registry" n=1')
    (line,) = _logged(LogSettings(), ASKED)
    assert line.endswith('0.0012 v2 "because"')


@given(text=st.text(st.characters(codec=None), max_size=5000))
@settings(max_examples=30, deadline=None)
def test_whatever_the_text_a_request_is_one_bounded_object(text: str) -> None:
    (line,) = _logged(LogSettings(formatter="json"), (text, f"/?{text}", text))
    assert line.isascii()
    assert len(line) < select.PIPE_BUF
    assert json.loads(line)["http.response.status"] == 200


@pytest.mark.parametrize(
    ("level", "always", "told"),
    [
        ("debug", False, True),
        ("info", False, True),
        ("warn", False, False),
        ("error", False, False),
        ("error", True, True),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_requests_are_events_of_level_info(form: str, level: str, *, always: bool, told: bool) -> None:
    chosen = LogSettings(level=level, formatter=form, access_at_any_level=always)
    assert len(_logged(chosen, ASKED)) == int(told)
    assert _logged(chosen, ASKED, mute=True) == []


async def test_a_muted_log_speaks_again() -> None:
    reading, writing = os.pipe()
    access = AccessLog(writing)
    for wanted in (False, False, True, True):
        access.tell(requests=wanted)
        access.line("-", "GET", f"/{wanted}", "HTTP/1.1", "-", 200, 0, 0, "v2", "")
    await access.stop()
    os.close(writing)
    lines = _read_all(reading).decode().splitlines()
    assert [line.split('"')[1] for line in lines] == ["GET /True HTTP/1.1"] * 2


async def test_a_client_that_goes_away_leaves_a_line_with_499(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        began.set()
        await asyncio.sleep(60)
        return web.Response()

    async with observing(handler, tmp_path) as served:
        host, port = served.url.removeprefix("http://").split(":")
        peer = Peer(*await asyncio.open_connection(host, int(port)))
        await peer.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await began.wait()
        assert _value(served.metrics, "registry_http_in_flight_requests", listener="proxy") == 1
        peer.leave()
        assert '"GET /slow HTTP/1.1" 499 0 ' in await served.line()
        assert _value(served.metrics, "registry_http_requests_total", code="499") == 1
        assert _value(served.metrics, "registry_http_in_flight_requests", listener="proxy") == 0


@pytest.mark.parametrize("backend", ["v1", "v2"])
async def test_what_nobody_caught_is_logged_once_and_told_in_the_registry_s_shape(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, backend: str
) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        request[request_context.BACKEND] = backend
        raise RuntimeError("nobody expected this")

    with caplog.at_level(logging.INFO):
        async with observing(handler, tmp_path) as served, aiohttp.ClientSession() as client:
            answer = await client.get(served.url + "/v2/?_state=SECRET")
            body = json.loads(await answer.read())
            assert f" 500 {len(await answer.read())} " in await served.line()
    assert answer.status == 500
    if backend == "v1":
        assert "log has the reason" in body["error"]
    else:
        assert body["errors"][0]["code"] == "UNKNOWN"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "SECRET" not in record.getMessage()


async def test_an_answer_that_breaks_in_the_middle_never_looks_whole(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"half")
        raise RuntimeError("nobody expected this")

    async with observing(handler, tmp_path) as served, aiohttp.ClientSession() as client:
        answer = await client.get(served.url)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
        assert " 500 " in await served.line()


async def test_a_trusted_peer_s_word_on_who_asks_is_logged_and_a_stranger_s_is_not(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/trusted":
            request[request_context.TRUSTED_PEER] = True
        return web.Response()

    async with observing(handler, tmp_path) as served, aiohttp.ClientSession() as client:
        for path in ("/trusted", "/stranger"):
            await client.get(served.url + path, headers={"X-Real-IP": "192.0.2.7"})
        assert (await served.line(0)).startswith("192.0.2.7 - - ")
        assert (await served.line(1)).startswith("127.0.0.1 - - ")


async def test_strange_methods_do_not_make_metrics_without_end(tmp_path: Path) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    async with observing(handler, tmp_path) as served, aiohttp.ClientSession() as client:
        for method in ("MKCOL", "PROPFIND"):
            await client.request(method, served.url)
        assert _value(served.metrics, "registry_http_requests_total", method="other") == 2


async def test_durations_fall_into_their_buckets(tmp_path: Path) -> None:
    metrics = Metrics()
    for seconds in (0.0001, 0.0005, 0.3, 100):
        metrics.begin("v2")
        metrics.end("v2", "v2", 200, "GET", seconds=seconds, sent=0)
    name = "registry_http_request_duration_seconds"
    assert _value(metrics, f"{name}_bucket", le="0.0005") == 2
    assert _value(metrics, f"{name}_bucket", le="0.25") == 2
    assert _value(metrics, f"{name}_bucket", le="0.5") == 3
    assert _value(metrics, f"{name}_bucket", le="60.0") == 3
    assert _value(metrics, f"{name}_bucket", le="+Inf") == 4
    assert _value(metrics, f"{name}_sum") == pytest.approx(100.3006)


async def test_nobody_who_reads_the_access_log_slows_the_server() -> None:
    reading, writing = os.pipe()
    access = AccessLog(writing)
    start = time.monotonic()
    for number in range(30_000):
        access.line("127.0.0.1", "GET", f"/{number}", "HTTP/1.1", "agent", 200, 2, 0.001, "v2", "because")
        if not number % 1000:
            await asyncio.sleep(0.01)
    assert time.monotonic() - start < 5
    await access.stop()
    assert time.monotonic() - start < 8
    os.close(reading)
    await access.stop()
    assert not access._thread.is_alive()  # else it writes to whatever gets the number of this pipe next
    os.close(writing)


async def test_lines_into_a_pipe_are_written_whole_and_none_is_lost() -> None:
    reading, writing = os.pipe()
    logs = [AccessLog(writing), AccessLog(writing)]  # two workers, one pipe
    collected = asyncio.create_task(asyncio.to_thread(_read_all, reading))
    for number in range(2_000):
        for name, access in zip("ab", logs, strict=True):
            access.line("127.0.0.1", "GET", f"/{name}{number}", "HTTP/1.1", "x" * 300, 200, 2, 0.001, "v2", "because")
    await asyncio.gather(*(access.stop() for access in logs))
    os.close(writing)
    lines = (await collected).decode().splitlines()
    assert len(lines) == 4_000
    assert all(line.startswith("127.0.0.1 - - [") and line.endswith('v2 "because"') for line in lines)
    assert {line.split('"GET /')[1].split(" ")[0] for line in lines} == {f"{n}{i}" for n in "ab" for i in range(2_000)}


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()
