"""Logs: one event, as text or JSON, with the configured fields on every line; never waited for by the event loop.

The program's log goes to stderr, the access log to stdout, as distribution does. Records pass a queue to a thread that
formats and writes them, so a slow terminal or a full pipe stops nobody; when it stays full, lines are dropped and
counted. Control characters never reach a line: what a client sends cannot forge one.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
QUEUED_LINES = 10_000


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the program logs: `log.level`, `log.formatter`, `log.fields`, `log.accesslog.disabled`."""

    level: str = "info"
    formatter: str = "text"
    fields: dict[str, Any] = field(default_factory=dict)
    access: bool = True


class Log:
    """The log of one process; started once, after the fork.

    Args:
        settings: level, form, fields.
        version: the program's.
        instance: one id for all workers of one start, as distribution's `instance.id`.
    """

    def __init__(self, settings: LogSettings, *, version: str, instance: str) -> None:
        output = logging.StreamHandler(sys.stderr)
        output.setFormatter(
            _Structured(settings.formatter, {**settings.fields, "instance.id": instance, "version": version})
        )
        lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED_LINES)
        self._listener = logging.handlers.QueueListener(lines, output)
        self._handler = _Queue(lines)
        self._level = LEVELS[settings.level]

    def start(self) -> None:
        """Takes over the standard library's root logger."""
        self._listener.start()
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(self._level)
        logging.getLogger("asyncio").setLevel(max(self._level, logging.WARNING))

    def stop(self) -> None:
        """Writes what is still queued, and lets go of the root logger."""
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
        self._listener.stop()


class _Queue(logging.handlers.QueueHandler):
    """Keeps the record as it is: the thread formats it."""

    def __init__(self, lines: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(lines)
        self._dropped = 0

    @override
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = record.getMessage(), None
        return record

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._dropped:
                text = f"{self._dropped} lines of this log were dropped, since nobody took them"
                self.queue.put_nowait(logging.LogRecord("portside.log", logging.WARNING, "", 0, text, None, None))
                self._dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1  # whoever reads the log has stopped: serving goes on


class _Structured(logging.Formatter):
    """Makes a line of a record. What it needs is imported by its thread at the first line, not at the cold start."""

    def __init__(self, form: str, fields: dict[str, Any]) -> None:
        super().__init__()
        self._form = form
        self._fields = fields
        self._made: logging.Formatter | None = None

    @override
    def format(self, record: logging.LogRecord) -> str:
        if self._made is None:
            self._made = self._make()
        return self._made.format(record)

    def _make(self) -> logging.Formatter:
        import structlog  # noqa: PLC0415 - see the class

        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.processors.format_exc_info,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message" if self._form == "logstash" else "msg"),
                _with(self._fields),
                *_renderer(self._form),
            ],
        )


def escaped(text: str) -> str:
    """Returns text in which control characters are written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _with(fields: dict[str, Any]) -> Processor:
    """Adds the configured fields; what the event itself says goes before them."""

    def add(_: Any, __: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    return add


def _renderer(form: str) -> list[Processor]:
    from structlog.processors import JSONRenderer, LogfmtRenderer  # noqa: PLC0415 - see _Structured

    match form:
        case "json":
            return [JSONRenderer(default=str)]
        case "logstash":
            return [_logstash, JSONRenderer(default=str)]
        case _:
            line = LogfmtRenderer(key_order=["time", "level", "msg"], bool_as_flag=False)
            return [_text(line)]


def _text(line: Processor) -> Processor:
    """Renders one line; a traceback follows on lines of its own, indented, so that none of them passes for an event."""

    def render(logger: Any, method: str, event: EventDict) -> str:
        exception = str(event.pop("exception", ""))
        safe = {_key(key): escaped(value) if isinstance(value, str) else value for key, value in event.items()}
        below = "".join(f"\n    {escaped(part)}" for part in exception.splitlines())
        head = line(logger, method, safe)
        assert isinstance(head, str)
        return head + below

    return render


def _key(key: str) -> str:
    return "".join(character if character.isprintable() and character not in ' ="' else "_" for character in key)


def _logstash(_: Any, __: str, event: EventDict) -> EventDict:
    return {"@version": "1", "@timestamp": event.pop("time"), "type": "portside", **event}
