"""Mail about lines of the log: what is mailed, how often, to a real server that encrypts, refuses, hangs and dies."""

from __future__ import annotations

import logging
import os
import signal
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portside.observe import mail as mail_module
from portside.observe.mail import OWN, MailHandler, MailSettings, Pace
from portside.settings.loading import Role
from tests.support.certificate import make_certificate
from tests.support.mail_server import Behaviour, MailServer, mail_server
from tests.support.settings_files import Load

FAST = Pace(gather=0.05, between=0.05)
ERRORS = frozenset({logging.ERROR})
PASSWORD = "hunter2-of-mail"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("portside.tested")
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def settings_for(server: MailServer, **more: Any) -> MailSettings:
    usual = {"levels": ERRORS, "host": "127.0.0.1", "sender": "portside@example.org", "to": ("ops@example.org",)}
    return MailSettings(port=server.port, **{**usual, **more})


def mailing(logger: logging.Logger, settings: MailSettings, pace: Pace = FAST) -> MailHandler:
    handler = MailHandler(settings, pace)
    logger.addHandler(handler)
    return handler


def text_of(mail: Any) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def test_a_line_of_a_level_is_mailed_whole(server: MailServer, logger: logging.Logger) -> None:
    handler = mailing(logger, settings_for(server, to=("ops@example.org", "you@example.org")))
    logger.warning("not this one")
    logger.error("the disk %s is full\r\nBcc: x@y", "sda")
    (mail,) = server.wait_for(1)
    sender, receivers, _ = server.mails[0]
    assert "<portside@example.org>" in sender
    assert receivers == ["ops@example.org", "you@example.org"]
    assert (mail["From"], mail["To"]) == ("portside@example.org", "ops@example.org, you@example.org")
    assert mail["Subject"] == f"[error] {os.uname().nodename}: the disk sda is full  Bcc: x@y"
    assert mail["Bcc"] is None
    assert mail["Date"] and mail["Message-ID"] and mail["Auto-Submitted"] == "auto-generated"  # noqa: PT018 - three alike
    assert text_of(mail).startswith("the disk sda is full")
    handler.stop()


def test_lines_that_come_together_leave_together_and_no_more_often_than_the_pace(
    server: MailServer, logger: logging.Logger
) -> None:
    handler = mailing(logger, settings_for(server), Pace(gather=0.2, between=0.5))
    for number in range(3):
        logger.error("line %d", number)
    (mail,) = server.wait_for(1)
    began = time.monotonic()
    assert text_of(mail).split("\n")[:3] == ["line 0", "line 1", "line 2"]
    assert mail["Subject"].endswith("line 0 (and 2 more)")
    logger.error("line 3")
    server.wait_for(2)
    assert time.monotonic() - began > 0.5
    handler.stop()


def test_a_flood_is_bounded_and_what_is_left_out_is_counted(
    server: MailServer, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_module, "MOST_KEPT", 30)
    monkeypatch.setattr(mail_module, "MOST_LINES", 20)
    handler = mailing(logger, settings_for(server))
    for number in range(100):
        logger.error("line %d", number)
    first, second = server.wait_for(2)
    assert [len(text_of(each).split("line")) - 1 for each in (first, second)] == [20 + 1, 10]  # one says how many
    assert "70 more lines were left out" in text_of(first)
    handler.stop()


def test_a_long_line_is_mailed_with_its_beginning_and_its_end(server: MailServer, logger: logging.Logger) -> None:
    handler = mailing(logger, settings_for(server))
    logger.error("begins %s ends", "x" * 100_000)
    (mail,) = server.wait_for(1)
    text = text_of(mail)
    assert text.startswith("begins x")
    assert text.endswith("x ends\n")
    assert len(text) < mail_module.LONGEST_LINE + 100
    assert len(str(mail["Subject"])) <= mail_module.LONGEST_SUBJECT
    handler.stop()


def test_the_password_is_sent_encrypted_to_whom_the_certificate_names_alone(
    logger: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.chain, certificate.key)
    with mail_server(Behaviour(tls=tls, users={"me": PASSWORD})) as server:
        login = {"host": "localhost", "username": "me", "password": PASSWORD}
        handler = mailing(logger, settings_for(server, **login))
        logger.error("one")
        wait_for_line(caplog, "CERTIFICATE_VERIFY_FAILED")
        assert server.logins == []
        handler.stop()
        logger.removeHandler(handler)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.ca))
        handler = mailing(logger, settings_for(server, **login))
        logger.error("two")
        (mail,) = server.wait_for(1)
        assert text_of(mail).startswith("two")
        assert server.logins == [("me", True)]
        handler.stop()
        logger.removeHandler(handler)
        monkeypatch.delenv("SSL_CERT_FILE")
        handler = mailing(logger, settings_for(server, insecure=True, **login))
        logger.error("three")
        server.wait_for(2)
        handler.stop()
    assert PASSWORD not in caplog.text


def wait_for_line(caplog: pytest.LogCaptureFixture, words: str, *, seconds: float = 45.0) -> logging.LogRecord:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for record in caplog.records:
            if words in record.getMessage():
                return record
        time.sleep(0.01)
    raise AssertionError(caplog.text)


def test_without_tls_the_password_goes_to_this_machine_or_where_the_settings_say_so(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    login = {"username": "me", "password": PASSWORD}
    with mail_server(Behaviour(users={"me": PASSWORD})) as here:
        handler = mailing(logger, settings_for(here, **login))
        logger.error("one")
        here.wait_for(1)
        handler.stop()
        logger.removeHandler(handler)
    with mail_server(Behaviour(users={"me": PASSWORD}), host="127.0.0.2") as away:
        handler = mailing(logger, settings_for(away, host="127.0.0.2", **login))
        logger.error("two")
        wait_for_line(caplog, "offers no TLS, so the password is not sent")
        assert not any("AUTH" in line.upper() for line in away.heard)
        handler.stop()
        logger.removeHandler(handler)
        settings = settings_for(away, host="127.0.0.2", insecure=True, **login)
        handler = mailing(logger, settings)
        logger.error("three")
        away.wait_for(1)
        handler.stop()
    assert PASSWORD not in caplog.text + repr(settings)


def test_a_server_that_refuses_or_is_away_costs_one_line_and_loses_nothing(
    server: MailServer, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=OWN)
    server.behaviour.refuses = True
    handler = mailing(logger, settings_for(server))
    logger.error("one")
    wait_for_line(caplog, "cannot be sent by 127.0.0.1")
    logger.error("two")
    time.sleep(0.3)
    assert len([each for each in caplog.records if "cannot be sent" in each.getMessage()]) == 1
    server.behaviour.refuses = False
    (mail,) = server.wait_for(1)
    assert text_of(mail).split("\n")[:2] == ["one", "two"]
    wait_for_line(caplog, "is sent again")
    handler.stop()


def test_what_is_said_about_mail_is_not_mailed(server: MailServer, logger: logging.Logger) -> None:
    everything = frozenset({logging.INFO, logging.WARNING, logging.ERROR})
    handler = MailHandler(settings_for(server, levels=everything), FAST)
    own = logging.getLogger(OWN)
    own.addHandler(handler)
    own.warning("mail about this log cannot be sent")
    logger.addHandler(handler)
    logger.error("another")
    (mail,) = server.wait_for(1)
    assert "cannot be sent" not in text_of(mail)
    own.removeHandler(handler)
    handler.stop()


def test_a_silent_server_delays_neither_a_line_nor_the_end(server: MailServer, logger: logging.Logger) -> None:
    server.behaviour.silent = True
    handler = mailing(logger, settings_for(server))
    began = time.monotonic()
    for number in range(1000):
        logger.error("line %d", number)
    assert time.monotonic() - began < mail_module.ANSWER_SECONDS / 2
    time.sleep(0.2)
    began = time.monotonic()
    handler.stop()
    assert time.monotonic() - began < mail_module.STOP_SECONDS + 8


def test_what_is_waiting_is_sent_at_the_end(server: MailServer, logger: logging.Logger) -> None:
    handler = mailing(logger, settings_for(server), Pace(gather=60, between=60))
    logger.error("the last words")
    handler.stop()
    assert text_of(server.wait_for(1)[0]).startswith("the last words")


def test_a_process_that_is_forked_mails_its_own_lines_alone(server: MailServer, logger: logging.Logger) -> None:
    handler = mailing(logger, settings_for(server), Pace(gather=0.5, between=0.05))
    logger.error("of the parent")
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        logger.error("of the child")
        handler.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    texts = sorted(text_of(each).split("\n")[0] for each in server.wait_for(2))
    assert texts == ["of the child", "of the parent"]
    handler.stop()


HOOK = """
log:
  hooks:
    - type: mail
      levels: [panic, Warning]
      options:
        smtp: {addr: mail.example.com:587, username: u, password: hunter2, insecure: true}
        from: registry@example.com
        to: [ops@example.com, you@example.com]
"""


def test_a_hook_of_distributions_file(load: Load) -> None:
    settings = load(Role.V2, HOOK)
    (mail,) = settings.log.mail
    levels = frozenset({logging.ERROR, logging.WARNING})
    to = ("ops@example.com", "you@example.com")
    sender = "registry@example.com"
    assert mail == MailSettings(levels, "mail.example.com", 587, "u", "hunter2", insecure=True, sender=sender, to=to)
    assert settings.notes == ()
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("type: mail", "type: slack"), "log.hooks.0 has no effect: type 'slack' is not known"),
        (("[panic, Warning]", "[]"), "log.hooks.0 has no effect: no level is named"),
        (("[panic, Warning]", "[panics]"), "log.hooks.0.levels names 'panics', which is not a level"),
        (("[ops@example.com, you@example.com]", "[]"), "log.hooks.0 has no effect: options.to names nobody"),
        (("you@example.com", "you"), "log.hooks.0 has no effect: an address in options.from or options.to"),
        (("mail.example.com:587", "''"), "log.hooks.0 has no effect: options.smtp.addr must be like"),
        (("mail.example.com:587", "mail:x"), "log.hooks.0 has no effect: options.smtp.addr must be like"),
        (("mail.example.com:587", "smtp://mail:25"), "log.hooks.0 has no effect: options.smtp.addr must be like"),
    ],
)
def test_a_hook_that_can_send_nothing_is_named(load: Load, change: tuple[str, str], words: str) -> None:
    assert change[0] in HOOK
    settings = load(Role.V2, HOOK.replace(*change))
    assert settings.notes[0].startswith(words)
    assert settings.log.mail == ()


def test_a_hook_may_be_disabled_and_a_port_left_out(load: Load) -> None:
    assert load(Role.V2, HOOK.replace("- type", "- disabled: true\n      type")).log.mail == ()
    assert load(Role.V2, HOOK.replace(":587", "")).log.mail[0].port == 25
