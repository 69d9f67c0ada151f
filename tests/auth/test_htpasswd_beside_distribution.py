"""The same htpasswd file for Portside and for distribution 2.8.2 and 3.1.2: who gets in, and what others are told."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shlex
import stat
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
import yaml

from backends.auth.htpasswd import HtpasswdSettings
from backends.auth.htpasswd_scheme import HtpasswdScheme
from backends.auth.password_file import PasswordFile
from backends.auth.passwords import Passwords
from backends.auth.slowing import Slowing
from portside.password_files.at_start import prepare_password_file
from tests.support.gated import gated
from tests.support.ports import free_port
from tests.support.programs import DISTRIBUTION, find_program, running
from tests.support.serving_here import Client

pytestmark = pytest.mark.real

REALM = 'our "realm" \\ ü'
SALT = b"$2b$04$abcdefghijklmnopqrstuu"


def hashed(password: str, *, prefix: str = "2y", cost: str = "04") -> str:
    made = bcrypt.hashpw(password.encode()[:72], b"$2b$" + cost.encode() + SALT[6:]).decode()
    return f"${prefix}{made[3:]}"


PLAIN = hashed("p")
LINES = [
    b"# comment:" + PLAIN.encode(),
    b"  # another",
    b"",
    b"alice:" + PLAIN.encode() + b"\r",
    b"  spaces:" + PLAIN.encode() + b" \t ",
    f"wide:{PLAIN}\u00a0\u3000".encode(),
    b"al ice:" + PLAIN.encode(),
    b"before :" + PLAIN.encode(),
    f"\u00e4lice:{PLAIN}".encode(),
    b"twice:" + PLAIN.encode(),
    b"twice:" + hashed("q").encode(),
    b"changed:" + PLAIN.encode(),
    b"changed:$apr1$abcdefgh$0123456789012345678901",
    b"md5:$apr1$9Tg1XKb5$cCWF8E0Bs3XmDSpEd5JjB1",
    b"sha:{SHA}UWtQ8sISQmz0e3bR7yHAoQH6OGY=",
    b"clear:p",
    b"nothing:",
    b"comment:" + PLAIN.encode() + b":a comment",
    b"inner: " + PLAIN.encode(),
    b"long:" + hashed("x" * 72).encode(),
    b"empty:" + hashed("").encode(),
    b"nul:" + bcrypt.hashpw(b"a\0b", SALT),
    b"short:" + PLAIN[:-1].encode(),
    b"longer:" + PLAIN.encode() + b"A",
    b"salt:" + PLAIN.replace("uu", "uv", 1).encode(),
    *(f"{prefix}:{hashed('p', prefix=prefix)}".encode() for prefix in ("2a", "2b", "2y")),
    *(f"{prefix}:{hashed('p', prefix=prefix)}".encode() for prefix in ("2", "2x", "2z")),
    b"cost3:" + PLAIN.replace("$04$", "$03$").encode(),
    b"cost32:" + PLAIN.replace("$04$", "$32$").encode(),
    b"cost10:" + hashed("p", cost="10").encode(),
    b"cost15:" + hashed("p", cost="15").encode(),
    b":" + PLAIN.encode(),
    b"\xff:" + PLAIN.encode(),
]
ASKED = [
    *((user, "p") for user in (
        "alice", "Alice", "spaces", "wide", "al ice", "before ", "before", "\u00e4lice", "twice", "changed", "md5",
        "sha", "clear", "nothing", "comment", "inner", "short", "longer", "salt", "2a", "2b", "2y", "2", "2x", "2z",
        "cost3", "cost32", "cost10", "cost15", "", "\udcff", "nobody", "# comment", "#",
    )),
    ("alice", "x"), ("alice", ""), ("alice", "p\0"), ("alice", "pp"), ("twice", "q"), ("nothing", ""), ("empty", ""),
    ("empty", "x"), ("long", "x" * 71), ("long", "x" * 72), ("long", "x" * 73), ("long", "x" * 300), ("nul", "a\0b"),
    ("nul", "a"), ("alice", PLAIN), ("inner", "p:p"), ("comment", "p:a comment"),
]  # fmt: skip
DIFFERENT = {
    ("", "p"): "a line without a user names nobody",
    ("\udcff", "p"): "a name that is not UTF-8 is nobody's",
    ("2", "p"): "2 marks hashes of 1997's bcrypt",
    ("2x", "p"): "2x marks hashes of a broken bcrypt",
    ("2z", "p"): "there is no 2z",
    ("cost15", "p"): "one check would take two seconds",
}
"""Who gets in there and not here."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, as far as clients look at it."""

    status: int
    challenge: str | None
    version: str | None
    body: object


def ask(port: int, path: str, authorization: str | None) -> Said:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={} if authorization is None else {"Authorization": authorization})
        answer = connection.getresponse()
        body = answer.read()
        names = ("WWW-Authenticate", "Docker-Distribution-Api-Version")
        challenge, version = (answer.getheader(name) for name in names)
        return Said(answer.status, challenge, version, json.loads(body) if body else None)
    finally:
        connection.close()


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode()


@contextmanager
def distribution(edition: str, folder: Path, path: Path) -> Iterator[int]:
    """Runs one with this file; its port."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": REALM, "path": str(path)}},
    }
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with running([find_program(DISTRIBUTION[edition]), "serve", str(config)], folder / "log", port=port):
        yield port


async def portside(stack: AsyncExitStack, path: Path) -> Client:
    """Portside's v2 with this file. Its slowing is tested elsewhere: here nobody is slowed."""
    passwords = Passwords(PasswordFile(str(path)), Slowing(at_once=10_000))
    stack.push_async_callback(passwords.close)
    here = await stack.enter_async_context(gated(HtpasswdScheme(REALM, passwords)))
    return here.v2


async def ask_ours(client: Client, path: str, authorization: str | None) -> Said:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await client.ask("GET", path, headers=headers)
    challenges = answer.head.values("WWW-Authenticate")
    body = json.loads(answer.body) if answer.body else None
    return Said(answer.status, ", ".join(challenges) or None, answer["Docker-Distribution-Api-Version"], body)


@pytest.mark.parametrize("edition", DISTRIBUTION)
async def test_the_same_users_get_in(tmp_path: Path, edition: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(b"\n".join(LINES))
    different = set()
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(distribution(edition, tmp_path / "theirs", path))
        ours = await portside(stack, path)
        for user, password in ASKED:
            asked = basic(user, password)
            their, our = ask(theirs, "/v2/", asked), await ask_ours(ours, "/v2/", asked)
            if their != our:
                assert (their.status, our.status) == (200, 401), (user, password)
                different.add((user, password))
            else:
                assert their.status in {200, 401}
    assert sorted(different) == sorted(DIFFERENT)


HEADERS = [
    None,
    "",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Basic YWxpY2U=",
    "Basic Og==",
    "Bearer abc",
    "Token signature=abc",
    "Digest username=alice",
    basic("alice", "p").replace("Basic", "basic"),
    basic("alice", "p").replace("Basic", "BASIC"),
    basic("alice", "x"),
]


@pytest.mark.parametrize("edition", DISTRIBUTION)
async def test_the_others_are_asked_for_credentials_in_the_same_words(tmp_path: Path, edition: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(b"\n".join(LINES))
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(distribution(edition, tmp_path / "theirs", path))
        ours = await portside(stack, path)
        for header in HEADERS:
            their, our = ask(theirs, "/v2/", header), await ask_ours(ours, "/v2/", header)
            assert their == our, header
        for target in ("/v2/_catalog", "/v2/team/app/tags/list", "/v2/team/app/manifests/latest"):
            for header in (None, basic("alice", "x")):
                their, our = ask(theirs, target, header), await ask_ours(ours, target, header)
                assert their == our, target
                assert our.challenge == r'Basic realm="our \"realm\" \\ ü"'.encode().decode("latin-1")


@pytest.mark.parametrize("edition", DISTRIBUTION)
async def test_a_change_is_seen_at_once_by_both_and_a_broken_file_only_there_keeps_all_out(
    tmp_path: Path, edition: str
) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(b"alice:" + PLAIN.encode())
    alice, bob = basic("alice", "p"), basic("bob", "p")
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(distribution(edition, tmp_path / "theirs", path))
        ours = await portside(stack, path)

        async def statuses(header: str) -> tuple[int, int]:
            return ask(theirs, "/v2/", header).status, (await ask_ours(ours, "/v2/", header)).status

        assert await statuses(alice) == (200, 200)
        await asyncio.sleep(0.02)  # its clock must have gone on
        path.write_bytes(b"bob:" + PLAIN.encode())
        assert await statuses(alice) == (401, 401)
        assert await statuses(bob) == (200, 200)
        await asyncio.sleep(0.02)  # its clock must have gone on
        path.write_bytes(b"alice:" + PLAIN.encode() + b"\nno colon\n")
        assert await statuses(bob) == (400, 200)
        assert await statuses(bob) == (200, 200)  # it, too, goes by the old users from the second request on
        assert await statuses(alice) == (401, 401)
        path.unlink()
        assert await statuses(bob) == (400, 200)
        assert await statuses(bob) == (400, 200)


@pytest.mark.parametrize("edition", DISTRIBUTION)
async def test_a_file_that_one_made_at_its_start_is_read_by_the_other(
    tmp_path: Path, edition: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = {each: tmp_path / each / "new" / "htpasswd" for each in ("theirs", "ours")}
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(distribution(edition, tmp_path / "first", made["theirs"]))
        line = next(each for each in (tmp_path / "first" / "log").read_text().splitlines() if "provisioning" in each)
        fields = dict(each.split("=", 1) for each in shlex.split(line))
        prepare_password_file(HtpasswdSettings(REALM, str(made["ours"])), "auth.htpasswd.path")
        (record,) = caplog.records
        assert fields["msg"] == record.message
        assert fields["level"] == record.levelname.lower()
        assert fields["user"] == record.__dict__["user"] == "docker"
        assert len(fields["password"]) == len(record.__dict__["password"])

        second = stack.enter_context(distribution(edition, tmp_path / "second", made["ours"]))
        assert ask(second, "/v2/", basic("docker", record.__dict__["password"])).status == 200
        ours = await portside(stack, made["theirs"])
        header = basic("docker", fields["password"])
        assert ask(theirs, "/v2/", header).status == (await ask_ours(ours, "/v2/", header)).status == 200

    def shape(path: Path) -> tuple[int, int, str]:
        text = re.sub(r"\$2[ay]\$10\$\S{53}", "HASH", path.read_text().rstrip("\n"))
        return stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode), text

    assert shape(made["theirs"]) == shape(made["ours"]) == (0o600, 0o700, "docker:HASH")


@pytest.mark.parametrize("edition", DISTRIBUTION)
async def test_apaches_htpasswd_writes_for_both(tmp_path: Path, edition: str) -> None:
    path = tmp_path / "htpasswd"
    _write_by_apaches(path)
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(distribution(edition, tmp_path / "theirs", path))
        ours = await portside(stack, path)
        for user, status in (("bcrypt", 200), ("md5", 401), ("sha", 401)):
            header = basic(user, "p")
            assert ask(theirs, "/v2/", header).status == (await ask_ours(ours, "/v2/", header)).status == status


def _write_by_apaches(path: Path) -> None:
    program = find_program("htpasswd")
    for user, kind in (("bcrypt", "-B"), ("md5", "-m"), ("sha", "-s")):
        new = [] if path.exists() else ["-c"]
        subprocess.run([program, *new, "-b", kind, path, user, "p"], check=True, capture_output=True)
