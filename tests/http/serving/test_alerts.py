"""A handshake that fails sends its alert on every event loop, so that the client can say why; the log says it too."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.served import RunningServer, running_server

# A whole hello of TLS 1.0 alone.
OLD_HELLO = bytes.fromhex("160301003c010000380301" + "05" * 32 + "00000a003900380035001600130100000500ff010001")
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ROUNDS = 20


@dataclass(frozen=True, slots=True)
class World:
    """Certificates of two authorities that do not know one another, and one that has expired."""

    server: CertificateFiles
    stranger: CertificateFiles
    expired: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    server, stranger = (make_certificate(tmp_path_factory.mktemp(name)) for name in ("server", "stranger"))
    return World(server, stranger, expired_certificate(tmp_path_factory.mktemp("expired")))


def expired_certificate(folder: Path) -> Path:
    """A self-signed certificate of last year, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "last year's client")])
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(then)
        .not_valid_after(then + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def client(world: World, *, newest: ssl.TLSVersion = TLS_1_3, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(world.server.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = min(newest, TLS_1_2)
        context.maximum_version = newest
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def with_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    context.load_cert_chain(certificate, key)
    return context


@dataclass(frozen=True, slots=True)
class Case:
    """A client that a server must turn away.

    Attributes:
        client: how it speaks.
        alert: what it must read, as its own OpenSSL calls it.
        cause: what the log must say.
        cas: which client CAs the server asks for.
        minimum: the server's oldest version.
    """

    client: Callable[[World], ssl.SSLContext]
    alert: str
    cause: str
    cas: Callable[[World], list[Path]] = lambda _: []
    minimum: str = "tls1.2"


def _stranger_ca(world: World) -> list[Path]:
    return [world.stranger.ca]


CASES = {
    "too old": Case(
        lambda world: client(world, newest=ssl.TLSVersion.TLSv1_1, ciphers="ALL:@SECLEVEL=0"),
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "older than the configured minimum",
    ),
    "1.2 where 1.3 is the minimum": Case(
        lambda world: client(world, newest=TLS_1_2),
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "older than the configured minimum",
        minimum="tls1.3",
    ),
    "no cipher in common": Case(
        lambda world: client(world, newest=TLS_1_2, ciphers="ECDHE-RSA-AES256-SHA384"),
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "no cipher in common",
    ),
    "no certificate, 1.2": Case(
        lambda world: client(world, newest=TLS_1_2),
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "the client sent no certificate, and one is required",
        _stranger_ca,
    ),
    "no certificate, 1.3": Case(
        client, "TLSV13_ALERT_CERTIFICATE_REQUIRED", "the client sent no certificate, and one is required", _stranger_ca
    ),
    "unknown CA, 1.2": Case(
        lambda world: with_certificate(client(world, newest=TLS_1_2), world.server.chain, world.server.key),
        "TLSV1_ALERT_UNKNOWN_CA",
        "not issued by a CA in clientcas",
        _stranger_ca,
    ),
    "unknown CA, 1.3": Case(
        lambda world: with_certificate(client(world), world.server.chain, world.server.key),
        "TLSV1_ALERT_UNKNOWN_CA",
        "not issued by a CA in clientcas",
        _stranger_ca,
    ),
    "expired, 1.3": Case(
        lambda world: with_certificate(client(world), world.expired),
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "certificate has expired",
        lambda world: [world.expired],
    ),
}


def alert_read(server: RunningServer, context: ssl.SSLContext) -> str:
    """Connects, asks, and returns the alert that came, by OpenSSL's name; what else happens is named too."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return f"an answer: {connection.recv(100)!r}"
        except ssl.SSLError as error:
            return error.reason or str(error)
        except OSError as error:
            return repr(error)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("name", CASES)
def test_the_alert_arrives_each_time_and_the_log_names_the_cause(
    tmp_path: Path, world: World, name: str, loop: str
) -> None:
    case = CASES[name]
    tls = {"chains": [(world.server.chain, world.server.key)], "client_cas": case.cas(world), "minimum": case.minimum}
    with running_server(tmp_path, tls=tls, loop=loop) as server:
        context = case.client(world)
        assert [alert_read(server, context) for _ in range(ROUNDS)] == [case.alert] * ROUNDS
        deadline = time.monotonic() + 45
        while len(lines := [line for line in server.log().splitlines() if "TLS handshake error" in line]) < ROUNDS:
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.02)
        assert len(lines) == ROUNDS
        assert all(line.startswith("WARNING") and case.cause in line for line in lines), lines[0]
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_client_that_stays_after_its_alert_is_cut_off_and_what_it_sends_is_not_kept(
    tmp_path: Path, world: World, loop: str
) -> None:
    tls = {"chains": [(world.server.chain, world.server.key)]}
    with (
        running_server(tmp_path, tls=tls, loop=loop) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(OLD_HELLO)
        alert = connection.recv(7)
        assert alert[0] == 0x15  # a record of type alert
        assert alert[5] == 2  # fatal
        pid = int(Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text())
        start, before, sent = time.monotonic(), resident(pid), 0
        while time.monotonic() < start + 30:
            try:
                sent += connection.send(b"x" * (1 << 20))
            except ConnectionError:
                break
        assert time.monotonic() - start < 15
        assert sent > 16 << 20
        assert resident(pid) - before < 8 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_openssl_prints_the_alert_of_a_missing_certificate(tmp_path: Path, world: World, loop: str) -> None:
    openssl = shutil.which("openssl")
    assert openssl, "the certificates of other tests are made by it"
    tls = {"chains": [(world.server.chain, world.server.key)], "client_cas": [world.stranger.ca]}
    with running_server(tmp_path, tls=tls, loop=loop) as server:
        for version, words in (("-tls1_2", "handshake failure"), ("-tls1_3", "certificate required")):
            command = [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", version, "-ign_eof"]
            done = subprocess.run(
                command, input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=20, check=False
            )
            assert words.encode() in done.stderr, done.stderr
