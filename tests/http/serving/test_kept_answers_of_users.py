"""Answers that are given again to whom they are allowed, and to nobody else, as long as they are."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.http.serving.test_kept_answers import fill, tag
from tests.support.gated import basic
from tests.support.same_heads import RACY_SECONDS, Answer, Site, Wire, get, running_site
from tests.support.tokens import ISSUER, SERVICE, access, make_claims, make_ec, make_token, public_pem, thumbprint

LOOK_SECONDS = 5.0
"""So long may a change of a file that is followed take to be seen, whether answers are kept or not."""


def users(**passwords: str) -> str:
    return "".join(
        f"{name}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}\n" for name, word in passwords.items()
    )


def credentials(name: str, password: str) -> str:
    return f"Authorization: {basic(name, password)['Authorization']}"


KEY = make_ec()


def token(*granted: dict[str, Any], **changes: Any) -> str:
    claims = make_claims(time.time(), access=list(granted), **changes)
    return f"Authorization: Bearer {make_token({'alg': 'ES256', 'kid': thumbprint(KEY)}, claims, KEY)}"


@pytest.fixture
def by_tokens(tmp_path: Path) -> Iterator[Site]:
    fill(tmp_path / "data", "same")
    (tmp_path / "keys").write_bytes(public_pem(KEY))
    asked = {"realm": "https://tokens.example/token", "service": SERVICE, "issuer": ISSUER}
    more = {"auth": {"token": {**asked, "rootcertbundle": str(tmp_path / "keys")}}}
    with running_site(tmp_path, more) as running:
        time.sleep(RACY_SECONDS)
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    fill(tmp_path / "data", "same")
    (tmp_path / "users").write_text(users(alice="secret", bob="secret"))
    (tmp_path / "rules.yml").write_text("- {allow: [pull, push], to: users}\n")
    more = {
        "auth": {"htpasswd": {"realm": "here", "path": str(tmp_path / "users")}},
        "http": {"headers": {"X-Here": ["before"]}},
    }
    with running_site(tmp_path, more, access=str(tmp_path / "rules.yml")) as running:
        time.sleep(RACY_SECONDS)
        yield running


def until_status(wire: Wire, head: bytes, status: int) -> Answer:
    deadline = time.monotonic() + LOOK_SECONDS + 3
    while (answer := wire.ask(head)).status != status:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def test_another_users_request_is_another_request(guarded: Site) -> None:
    right, wrong = tag("same", credentials("alice", "secret")), tag("same", credentials("alice", "guessed"))
    with guarded.connection() as wire:
        assert guarded.learn(wire, right).status == 200
        assert wire.ask(wrong).status == 401
        assert wire.ask(tag("same")).status == 401
        assert wire.ask(right).status == 200
    lines = [line for line in guarded.running.out.read_text().splitlines() if " 200 " in line]
    assert all(line.startswith("127.0.0.1 - alice [") for line in lines)


def test_a_user_who_is_struck_off_is_out(guarded: Site, tmp_path: Path) -> None:
    head, own = tag("same", credentials("alice", "secret")), tag("same", credentials("bob", "secret"))
    with guarded.connection() as wire:
        guarded.learn(wire, head)
        guarded.learn(wire, own)
        (tmp_path / "users").write_text(users(bob="secret"))
        assert until_status(wire, head, 401).status == 401
        assert wire.ask(own).status == 200


def test_a_rule_that_denies_is_obeyed(guarded: Site, tmp_path: Path) -> None:
    head = tag("same", credentials("alice", "secret"))
    with guarded.connection() as wire:
        guarded.learn(wire, head)
        (tmp_path / "rules.yml").write_text("- {allow: pull, to: bob}\n")
        assert until_status(wire, head, 404).status == 404


def test_a_token_is_good_for_what_it_reaches_alone(by_tokens: Site) -> None:
    head = tag("same", token(access("same", "pull")))
    elsewhere = tag("same", token(access("other", "pull", "push", "delete")))
    with by_tokens.connection() as wire:
        assert by_tokens.learn(wire, head).status == 200
        for _ in range(30):
            assert wire.ask(elsewhere).status == 401
            assert wire.ask(tag("same", token(access("same", "push")))).status == 401
            assert wire.ask(tag("same")).status == 401
        assert wire.ask(head.replace(b"GET ", b"DELETE ", 1)).status == 401
        assert wire.ask(head).status == 200
    lines = [line for line in by_tokens.running.out.read_text().splitlines() if " 200 " in line]
    assert all(line.startswith("127.0.0.1 - alice [") for line in lines)


def test_a_token_whose_key_is_withdrawn_is_out(by_tokens: Site, tmp_path: Path) -> None:
    head = tag("same", token(access("same", "pull")))
    with by_tokens.connection() as wire:
        by_tokens.learn(wire, head)
        (tmp_path / "new").write_bytes(public_pem(make_ec()))
        (tmp_path / "new").rename(tmp_path / "keys")
        assert until_status(wire, head, 401).status == 401


def test_a_token_that_expires_is_out(by_tokens: Site) -> None:
    leeway = 60  # of clocks that differ
    head = tag("same", token(access("same", "pull"), exp=int(time.time()) - leeway + 15))
    with by_tokens.connection() as wire:
        assert by_tokens.learn(wire, head).status == 200
        deadline = time.monotonic() + 60
        while wire.ask(head).status != 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_login_is_told_each_second(guarded: Site) -> None:
    head = get("/v2/", credentials("alice", "secret"), "User-Agent: login/1.0")
    with guarded.connection() as wire:
        guarded.learn(wire, head)
        time.sleep(1.1)
        before = guarded.running.err.read_text().count("alice at 127.0.0.1 logged in (htpasswd, login/1.0)")
        again = guarded.again()
        wire.ask(head)
        wire.ask(head)
        assert guarded.again() == again + 2
    guarded.lines("login/1.0", wire)
    after = guarded.running.err.read_text().count("alice at 127.0.0.1 logged in (htpasswd, login/1.0)")
    assert after == before + 1


def test_settings_that_are_reloaded_hold_for_the_next_request(guarded: Site, tmp_path: Path) -> None:
    head = tag("same", credentials("alice", "secret"))
    with guarded.connection() as wire:
        assert b"\r\nX-Here: before" in guarded.learn(wire, head).head
        config = tmp_path / "config.yml"
        config.write_text(config.read_text().replace('"before"', '"after"'))
        guarded.running.process.send_signal(signal.SIGHUP)
        guarded.running.wait_for_line(guarded.running.err, "settings and certificates were reloaded")
        deadline = time.monotonic() + 45
        while b"\r\nX-Here: after" not in wire.ask(tag("same", credentials("alice", "secret"), "X-Fresh: 1")).head:
            assert time.monotonic() < deadline
        assert b"\r\nX-Here: after" in wire.ask(head).head
        assert b"\r\nX-Here: after" in guarded.learn(wire, head).head
