"""Senders against a real HTTP server that takes events, fails, hangs, breaks off, or is gone; over both logs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.notify.envelope import encode_envelope, parse_event
from backends.notify.file_log import FileLog
from backends.notify.log import EventLog, QueueReport
from backends.notify.memory_log import MemoryLog
from backends.notify.posting import Outcome
from backends.notify.senders import Senders
from backends.notify.settings import EndpointSettings, MediaType, NotifySettings, show_url, with_keys
from tests.support.certificate import make_certificate
from tests.support.webhooks import CLOSE, ENDLESS, GARBAGE, HALF, HANG, SILENT_CLOSE, SLOW, Webhook, firsts, webhook

SECRET = "hunter2hunter2"
THRESHOLD = 3


def event(number: object, action: str = "push", media_type: str = "application/x") -> bytes:
    return f'{{"id":"{number}","action":"{action}","target":{{"mediaType":"{media_type}"}}}}'.encode()


class Counts:
    """Counts what senders do."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.dropped: list[tuple[str, int, int]] = []
        self.pending: dict[str, int] = {}

    def count_taken(self, endpoint: str) -> None:
        self.taken.append(endpoint)

    def count_outcome(self, endpoint: str, outcome: Outcome) -> None:
        self.outcomes.append((endpoint, outcome))

    def count_dropped(self, endpoint: str, *, events: int, pulls: int) -> None:
        self.dropped.append((endpoint, events, pulls))

    def set_pending(self, endpoint: str, number: int) -> None:
        self.pending[endpoint] = number


class Process:
    """A log and its senders, as a process has them."""

    def __init__(self, log: EventLog, settings: NotifySettings) -> None:
        self.log = log
        self.counts = Counts()
        self.settings = settings
        self.start_senders()

    def start_senders(self) -> None:
        self.task = asyncio.create_task(Senders(self.log, self.settings, self.counts).watch())

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.log.close()


Start = Callable[..., "asyncio.Future[Process]"]


@pytest.fixture(params=["files", "memory"])
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Start]:
    """`await start(endpoint, …)` runs a process with these endpoints; with files, several share a log."""
    running: list[Process] = []

    async def run(*endpoints: EndpointSettings, media_type: MediaType = MediaType.V1) -> Process:
        keys = with_keys([(each.name, each.url) for each in endpoints])
        settings = NotifySettings(
            tuple(replace(each, key=key) for each, key in zip(endpoints, keys, strict=True)), media_type=media_type
        )
        log: EventLog = MemoryLog(settings) if request.param == "memory" else FileLog(tmp_path, settings)
        await log.prepare()
        running.append(Process(log, settings))
        return running[-1]

    yield lambda *endpoints, **more: asyncio.ensure_future(run(*endpoints, **more))
    for process in running:
        await process.stop()


@pytest.fixture
def receiver() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


def endpoint(receiver: Webhook, name: str = "a", **more: object) -> EndpointSettings:
    given = {"timeout_seconds": 0.5, "threshold": THRESHOLD, "backoff_seconds": 0.2, **more}
    return EndpointSettings(name, receiver.url, **given)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        await asyncio.sleep(0.01)


async def report_when(process: Process, condition: Callable[[QueueReport], object]) -> QueueReport:
    """What others are told, within a second, of the first endpoint, once it is so."""
    deadline = time.monotonic() + 20
    while not condition(report := (await process.log.report())[0]):
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.05)
    return report


async def test_each_event_is_one_post_in_the_order_of_the_log(start: Start, receiver: Webhook) -> None:
    process = await start(endpoint(receiver))
    await process.log.append([event(number) for number in range(3)])
    process.log.note(event(3, "pull"))
    await process.log.append([event(4)])
    await until(lambda: len(receiver.received) == 5)
    assert receiver.ids == ["0", "1", "2", "3", "4"]
    request = receiver.received[0]
    assert request.line == "POST /callback HTTP/1.1"
    assert request.headers[1:] == [
        ("User-Agent", "Portside"),
        ("Content-Type", "application/vnd.docker.distribution.events.v1+json"),
        ("Content-Length", str(len(request.body))),
    ]
    assert request.body == encode_envelope(parse_event(event(0)))
    assert {each.connection for each in receiver.received} == {1}, "one connection for all"
    await until(lambda: process.counts.pending == {"a": 0})
    assert process.counts.taken == ["a"] * 5
    assert {outcome.code for _, outcome in process.counts.outcomes} == {"200 OK"}


async def test_configured_headers_are_sent_with_all_their_values_and_take_the_place_of_ours(
    start: Start, receiver: Webhook
) -> None:
    headers = {
        "authorization": [f"Bearer {SECRET}"],
        "X-Many": ["a", "b"],
        "user-agent": ["mine"],
        "Content-Length": ["7"],
        "Host": ["elsewhere"],
    }
    process = await start(endpoint(receiver, headers=headers), media_type=MediaType.V2)
    await process.log.append([event(1)])
    await until(lambda: receiver.received)
    (request,) = receiver.received
    assert request.values("Authorization") == [f"Bearer {SECRET}"]
    assert request.values("X-Many") == ["a", "b"]
    assert request.values("User-Agent") == ["mine"]
    assert request.values("Content-Type") == ["application/vnd.docker.distribution.events.v2+json"]
    assert request.values("Host") == [f"127.0.0.1:{receiver.port}"]


async def test_a_user_and_password_in_the_address_are_sent_as_basic(start: Start, receiver: Webhook) -> None:
    url = receiver.url.replace("//", f"//me:p%40{SECRET}@") + "?key=1"
    process = await start(replace(endpoint(receiver), url=url))
    await process.log.append([event(1)])
    await until(lambda: receiver.received)
    (request,) = receiver.received
    assert request.line == "POST /callback?key=1 HTTP/1.1"
    assert request.values("Authorization") == ["Basic bWU6cEBodW50ZXIyaHVudGVyMg=="]


@pytest.mark.parametrize("status", ["201 Created", "299 Whatever", "302 Found\r\nLocation: /x", "304 Not Modified"])
async def test_2xx_and_3xx_are_success_and_no_redirect_is_followed(
    start: Start, receiver: Webhook, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour = status
    process = await start(endpoint(receiver))
    await process.log.append([event(1), event(2)])
    await until(lambda: len(receiver.received) == 2)
    await asyncio.sleep(0.1)
    assert receiver.ids == ["1", "2"]
    warned = [record.getMessage() for record in caplog.records if "redirects are not followed" in record.getMessage()]
    assert len(warned) == ("Location" in status)


@pytest.mark.parametrize(
    "behaviour", ["500 Broken", "404 Not Found", "400 Bad\r\nX: y", "100 Continue", HANG, CLOSE, HALF, SLOW, GARBAGE]
)
async def test_what_is_not_accepted_is_sent_again_until_it_is(
    start: Start, receiver: Webhook, behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "portside.notifications")
    receiver.behaviour = behaviour
    process = await start(endpoint(receiver))
    await process.log.append([event(1), event(2)])
    await until(lambda: len(receiver.received) >= 4)
    assert set(receiver.ids) == {"1"}, "the next waits for it"
    reports = await process.log.report()
    assert [report.pending for report in reports] == [2]
    receiver.behaviour = "200 OK"
    await until(lambda: "2" in receiver.ids)
    assert firsts(receiver.ids) == ["1", "2"]
    told = [record.getMessage() for record in caplog.records if "endpoint a " in record.getMessage()]
    assert len(told) == 2, told
    assert "does not take events" in told[0]
    assert told[1] == "endpoint a takes events again"


async def test_an_endpoint_that_is_gone_gets_everything_when_it_is_back(start: Start, receiver: Webhook) -> None:
    receiver.stop()
    process = await start(endpoint(receiver))
    await process.log.append([event(number) for number in range(20)])
    await until(lambda: len(process.counts.outcomes) >= 5)
    assert {outcome.status for _, outcome in process.counts.outcomes} == {0}
    report = await report_when(process, lambda report: report.state.failures)
    assert report.state.error == "it cannot be reached (Connection refused)"
    receiver.start()
    await until(lambda: len(receiver.received) >= 20)
    assert receiver.ids == [str(number) for number in range(20)]
    report = await report_when(process, lambda report: not report.state.failures)
    assert report.state.error == ""


async def test_it_is_not_well_again_because_another_process_sends(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = "503 Busy"
    process = await start(endpoint(receiver))
    await process.log.append([event(1)])
    before = (await report_when(process, lambda report: report.state.failures >= THRESHOLD)).state
    process.task.cancel()
    await asyncio.wait([process.task])
    attempts = len(process.counts.outcomes)
    process.start_senders()
    await until(lambda: len(process.counts.outcomes) >= attempts + 2)
    after = (await process.log.report())[0].state
    assert after.failures > before.failures
    assert after.failing_since == before.failing_since
    receiver.behaviour = "200 OK"
    await report_when(process, lambda report: not report.state.failures)


async def test_others_are_told_of_failures_before_a_long_wait(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = "503 Busy"
    process = await start(endpoint(receiver, backoff_seconds=60.0))
    await process.log.append([event(1)])
    await report_when(process, lambda report: report.state.failures == THRESHOLD)


async def test_that_it_takes_events_again_is_told_while_many_still_wait(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = "503 Busy"
    process = await start(endpoint(receiver, timeout_seconds=30.0))
    await process.log.append([event(1), event(2)])
    await report_when(process, lambda report: report.state.failures >= THRESHOLD)
    receiver.behaviour = SLOW
    report = await report_when(process, lambda report: not report.state.failures)
    assert report.pending > 0


async def test_attempts_follow_at_once_up_to_the_threshold_and_then_wait(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = "503 Busy"
    process = await start(endpoint(receiver, threshold=4, backoff_seconds=0.4))
    await process.log.append([event(1)])
    await until(lambda: len(receiver.received) >= 7)
    times = [each.at for each in receiver.received]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps[:3]) < 0.35, gaps  # the machine may be busy
    assert all(gap > 0.35 for gap in gaps[3:]), gaps


async def test_a_timeout_covers_the_whole_attempt(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = SLOW  # 3.8 s, a byte at a time
    process = await start(endpoint(receiver, timeout_seconds=0.3, threshold=100))
    await process.log.append([event(1)])
    await until(lambda: len(receiver.received) >= 3, seconds=10)  # three whole answers take longer
    assert "did not answer within 0.3 seconds" in process.counts.outcomes[0][1].reason


async def test_one_that_hangs_delays_no_other(start: Start, receiver: Webhook) -> None:
    with webhook(behaviour=HANG) as hanging:
        process = await start(endpoint(hanging, "hanging", timeout_seconds=30.0), endpoint(receiver, "well"))
        for number in range(50):
            async with asyncio.timeout(10):  # one attempt takes three times as long
                await process.log.append([event(number)])
        await until(lambda: len(receiver.received) == 50, seconds=20)
        assert len(hanging.received) == 1
        async with asyncio.timeout(15):  # nor the end
            await process.stop()


async def test_what_an_endpoint_ignores_is_not_sent(start: Start, receiver: Webhook) -> None:
    with webhook() as other:
        process = await start(
            endpoint(receiver, ignored_actions=frozenset({"pull"}), ignored_media_types=frozenset({"application/y"})),
            endpoint(other, "b"),
        )
        await process.log.append([event(1, "pull"), event(2), event(3, media_type="application/y"), event(4)])
        await until(lambda: len(other.received) == 4)
        await until(lambda: len(receiver.received) == 2)
        assert receiver.ids == ["2", "4"]
        await until(lambda: process.counts.pending == {"a": 0, "b": 0})


async def test_a_connection_that_was_closed_meanwhile_is_not_a_failure(
    start: Start, receiver: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour = SILENT_CLOSE
    process = await start(endpoint(receiver))
    for number in range(10):
        await process.log.append([event(number)])
        await until(lambda number=number: len(receiver.received) == number + 1)  # type: ignore[misc]
    assert receiver.ids == [str(number) for number in range(10)]
    assert [record.getMessage() for record in caplog.records] == []


async def test_an_answer_without_an_end_is_not_read(start: Start, receiver: Webhook) -> None:
    receiver.behaviour = ENDLESS
    process = await start(endpoint(receiver))
    await process.log.append([event(number) for number in range(5)])
    await until(lambda: len(receiver.received) == 5)
    assert receiver.ids == [str(number) for number in range(5)]


async def test_a_name_server_that_hangs_delays_no_other_and_is_asked_once(
    start: Start, receiver: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = threading.Event()

    def hang(host: str, *arguments: object, **named: object) -> object:
        if host != "slow.example":
            return look_up(host, *arguments, **named)  # type: ignore[arg-type]
        asked.append(host)
        answer.wait(20)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    slow = EndpointSettings("slow", "http://slow.example/", timeout_seconds=0.1, threshold=2, backoff_seconds=0.05)
    process = await start(slow, endpoint(receiver, "well"))
    await process.log.append([event(number) for number in range(20)])
    await until(lambda: len(receiver.received) == 20)
    await until(lambda: sum(name == "slow" for name, _ in process.counts.outcomes) >= 5)
    assert asked == ["slow.example"]
    answer.set()
    await until(lambda: "Name or service not known" in process.counts.outcomes[-1][1].reason)


async def test_a_clean_end_sends_nothing_twice(tmp_path: Path, receiver: Webhook) -> None:
    settings = NotifySettings((replace(endpoint(receiver), key="a"),))
    count = 0
    for _ in range(5):
        log = FileLog(tmp_path, settings)
        await log.prepare()
        process = Process(log, settings)
        for _ in range(10):
            await log.append([event(count)])
            count += 1
        await asyncio.sleep(0.02)
        await process.stop()
    log = FileLog(tmp_path, settings)
    process = Process(log, settings)
    await until(lambda: len(receiver.received) >= count)
    assert receiver.ids == [str(number) for number in range(count)]
    await process.stop()


async def test_certificates_are_verified(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.chain, made.key)
    with webhook(tls=tls) as receiver:
        process = await start(endpoint(receiver))
        await process.log.append([event(1)])
        await until(lambda: process.counts.outcomes)
        assert "its certificate is not trusted" in process.counts.outcomes[0][1].reason
        await process.stop()
        assert receiver.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        process = await start(endpoint(receiver))
        await process.log.append([event(2)])
        await until(lambda: "2" in receiver.ids)


async def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    start: Start, receiver: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", receiver.url.removesuffix("/callback"))
    with webhook() as here:
        process = await start(
            EndpointSettings("away", "http://hooks.example:8080/x", timeout_seconds=2.0), endpoint(here, "here")
        )
        await process.log.append([event(1)])
        await until(lambda: receiver.received and here.received)
    assert receiver.received[0].line == "POST http://hooks.example:8080/x HTTP/1.1"


async def test_an_endpoint_in_a_network_that_needs_no_proxy_is_not_sent_to_one(
    start: Start, receiver: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url.removesuffix("/callback"))
    monkeypatch.setenv("NO_PROXY", "192.0.2.0/24, .cluster.invalid:8080")
    process = await start(
        EndpointSettings("network", "http://192.0.2.9/x", key="network", timeout_seconds=0.2),
        EndpointSettings("name", "http://hooks.cluster.invalid:8080/x", key="name", timeout_seconds=5.0),
        EndpointSettings("port", "http://hooks.cluster.invalid/x", key="port", timeout_seconds=5.0),
    )
    await process.log.append([event(1)])
    await until(lambda: receiver.received and {"network", "name"} <= {name for name, _ in process.counts.outcomes})
    assert {each.line for each in receiver.received} == {"POST http://hooks.cluster.invalid/x HTTP/1.1"}


@pytest.mark.parametrize("proxy", ["http://[bad", "socks5://192.0.2.9:1080", "http://:3128", "http://p:99999"])
async def test_a_proxy_that_cannot_be_used_is_said_and_nothing_is_sent_past_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    process = await start(EndpointSettings("away", "https://hooks.invalid/x", key="away"))
    await process.log.append([event(1)])
    await until(lambda: process.counts.outcomes)
    assert "HTTPS_PROXY does not name a proxy that can be used: write it like http" in caplog.text
    assert "Traceback" not in caplog.text
    assert "Traceback" not in str([record.exc_info for record in caplog.records if record.exc_info])


@pytest.mark.parametrize(("behaviour", "said"), [(CLOSE, "it closed the connection without an answer")])
async def test_how_a_connection_ended_is_said_in_words(
    start: Start, receiver: Webhook, behaviour: str, said: str
) -> None:
    receiver.behaviour = behaviour
    process = await start(endpoint(receiver))
    await process.log.append([event(1)])
    await until(lambda: process.counts.outcomes)
    assert process.counts.outcomes[0][1].reason == said


async def test_nothing_secret_is_logged_or_shown(
    start: Start, receiver: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.behaviour = "500 Broken"
    url = receiver.url.replace("//", f"//me:{SECRET}@") + f"?token={SECRET}"
    settings = replace(endpoint(receiver, headers={"X-Key": [SECRET]}), url=url)
    process = await start(settings)
    await process.log.append([event(1)])
    await until(lambda: len(receiver.received) >= 4)
    receiver.stop()
    await until(lambda: any(not outcome.status for _, outcome in process.counts.outcomes))
    assert SECRET not in caplog.text
    assert SECRET not in repr(settings)
    assert SECRET not in repr(await process.log.report())


def test_addresses_are_shown_without_what_may_be_secret() -> None:
    assert show_url(f"https://me:{SECRET}@[::1]:8443/a/b?token={SECRET}#x") == "https://[::1]:8443/a/b?***"
    assert show_url("http://hooks.example/callback") == "http://hooks.example/callback"


def test_every_endpoint_has_a_key_of_its_own() -> None:
    keys = with_keys(
        [("a", "http://x/"), ("b", "http://x/"), ("a", "http://y/"), ("a", "http://y/"), ("", "u"), ("/..", "u")]
    )
    assert len(set(keys)) == 6
    assert with_keys([("a", "http://other/")]) == keys[:1], "a corrected address changes nothing"
    assert all(key.replace("-", "").replace(".", "").replace("_", "").isalnum() and key[0] != "." for key in keys)
