"""A whole program that mails: a worker's errors, and what the parent has to say of its workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from portside.observe.mail import ANSWER_SECONDS
from tests.support.mail_server import MailServer, mail_server
from tests.support.ports import free_port
from tests.support.programs import running
from tests.support.serving_here import Client
from tests.support.signing_keys import as_pem, new_keys


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running_server:
        yield running_server


@contextlib.contextmanager
def mailing(folder: Path, server: MailServer, level: str) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    """Runs a registry that mails, and whose redirections need a key."""
    port, config, key = free_port(), folder / "config.yml", folder / "key.pem"
    key.write_bytes(as_pem(new_keys()["RSA"]))
    options = {"smtp": {"addr": f"127.0.0.1:{server.port}"}, "from": "a@b.example", "to": ["ops@b.example"]}
    signed = {"baseurl": "cdn.example", "privatekey": str(key), "keypairid": "APKA1"}
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "gateway": {"workers": 1},
        "middleware": {"storage": [{"name": "cloudfront", "options": signed}]},
        "log": {"hooks": [{"type": "mail", "levels": [level], "options": options}]},
    }
    config.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "portside.cli", "v2", str(config)]
    with running(command, folder / "log", port=port) as process:
        yield Client("127.0.0.1", port), process
    assert process.returncode == 0, (folder / "log").read_text()


@pytest.mark.parametrize("silent", [False, True])
async def test_an_error_of_a_worker_is_mailed_and_no_request_waits(
    tmp_path: Path, server: MailServer, *, silent: bool
) -> None:
    server.behaviour.silent = silent
    with mailing(tmp_path, server, "error") as (client, _):
        digest = await client.push_blob("a/b", b"a layer")
        (tmp_path / "key.pem").unlink()
        began = time.monotonic()
        for number in range(50):
            assert (await client.ask("GET", f"/v2/a/b/blobs/{digest}")).status == 500
            assert number or not server.mails
        assert time.monotonic() - began < ANSWER_SECONDS / 2, "a request waited for the mail"
    if not silent:
        (mail,) = server.wait_for(1)
        assert f"GET /v2/a/b/blobs/{digest} failed" in str(mail["Subject"]) + str(mail.get_content())
        assert str(mail["Subject"]).endswith("(and 49 more)")
        assert "instance.id=" in str(mail.get_content())


def test_a_worker_that_dies_is_mailed_by_the_parent(tmp_path: Path, server: MailServer) -> None:
    with mailing(tmp_path, server, "warning") as (_, process):
        deadline = time.monotonic() + 20
        while "listening on" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        server.wait_for(1, seconds=20)  # what is said at start
        os.kill(int(worker), signal.SIGKILL)
        while "it is replaced" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    texts = [str(mail.get_content()) for mail in server.wait_for(2)]
    assert any("it is replaced" in text for text in texts), texts
