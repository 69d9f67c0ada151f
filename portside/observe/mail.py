"""Mail about lines of the log (`log.hooks`): a thread of each process sends them, a few at a time.

Invariants: a line never waits for a mail, and what is written about mail is never mailed; what cannot be sent is kept
up to a bound, then counted; a mail has at most `MOST_LINES` lines, and no two leave a process within `Pace.between`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    import ssl
    from email.message import EmailMessage
    from smtplib import SMTP

OWN = "portside.mail"
SMTPS = 465
MOST_LINES = 100
LONGEST_LINE = 4000
"""Of the text of a line with its traceback; the beginning and the end of longer ones are mailed."""
MOST_KEPT = 2000
LONGEST_SUBJECT = 120
ANSWER_SECONDS = 15.0
STOP_SECONDS = 3.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_log = logging.getLogger(OWN)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """One hook; the names in brackets are config.yml's, below `log.hooks[].options`.

    Attributes:
        levels: which lines are mailed: `logging`'s numbers (`log.hooks[].levels`).
        host: the mail server's name (`smtp.addr`); TLS is used where it offers it, and from the start at port 465.
        port: its port.
        username: who logs in there; "" for nobody.
        password: with what.
        insecure: take any certificate of the server, and send the password without TLS (`smtp.insecure`).
        sender: whom the mail is from (`from`); "" for a name made of this machine's.
        to: whom it is for.
    """

    levels: frozenset[int]
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    insecure: bool = False
    sender: str = ""
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long lines are gathered for one mail, and the least time between two; in seconds."""

    gather: float = 2.0
    between: float = 60.0


class MailHandler(logging.Handler):
    """Mails lines. Its thread begins with the first line, so that a process may fork before.

    Args:
        settings: which lines, to whom, and how.
        pace: how often.
    """

    def __init__(self, settings: MailSettings, pace: Pace | None = None) -> None:
        super().__init__()
        # The thread must import nothing: a fork in the middle of it would leave the child a lock that nobody releases.
        import smtplib  # noqa: F401, PLC0415
        import ssl  # noqa: F401, PLC0415

        self._settings = settings
        self._pace = pace or Pace()
        self._begin()

    def _begin(self) -> None:
        """Starts with nothing; also in a process that was forked."""
        self._process = os.getpid()
        self._lines: deque[tuple[str, str]] = deque()
        self._dropped = 0
        self._failing = False
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno not in self._settings.levels or record.name == OWN or "password" in record.__dict__:
            return
        if self._process != os.getpid():
            self._begin()
        try:
            line = (f"[{record.levelname.lower()}] {record.getMessage()}", _shortened(self.format(record)))
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
            return
        if len(self._lines) >= MOST_KEPT:
            self._dropped += 1
            return
        self._lines.append(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="mail", daemon=True)
            self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """Sends what is left, if that takes no longer than a moment."""
        if self._thread is not None and self._process == os.getpid():
            self._stopping.set()
            self._wake.set()
            self._thread.join(STOP_SECONDS)

    def _send_all(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            self._wake.wait()
            self._stopping.wait(self._pace.gather)
            self._wake.clear()
            if self._lines:
                self._send_some()
            if self._stopping.is_set():
                return
            if self._lines:
                self._wake.set()
            self._stopping.wait(self._pace.between)

    def _send_some(self) -> None:
        """Sends the oldest lines in one mail; keeps them when that fails."""
        lines = [self._lines[index] for index in range(min(len(self._lines), MOST_LINES))]
        dropped = self._dropped
        try:
            self._deliver(self._compose(lines, dropped))
        except Exception as error:  # noqa: BLE001 - whatever a server does: the next mail is tried all the same
            if not self._failing:
                self._failing = True
                _log.warning(
                    "mail about this log cannot be sent by %s:%d: %s; it is tried again every %g seconds",
                    self._settings.host,
                    self._settings.port,
                    _told(error),
                    self._pace.between,
                )
            return
        if self._failing:
            self._failing = False
            _log.info("mail about this log is sent again")
        for _ in lines:
            self._lines.popleft()
        self._dropped -= dropped

    def _compose(self, lines: list[tuple[str, str]], dropped: int) -> EmailMessage:
        from email.message import EmailMessage  # noqa: PLC0415 - imported by the constructor
        from email.utils import formatdate, make_msgid  # noqa: PLC0415

        machine = socket.gethostname() or "localhost"
        level, _, message = lines[0][0].partition(" ")
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        subject = f"{level} {machine}: {message}"[:LONGEST_SUBJECT] + more
        mail = EmailMessage()
        mail["From"] = self._settings.sender or f"portside@{machine}"
        mail["To"] = ", ".join(self._settings.to)
        mail["Subject"] = "".join(letter if letter.isprintable() else " " for letter in subject)
        mail["Date"] = formatdate(localtime=True)
        mail["Message-ID"] = make_msgid(domain=machine)
        mail["Auto-Submitted"] = "auto-generated"
        text = "\n".join(line for _, line in lines)
        left_out = f"\n{dropped} more lines were left out, since they came faster than mail is sent" if dropped else ""
        mail.set_content(f"{text}{left_out}\n")
        return mail

    def _deliver(self, mail: EmailMessage) -> None:
        from smtplib import SMTP, SMTP_SSL, SMTPException  # noqa: PLC0415 - imported by the constructor

        settings = self._settings
        place = (settings.host, settings.port)
        if settings.port == SMTPS:
            client: SMTP = SMTP_SSL(*place, timeout=ANSWER_SECONDS, context=self._trust())
        else:
            client = SMTP(*place, timeout=ANSWER_SECONDS)
        with client:
            client.ehlo_or_helo_if_needed()
            encrypted = settings.port == SMTPS
            if not encrypted and client.has_extn("starttls"):
                client.starttls(context=self._trust())
                encrypted = True
            if settings.username:
                if not (encrypted or settings.insecure or settings.host in _LOOPBACK):
                    raise SMTPException("it offers no TLS, so the password is not sent; insecure: true sends it")
                client.login(settings.username, settings.password)
            client.send_message(mail, to_addrs=list(settings.to))

    def _trust(self) -> ssl.SSLContext:
        import ssl  # noqa: PLC0415 - imported by the constructor

        context = ssl.create_default_context()
        if self._settings.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _shortened(text: str) -> str:
    half = LONGEST_LINE // 2
    return text if len(text) <= LONGEST_LINE else f"{text[:half]} [...] {text[-half:]}"


def _told(error: Exception) -> str:
    """Returns why, on one line."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]
