"""Logs: one event, as text or JSON, with the configured fields on every line; never waited for by the event loop.

The program's log goes to stderr, the access log to stdout, as distribution does. Lines pass a queue to a thread, so a
slow terminal or a full pipe stops nobody. Control characters never reach a line: what a client sends cannot forge one.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any

import structlog
from typing_extensions import override

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
    """The log of one process; started once, after the fork."""

    def __init__(self, settings: LogSettings, *, version: str) -> None:
        fields = {**settings.fields, "instance.id": str(uuid.uuid4()), "version": version}
        formatter = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _with(fields),
                structlog.processors.format_exc_info,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("msg" if settings.formatter != "logstash" else "message"),
                *_renderer(settings.formatter),
            ],
        )
        output = logging.StreamHandler(sys.stderr)
        output.setFormatter(formatter)
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
        """Writes what is still queued."""
        self._listener.stop()


class _Queue(logging.handlers.QueueHandler):
    """Keeps the record as it is: the thread formats it."""

    @override
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.msg, record.args = escaped(record.getMessage()), None
        return record

    @override
    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            return  # whoever reads the log has stopped: serving goes on


def escaped(text: str) -> str:
    """Returns text in which control characters are written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _with(fields: dict[str, Any]) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**event, **fields}

    return add


def _renderer(formatter: str) -> list[structlog.typing.Processor]:
    match formatter:
        case "json":
            return [structlog.processors.JSONRenderer()]
        case "logstash":
            return [_logstash, structlog.processors.JSONRenderer()]
        case _:
            return [structlog.processors.LogfmtRenderer(key_order=["time", "level", "msg"], bool_as_flag=False)]


def _logstash(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {"@version": "1", "@timestamp": event.pop("time"), "type": "portside", **event}
