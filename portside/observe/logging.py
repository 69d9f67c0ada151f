"""Logs: one event, as text or JSON, with the configured fields on every line; never waited for by the event loop.

The program's log goes to stderr, the access log to stdout, as distribution does. In a worker records pass a queue to a
thread that formats and writes them, so a slow terminal or a full pipe delays no request; when it stays full, lines are
dropped and counted. The parent has no threads, since it forks (but for the one that mails, where that is wanted:
`mail`); it writes where the reader takes it. Control characters never reach a line: what a client sends cannot forge
one.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import select
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from portside.observe.log_lines import MESSAGE, escaped, render

if TYPE_CHECKING:
    from portside.observe.mail import MailHandler, MailSettings

__all__ = ["LEVELS", "Log", "LogSettings", "escaped", "log_directly"]

LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
QUEUED_LINES = 10_000
FULL_SECONDS = 1.0
EXTRAS = ("listener", "password", "path", "user")
"""What a record may carry beside its message: `extra={"listener": "v1"}`. One with a password is never mailed."""

_PROGRAM = str(Path(__file__).parents[2]) + os.sep

_log = logging.getLogger("portside")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the program logs; the names in brackets are config.yml's.

    Attributes:
        level: `error`, `warn`, `info` or `debug` (`log.level`).
        formatter: `text`, `json` or `logstash` (`log.formatter`).
        fields: on every line (`log.fields`).
        access: whether there is an access log (`log.accesslog.disabled`).
        access_at_any_level: requests leave lines at any level, since the file asks for them explicitly.
        caller: every line says where in the program it was logged (`log.reportcaller`).
        mail: whom lines of some levels are mailed to (`log.hooks`).
    """

    level: str = "info"
    formatter: str = "text"
    fields: dict[str, Any] = field(default_factory=dict)
    access: bool = True
    access_at_any_level: bool = False
    caller: bool = False
    mail: tuple[MailSettings, ...] = ()

    @property
    def tells_requests(self) -> bool:
        """Whether a request leaves a line in the access log."""
        return self.access and (self.access_at_any_level or LEVELS[self.level] <= logging.INFO)


class Log:
    """The log of a worker; started once, after the fork.

    Args:
        settings: level, form, fields.
        version: the program's.
        instance: one id for all workers of one start, as distribution's `instance.id`.
    """

    def __init__(self, settings: LogSettings, *, version: str, instance: str) -> None:
        output = logging.StreamHandler(sys.stderr)
        output.setFormatter(_Lines(settings, version=version, instance=instance))
        lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED_LINES)
        self._listener = logging.handlers.QueueListener(lines, output)
        self._handler = _Queue(lines)
        self._mail = _mail_handlers(settings, version=version, instance=instance)
        self._level = settings.level

    def start(self) -> None:
        """Takes over the standard library's root logger."""
        self._listener.start()
        logging.getLogger().handlers[:] = [self._handler, *self._mail]
        set_level(self._level)

    def stop(self) -> None:
        """Writes and mails what is still queued, and lets go of the root logger."""
        for mail in self._mail:
            mail.stop()
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
        self._listener.stop()


def log_directly(settings: LogSettings, *, version: str, instance: str, descriptor: int = 2) -> Sequence[MailHandler]:
    """Has this process write its log itself, as long as somebody takes it: for the parent, and before a worker's `Log`.

    Args:
        settings: level, form, fields.
        version: the program's.
        instance: one id for all processes of one start.
        descriptor: where the lines go; stderr.

    Returns:
        what mails lines; to be stopped at the end.
    """
    output = _Direct(descriptor)
    output.setFormatter(_Lines(settings, version=version, instance=instance))
    mail = _mail_handlers(settings, version=version, instance=instance)
    logging.getLogger().handlers[:] = [output, *mail]
    set_level(settings.level)
    return mail


def _mail_handlers(settings: LogSettings, *, version: str, instance: str) -> list[MailHandler]:
    if not settings.mail:
        return []
    from portside.observe.mail import MailHandler  # noqa: PLC0415 - few are mailed

    as_text = _Lines(replace(settings, formatter="text"), version=version, instance=instance)
    handlers = [MailHandler(each) for each in settings.mail]
    for handler in handlers:
        handler.setFormatter(as_text)
    return handlers


def set_level(level: str) -> None:
    """Has only events of this level, and more serious ones, logged from now on."""
    logging.getLogger().setLevel(LEVELS[level])
    logging.getLogger("asyncio").setLevel(max(LEVELS[level], logging.WARNING))


def log_what_python_prints() -> None:
    """Has exceptions of threads, of finalizers, and warnings logged, which Python would print beside the log."""

    def failed_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            _log.error("a thread failed", exc_info=failed.exc_value)

    def failed_finalizer(failed: sys.UnraisableHookArgs) -> None:
        if failed.exc_value is not None:
            _log.error("%s", failed.err_msg or "an object could not be let go of", exc_info=failed.exc_value)

    threading.excepthook = failed_thread
    sys.unraisablehook = failed_finalizer
    logging.captureWarnings(True)


def identity(settings: LogSettings, *, version: str, instance: str) -> dict[str, Any]:
    """Returns what stands on every line."""
    return {**settings.fields, "instance.id": instance, "version": version}


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
                text = f"{self._dropped} lines of this log were dropped, since its reader is too slow"
                self.queue.put_nowait(logging.LogRecord("portside.log", logging.WARNING, "", 0, text, None, None))
                self._dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1  # the reader of the log has stopped: serving goes on


class _Direct(logging.Handler):
    """Writes at once. A reader that takes nothing for a second loses the line; the parent has workers to look after."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._patient = True

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = memoryview((self.format(record) + "\n").encode("utf-8", "backslashreplace"))
            while data and self._has_room():
                data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
        except OSError:
            pass  # the reader has gone
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        self._patient = bool(poll.poll(FULL_SECONDS * 1000 if self._patient else 0))
        return self._patient


class _Lines(logging.Formatter):
    """Makes a line of a record."""

    def __init__(self, settings: LogSettings, *, version: str, instance: str) -> None:
        super().__init__()
        self._form = settings.formatter
        self._caller = settings.caller
        self._identity = identity(settings, version=version, instance=instance)

    @override
    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:26] + "Z",
            "level": record.levelname.lower(),
            MESSAGE[self._form]: record.getMessage(),
        }
        event |= {key: record.__dict__[key] for key in EXTRAS if key in record.__dict__}
        event["logger"] = record.name
        if self._caller:  # logrus' names
            event["file"] = f"{record.pathname.removeprefix(_PROGRAM)}:{record.lineno}"
            event["func"] = record.funcName
        # What the event says of itself goes before a field of the same name.
        fields: Mapping[str, Any] = {key: value for key, value in self._identity.items() if key not in event}
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        return render(self._form, {**event, **fields}, exception=exception)
