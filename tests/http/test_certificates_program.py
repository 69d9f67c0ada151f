"""Client certificates as identities at the doors of the whole program: in one process, and told by the proxy."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from cryptography import x509

from backends.http.certificate_header import HEADER, asked_for, derive_key, seal
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.client_certificates import ClientAuthority, ClientFiles, read_certificate
from tests.support.commands import RunningCommand, portside, running_command
from tests.support.gated import basic
from tests.support.serving_here import Client

SECRET = "the same in all of them"
RULES = """
- {allow: pull, to: users}
- {allow: push, to: [alice, 'tls:alice', group tls:devs], on: team/**}
"""
APP = "team/app"


@dataclass(frozen=True, slots=True)
class Site:
    """A folder with certificates, users, rules and settings."""

    folder: Path
    server: CertificateFiles
    clients: ClientAuthority
    settings: dict[str, Any] = field(default_factory=dict)

    def trusting(self, shown: ClientFiles | None = None) -> ssl.SSLContext:
        """What a client speaks TLS with."""
        context = ssl.create_default_context(cafile=str(self.server.ca))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    users, rules = tmp_path / "htpasswd", tmp_path / "rules.yml"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    rules.write_text(RULES)
    server, clients = make_certificate(tmp_path), ClientAuthority(tmp_path / "clients")
    tls = {
        "certificates": [{"certificate": str(server.chain), "key": str(server.key)}],
        "clientcas": [str(clients.certificate)],
        "clientauth": "verify-client-cert-if-given",
    }
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "gateway": {
            "addr": "127.0.0.1:0",
            "workers": 2,
            "tls": tls,
            "access": str(rules),
            "auth": {
                "certificates": {"groups": "ou", "prefix": "tls:"},
                "htpasswd": {"realm": "here", "path": str(users)},
            },
            "v1": {"addr": "127.0.0.1:0"},
            "v2": {"addr": "127.0.0.1:0"},
        },
    }
    return Site(tmp_path, server, clients, settings)


@dataclass(frozen=True, slots=True)
class Running:
    """A program that answers.

    Attributes:
        proxy: the port that clients use, by TLS.
        direct: the registries' own: a port, or a path of a socket.
        commands: by role.
    """

    proxy: int
    direct: Mapping[str, int | str]
    commands: Mapping[str, RunningCommand]

    def log(self) -> str:
        return "\n".join(each.err.read_text() for each in self.commands.values())


def write(site: Site, name: str, more: Mapping[str, Any]) -> Path:
    settings = json.loads(json.dumps(site.settings))
    settings["gateway"] |= {key: value for key, value in more.items() if key != "http"}
    settings["http"] = dict(more.get("http", {}))
    path = site.folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


@contextmanager
def serving(site: Site, form: str, secret: str = SECRET, told: str = SECRET) -> Iterator[Running]:
    """Serves in one process, or as roles that reach each other by unix sockets or by the network."""
    with ExitStack() as stack:

        def run(role: str, more: Mapping[str, Any]) -> RunningCommand:
            folder = site.folder / f"run-{role}"
            folder.mkdir(exist_ok=True)
            return stack.enter_context(running_command(role, write(site, role, more), folder=folder))

        if form == "serve":
            one = run("serve", {})
            yield Running(one.port("proxy"), {each: one.port(each) for each in ("v1", "v2")}, {"serve": one})
            return
        commands, direct, upstreams = {}, {}, {}
        for each in ("v1", "v2"):
            path = str(site.folder / f"{each}.sock")
            own = {"unix": path, "addr": ""} if form == "unix" else {"addr": "127.0.0.1:0"}
            commands[each] = run(each, {each: own, "http": {"secret": told}, "workers": 1})
            direct[each] = path if form == "unix" else commands[each].port(each)
            upstreams[each] = {"upstream": f"unix:{path}" if form == "unix" else f"http://127.0.0.1:{direct[each]}"}
        commands["proxy"] = run("proxy", {**upstreams, "http": {"secret": secret}, "workers": 1})
        yield Running(commands["proxy"].port("proxy"), direct, commands)


FORMS = ["serve", "unix", "network"]
UPLOADS = f"/v2/{APP}/blobs/uploads/"


@pytest.mark.parametrize("form", FORMS)
async def test_a_certificate_is_who_its_client_is_for_both_protocols(site: Site, form: str) -> None:
    alice, bob = site.clients.issue("CN=alice", file="alice"), site.clients.issue("CN=bob,OU=ops", file="bob")
    dora, nameless = site.clients.issue("CN=dora,OU=devs", file="dora"), site.clients.issue("O=Acme", file="nobody")
    with serving(site, form) as running:

        def client(shown: ClientFiles | None) -> Client:
            return Client("127.0.0.1", running.proxy, site.trusting(shown))

        for shown, push in ((alice, 202), (dora, 202), (bob, 403)):
            assert (await client(shown).ask("GET", "/v2/")).status == 200
            assert (await client(shown).ask("POST", UPLOADS)).status == push
            assert (await client(shown).ask("GET", "/v1/users/", {"User-Agent": "docker/1.3.0"})).status == 200
            target = f"/v1/repositories/{APP}/"
            answer = await client(shown).ask("PUT", target, {"User-Agent": "docker/1.3.0"}, body=b"[]")
            assert answer.status == (403 if push == 403 else 200)
        # Without one, and with one that names nobody, there are passwords.
        for nobody in (None, nameless):
            answer = await client(nobody).ask("GET", "/v2/")
            assert (answer.status, answer["WWW-Authenticate"]) == (401, 'Basic realm="here"')
            assert (await client(nobody).ask("POST", UPLOADS, basic("alice", "secret"))).status == 202
        # A password is what its client means, right or wrong.
        assert (await client(bob).ask("POST", UPLOADS, basic("alice", "secret"))).status == 202
        assert (await client(alice).ask("POST", UPLOADS, basic("alice", "wrong"))).status == 401
        log = running.log()
        assert "must have one cn to name the user, and has none (certificate, " in log
        assert "tls:bob at 127.0.0.1 was refused to push team/app" in log
        assert "is not believed" not in log


@pytest.mark.parametrize("form", FORMS)
async def test_nobody_else_can_say_who_a_client_is(site: Site, form: str) -> None:
    alice = read_certificate(site.clients.issue("CN=alice"))

    def forged(key: bytes, asked: str) -> str:
        return seal(alice, key, asked=asked, now=time.time())

    good = derive_key(SECRET)
    asked = asked_for("v2", "POST", UPLOADS)
    with serving(site, form) as running:
        v2 = running.direct["v2"]
        cases = [
            (forged(derive_key(""), asked), 401),
            (forged(derive_key("another"), asked), 401),
            (forged(good, asked_for("v1", "POST", UPLOADS)), 401),
            (forged(good, asked_for("v2", "GET", UPLOADS)), 401),
            (forged(good, asked_for("v2", "POST", "/v2/")), 401),
            (seal(alice, good, asked=asked, now=time.time() - 120), 401),
            ("x", 401),
            # What the proxy itself would have sent; in one process there is no secret, and nobody is believed.
            (forged(good, asked), 401 if form == "serve" else 202),
        ]
        for value, status in cases:
            # A trusted peer, as any proxy of others is on a unix socket, is not believed either.
            lines = {"X-Real-IP": "192.0.2.7", HEADER: value}
            assert post(v2, UPLOADS, lines) == status, value
            # Through the proxy a client's own header does nothing, whatever is in it.
            assert (await Client("127.0.0.1", running.proxy, site.trusting()).ask("POST", UPLOADS, lines)).status == 401
        twice = [(HEADER, forged(good, asked))] * 2
        assert post(v2, UPLOADS, twice) == 401
        if form != "serve":
            assert "a client certificate told by" in running.log()
            assert "is not believed: it is not sealed with this installation's secret" in running.log()


def post(where: int | str, target: str, lines: Any) -> int:
    """Ask a registry itself; returns the status."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with socket.socket(family) as peer:
        peer.settimeout(10)
        peer.connect(where if isinstance(where, str) else ("127.0.0.1", where))
        pairs = lines.items() if isinstance(lines, dict) else lines
        head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        peer.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{head}\r\n".encode())
        return int(peer.recv(64).split()[1])


@pytest.mark.parametrize("form", ["unix", "network"])
async def test_secrets_that_differ_are_said(site: Site, form: str) -> None:
    alice = site.clients.issue("CN=alice")
    with serving(site, form, secret="one", told="another") as running:
        assert (await Client("127.0.0.1", running.proxy, site.trusting(alice)).ask("GET", "/v2/")).status == 401
        running.commands["v2"].wait_for_line(running.commands["v2"].err, "is not believed", "http.secret")


async def test_a_resumed_session_is_the_same_client_until_its_certificate_ends(site: Site) -> None:
    """Of TLS 1.2: a client of TLS 1.3 gets no ticket, and so shows its certificate each time."""
    ends = dt.timedelta(seconds=8)
    alice, bob = site.clients.issue("CN=alice", file="a", ends=ends), site.clients.issue("CN=bob", file="b")
    begun = time.monotonic()
    site.settings["gateway"]["workers"] = 1
    with serving(site, "serve") as running:
        context = site.trusting(alice)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session, status, resumed = talk(running.proxy, context, None)
        assert (status, resumed) == (202, False)
        kept, status, resumed = talk(running.proxy, context, session)
        assert (status, resumed) == (202, True)
        other = site.trusting(bob)
        other.maximum_version = ssl.TLSVersion.TLSv1_2
        assert talk(running.proxy, other, None)[1] == 403
        await asyncio.sleep(max(0.0, 9 - (time.monotonic() - begun)))
        with pytest.raises(ssl.SSLError):  # a new handshake sees it
            talk(running.proxy, site.trusting(alice), None)
        _, status, resumed = talk(running.proxy, context, kept)
        assert (status, resumed) == (401, True)
        command = running.commands["serve"]
        command.wait_for_line(command.err, "the certificate of 'tls:alice' has expired")


def talk(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, int, bool | None]:
    """Begin an upload; returns the session, the status, and whether the session was resumed."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as peer,
    ):
        peer.sendall(f"POST {UPLOADS} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        status = int(peer.recv(4096).split()[1])
        return peer.session, status, peer.session_reused


async def test_certificates_of_others_never_get_as_far(site: Site) -> None:
    stranger = ClientAuthority(site.folder / "strangers").issue("CN=alice", file="stranger")
    late = site.clients.issue("CN=alice", file="late", ends=dt.timedelta(hours=-1))
    with serving(site, "serve") as running:
        for shown in (stranger, late):
            with pytest.raises((ssl.SSLError, OSError)):
                await Client("127.0.0.1", running.proxy, site.trusting(shown)).ask("GET", "/v2/")
    site.settings["gateway"]["tls"]["clientauth"] = "require-and-verify-client-cert"
    with serving(site, "serve") as running:
        with pytest.raises((ssl.SSLError, OSError)):
            await Client("127.0.0.1", running.proxy, site.trusting()).ask("GET", "/v2/")
        alice = site.clients.issue("CN=alice")
        assert (await Client("127.0.0.1", running.proxy, site.trusting(alice)).ask("POST", UPLOADS)).status == 202


async def test_without_passwords_an_old_entry_in_a_clients_settings_does_no_harm(site: Site) -> None:
    del site.settings["gateway"]["auth"]["htpasswd"]
    alice = site.clients.issue("CN=alice")
    with serving(site, "serve") as running:
        answer = await Client("127.0.0.1", running.proxy, site.trusting(alice)).ask("POST", UPLOADS, basic("x", "y"))
        assert answer.status == 202
        nobody = await Client("127.0.0.1", running.proxy, site.trusting()).ask("GET", "/v2/")
        assert nobody.status in {401, 403}


CASES: list[tuple[str, Mapping[str, Any], str]] = [
    ("serve", {"tls": {}}, "gateway.auth.certificates: it needs gateway.tls.clientcas"),
    (
        "serve",
        {"tls": {"clientauth": "request-client-cert"}},
        "gateway.auth.certificates: it needs gateway.tls.clientcas",
    ),
    ("serve", {"tls": {"clientauth": "require-any-client-cert"}}, "any certificate would be accepted unverified"),
    ("serve", {"v2": {"upstream": "http://127.0.0.1:1"}}, "gateway.auth.certificates: it needs http.secret"),
    ("proxy", {"v2": {"upstream": "unix:/tmp/x.sock"}}, "gateway.auth.certificates: it needs http.secret"),
    ("v2", {}, "gateway.auth.certificates: it needs http.secret, the same as the proxy's"),
    ("v1", {}, "gateway.auth.certificates: it needs http.secret, the same as the proxy's"),
    ("serve", {"auth": {"certificates": {"user": "serial"}}}, "gateway.auth.certificates.user"),
    ("serve", {"auth": {"certificates": {"groups": "cn"}}}, "gateway.auth.certificates.groups"),
    ("serve", {"auth": {"certificates": {"groups": "ou"}}}, "gateway.auth.certificates.prefix: it must have a colon"),
]


@pytest.mark.parametrize(("role", "change", "sentence"), CASES)
def test_a_start_is_refused_where_no_certificate_could_name_anybody(
    role: str, change: Mapping[str, Any], sentence: str, site: Site
) -> None:
    tls = site.settings["gateway"]["tls"]
    if "tls" in change:
        given = dict(change["tls"])
        change = {**change, "tls": tls | given if given else {"certificates": tls["certificates"]}}
    ended = portside(role, write(site, role, change), folder=site.folder, timeout_s=20)
    assert ended.returncode == 1, ended.stderr
    assert sentence in ended.stderr


def test_an_empty_bundle_of_client_cas_is_fatal(site: Site) -> None:
    site.clients.certificate.write_text("")
    ended = portside("serve", write(site, "serve", {}), folder=site.folder, timeout_s=20)
    assert ended.returncode == 1
    assert "could not add CA to pool" in ended.stderr


async def test_a_registry_by_itself_verifies_certificates_by_its_own_tls(site: Site) -> None:
    tls = {
        "certificate": str(site.server.chain), "key": str(site.server.key),
        "clientcas": [str(site.clients.certificate)], "clientauth": "verify-client-cert-if-given",
    }  # fmt: skip
    name = x509.UniformResourceIdentifier("spiffe://example.org/alice")
    site.settings["gateway"]["auth"]["certificates"] = {"user": "uri"}
    (site.folder / "rules.yml").write_text('- {allow: push, to: "spiffe://example.org/alice"}')
    with running_command("v2", write(site, "v2", {"http": {"tls": tls}}), folder=site.folder) as command:
        named, other = site.clients.issue("CN=x", name), site.clients.issue("CN=x", file="other")
        for shown, status in ((named, 202), (other, 401), (None, 401)):
            client = Client("127.0.0.1", command.port("v2"), site.trusting(shown))
            assert (await client.ask("POST", UPLOADS)).status == status
