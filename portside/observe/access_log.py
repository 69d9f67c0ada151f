"""The access log: one line a request, formatted by hand, collected and written in batches by a thread.

As text the form is nginx's combined one, with duration, route and reason at the end, and the configured fields; in the
place of the user stands who has authenticated:
`127.0.0.1 - - [24/Nov/2026:09:00:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "-" "docker/24.0.7" 0.0004 v2 "docker 24.0.7 ..."`
As JSON it is an event like those of the program's log, with distribution's names for what belongs to a request.

Invariant: a request is one line, whole, whatever a client sends and however many workers write to one pipe; and the
event loop never waits for the log's reader.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import select
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from typing_extensions import override

from backends.http.masking import LONGEST, masked
from backends.model.cache import Cache
from portside.observe.log_lines import MESSAGE, escaped, render
from portside.observe.logging import LogSettings, identity

FLUSH_SECONDS = 0.2
STOP_SECONDS = 1.0
MAX_WAITING = 20_000
MAX_BATCHES = 8
MAX_LINE = 4000
REQUEST_KEYS = (
    "http.request.remoteaddr",
    "http.request.method",
    "http.request.uri",
    "http.request.version",
    "http.request.useragent",
    "http.response.status",
    "http.response.written",
    "http.response.duration",
    "route",
    "reason",
)
"""What an object says of a request; the duration in seconds."""
USER_KEY = "auth.user.name"
"""distribution's name for whoever has authenticated; not there for anybody else."""
LONGEST_USER = 255
_IN_A_NAME = str.maketrans({" ": "\\x20", '"': "\\x22"})


def open_access_log(settings: LogSettings, *, version: str, instance: str, descriptor: int = 1) -> AccessLog:
    """Returns an access log in the form of the program's log.

    Args:
        settings: form, fields, and whether requests leave lines at this level.
        version: the program's.
        instance: one id for all processes of one start.
        descriptor: where the lines go; stdout.
    """
    if settings.formatter == "text":
        access = AccessLog(descriptor, fields=settings.fields)
    else:
        access = JsonAccessLog(
            descriptor,
            form=settings.formatter,
            fields=identity(settings, version=version, instance=instance),
        )
    access.tell(requests=settings.tells_requests)
    return access


class AccessLog:
    """Collects lines; belongs to one event loop.

    Args:
        descriptor: where the lines go; stdout.
        fields: at the end of every line.

    Attributes:
        tells_requests: whether requests leave lines.
    """

    def __init__(self, descriptor: int = 1, *, fields: Mapping[str, Any] | None = None) -> None:
        self._descriptor = descriptor
        self._tail = f" {render('text', fields)}" if fields else ""
        self._longest: int | None = MAX_LINE
        # Below this size a write to a pipe is never mixed with another worker's.
        self._whole = select.PIPE_BUF if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else 1 << 20
        self._lines: list[str] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""
        self.tells_requests = True
        self._batches: queue.Queue[list[str] | None] = queue.Queue(MAX_BATCHES)
        self._thread = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._thread.start()

    def line(
        self,
        remote: str,
        method: str,
        path: str,
        version: str,
        agent: str,
        status: int,
        size: int,
        seconds: float,
        route: str,
        reason: str,
        user: str = "",
    ) -> None:
        """Adds a line. Nothing is formatted that need not be; what a client sent cannot forge a second one."""
        now = int(time.time())
        if now != self._second:
            self._begin_second(now)
        path, agent = _shown(path, agent)
        who = _names[user] if user else "-"
        text = (
            f'{remote} - {who} [{self._stamp}] "{method} {path} {version}" {status} {size} "-" "{agent}" '
            f'{seconds:.4f} {route} "{reason}"{self._tail}'
        )
        if not text.isprintable():
            text = escaped(text)
        self._add(text)

    def lines(
        self,
        method: str,
        path: str,
        version: str,
        agent: str,
        status: int,
        size: int,
        route: str,
        reason: str,
        user: str = "",
    ) -> Callable[[str, float], None]:
        """Returns what adds the lines of a request that comes again and again, each with an address and a duration."""
        if not self.tells_requests:
            return _nothing
        shown, shown_agent = _shown(path, agent)
        before = f" - {_names[user] if user else '-'} ["
        between = f'] "{method} {shown} {version}" {status} {size} "-" "{shown_agent}" '
        after = f' {route} "{reason}"{self._tail}'
        if not f"{before}{between}{after}".isprintable():
            return lambda remote, seconds: self.line(
                remote, method, path, version, agent, status, size, seconds, route, reason, user
            )

        def add(remote: str, seconds: float) -> None:
            now = int(time.time())
            if now != self._second:
                self._begin_second(now)
            text = f"{remote}{before}{self._stamp}{between}{seconds:.4f}{after}"
            self._add(text if remote.isprintable() else escaped(text))

        return add

    def _begin_second(self, now: int) -> None:
        self._second = now
        self._stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))

    def tell(self, *, requests: bool) -> None:
        """Has requests leave lines from now on, or none."""
        self.tells_requests = requests
        if requests:
            self.__dict__.pop("line", None)
        else:
            self.line = _nothing  # type: ignore[method-assign, assignment] # costs a request nothing where they do

    def _add(self, text: str) -> None:
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
        else:
            self._lines.append(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        try:
            self._batches.put_nowait(self._take())
        except queue.Full:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
            return
        self._lines, self._dropped = [], 0

    def _take(self) -> list[str]:
        if not self._dropped:
            return self._lines
        return [
            *self._lines,
            self._notice(f"{self._dropped} lines of the access log were dropped, since its reader is too slow"),
        ]

    def _notice(self, sentence: str) -> str:
        """A line that belongs to no request."""
        return sentence

    def _write_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            for piece in _pieces(batch, self._whole, longest=self._longest):
                data = memoryview(piece)
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except OSError:
                    break  # the access log's reader has gone: serving goes on

    async def stop(self) -> None:
        """Writes what is left, and waits a second for it at most."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._batches.put_nowait(self._take())
            self._batches.put_nowait(None)
        except queue.Full:
            return  # the reader has stopped reading
        self._lines = []
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)


class JsonAccessLog(AccessLog):
    """The same, an object a line.

    Args:
        descriptor: where the lines go; stdout.
        form: `json` or `logstash`.
        fields: on every line, unless an event says something of that name itself.
    """

    def __init__(self, descriptor: int = 1, *, form: str, fields: Mapping[str, Any]) -> None:
        super().__init__(descriptor)
        self._form = form
        self._fields = fields
        self._longest = None  # half an object is not JSON: what a client sent is cut instead
        sample = json.loads(self._rendered("", dict.fromkeys((*REQUEST_KEYS, USER_KEY))))
        own = json.dumps({key: value for key, value in fields.items() if key not in sample}, default=str)
        self._end = f", {own[1:]}" if len(own) > len("{}") else "}"

    @override
    def line(
        self,
        remote: str,
        method: str,
        path: str,
        version: str,
        agent: str,
        status: int,
        size: int,
        seconds: float,
        route: str,
        reason: str,
        user: str = "",
    ) -> None:
        """Adds a line."""
        who = {USER_KEY: user[:LONGEST_USER]} if user else {}
        path = masked(path)
        longest = LONGEST
        while True:
            text = self._rendered(
                "response completed",
                dict(
                    zip(
                        REQUEST_KEYS,
                        (
                            remote[:64],
                            method[:32],
                            path[:longest],
                            version,
                            agent[: longest // 4],
                            status,
                            size,
                            round(seconds, 6),
                            route,
                            reason[:longest],
                        ),
                        strict=True,
                    )
                )
                | who,
            )
            if len(text) <= MAX_LINE or longest < 64:  # noqa: PLR2004 - the rest is the configured fields'
                break
            longest //= 2
        self._add(f"{text[:-1]}{self._end}")

    @override
    def lines(
        self,
        method: str,
        path: str,
        version: str,
        agent: str,
        status: int,
        size: int,
        route: str,
        reason: str,
        user: str = "",
    ) -> Callable[[str, float], None]:
        """Returns what adds the lines of a request that comes again and again."""
        return lambda remote, seconds: self.line(
            remote, method, path, version, agent, status, size, seconds, route, reason, user
        )

    def _rendered(self, message: str, request: Mapping[str, Any]) -> str:
        now = time.time()
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1_000_000):06d}Z"
        return render(self._form, {"time": stamp, "level": "info", MESSAGE[self._form]: message, **request})

    @override
    def _notice(self, sentence: str) -> str:
        return f"{self._rendered(sentence, {})[:-1]}{self._end}"


def _shown(path: str, agent: str) -> tuple[str, str]:
    """Returns path and User-Agent as they stand in a line."""
    if "?" in path or "@" in path:
        path = masked(path)
    path, agent = path[:LONGEST], agent[:512]
    if '"' in path or '"' in agent:
        path, agent = path.replace('"', "\\x22"), agent.replace('"', "\\x22")
    return path, agent


def _name(user: str) -> str:
    """Returns a user's name as one word, whatever its characters."""
    return user[:LONGEST_USER].translate(_IN_A_NAME)


_names = Cache(_name, bound=1024)


def _nothing(*_: object) -> None:
    """Drops a line."""


def _pieces(lines: list[str], size: int, *, longest: int | None) -> Iterator[bytes]:
    """Yields lines as bytes, as many whole ones at a time as stay within a size; each is cut where it is too long."""
    piece = bytearray()
    for line in lines:
        data = line.encode("utf-8", "backslashreplace")
        if longest is not None and len(data) > longest:
            data = data[:longest].decode("utf-8", "ignore").encode()
        data += b"\n"
        if len(piece) + len(data) > size and piece:
            yield bytes(piece)
            piece.clear()
        piece += data
    if piece:
        yield bytes(piece)
