"""The legacy profile of TLS: clients from before TLS 1.2 on a port of their own, and none of it on the other ports.

The clients are OpenSSL's with the versions, cipher suites, curves and signatures of Go 1.2 to 1.4, in which Docker 1.0
to 1.9 is written, and of programs older than these.
"""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portside.tls.contexts import CertificateChain, TlsProfile, TlsSettings, TlsVersion, build_context
from tests.support.certificate import make_certificate
from tests.support.commands import RunningCommand, running_command
from tests.support.ports import free_port

# crypto/tls of Go 1.2, 1.3 and 1.4 offers the same, in this order; RC4 and 3DES are in no OpenSSL of today.
GO = (
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-RC4-SHA:ECDHE-ECDSA-RC4-SHA:"
    "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:"
    "RC4-SHA:AES128-SHA:AES256-SHA:ECDHE-RSA-DES-CBC3-SHA:DES-CBC3-SHA"
)
GO_CURVES = "P-256:P-384:P-521"
GO_SIGNATURES = "RSA+SHA256:ECDSA+SHA256:RSA+SHA1:ECDSA+SHA1"
NO_CURVES = "AES128-SHA:AES256-SHA"
"""What OpenSSL 0.9.8 without elliptic curves has in common with anybody today."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a client offers."""

    version: str
    ciphers: str = GO
    signatures: str = GO_SIGNATURES

    def ask(self, port: int, ca: Path) -> tuple[str, str]:
        """The version and the cipher that it gets; twice "" where the handshake fails."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"]
        command += [f"-{self.version}", "-cipher", f"{self.ciphers}:@SECLEVEL=0", "-curves", GO_CURVES]
        command += ["-CAfile", str(ca), "-verify_return_error", "-verify_hostname", "localhost"]
        command += ["-sigalgs", self.signatures] if self.version == "tls1_2" else []
        request = "GET /v1/_ping HTTP/1.0\r\nHost: localhost\r\n\r\n"
        done = subprocess.run(
            [*command, "-ign_eof"], input=request.encode(), capture_output=True, timeout=20, check=False
        )
        said = done.stdout.decode(errors="replace")
        if "HTTP/1.0 200" not in said:
            return "", ""
        found = re.search(r"New, (\S+), Cipher is (\S+)", said)
        assert found is not None, said
        # Of TLS 1.3 it prints no session, since there is none without a ticket; of older ciphers, whence they come.
        version = re.search(r"Protocol *: (\S+)", said) or re.search(r"New, (TLSv1\.3),", said)
        assert version is not None, said
        return version[1], found[2]


class Served:
    """`portside serve` with its own certificate on one port, and old clients on another."""

    def __init__(self, running: RunningCommand, file: Path, ports: tuple[int, int]) -> None:
        self.running = running
        self.file = file
        self.port, self.old_port = ports


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    ports = free_port(), free_port()
    file = folder / "portside.yml"
    file.write_text(_settings(*ports))
    with running_command("serve", "portside.yml", folder=folder) as running:
        yield Served(running, file, ports)
        assert running.end() == 0


def _settings(port: int, old_port: int, more: str = "") -> str:
    return (
        f"gateway: {{addr: '127.0.0.1:{port}', legacytls: {{addr: '127.0.0.1:{old_port}'}}, workers: 1,"
        f" v1: {{addr: ''}}, v2: {{addr: ''}}, metrics: {{addr: ''}}{more}}}\n"
    )


def ca_of(served: Served) -> Path:
    return served.file.parent / "certs" / "ca.crt"


OFFERED = [
    ("tls1", GO, GO_SIGNATURES, "TLSv1", "ECDHE-ECDSA-AES128-SHA"),
    ("tls1_1", GO, GO_SIGNATURES, "TLSv1.1", "ECDHE-ECDSA-AES128-SHA"),
    ("tls1_2", GO, GO_SIGNATURES, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("tls1_2", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA", "ECDSA+SHA1", "TLSv1.2", "ECDHE-ECDSA-AES128-SHA"),
]


@pytest.mark.parametrize(("offered", "ciphers", "signatures", "version", "cipher"), OFFERED)
def test_old_clients_are_served_on_their_port_with_the_certificate_that_portside_makes(
    served: Served, offered: str, ciphers: str, signatures: str, version: str, cipher: str
) -> None:
    client = Client(offered, ciphers, signatures)
    assert client.ask(served.old_port, ca_of(served)) == (version, cipher)


@pytest.mark.parametrize("offered", ["tls1", "tls1_1"])
def test_the_other_port_refuses_them_and_says_so(served: Served, offered: str) -> None:
    assert Client(offered).ask(served.port, ca_of(served)) == ("", "")
    served.running.wait_for_line(served.running.err, "older than the configured minimum", "docs/old-tls.md")


def test_docker_of_go_1_2_to_1_4_needs_no_legacy_profile(served: Served) -> None:
    assert Client("tls1_2").ask(served.port, ca_of(served)) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    without_gcm = Client("tls1_2", GO.partition("ECDHE-RSA-RC4")[2].partition(":")[2])
    assert without_gcm.ask(served.port, ca_of(served)) == ("", "")


def test_clients_of_today_get_today_s_tls_on_the_old_port_too(served: Served) -> None:
    assert Client("tls1_3", signatures="").ask(served.old_port, ca_of(served))[0] == "TLSv1.3"


def test_a_start_warns_of_it_and_names_the_listener(served: Served) -> None:
    warning = served.running.wait_for_line(
        served.running.err, "gateway.legacytls.addr", str(served.old_port), "can attack"
    )
    assert "level=warn" in warning
    served.running.wait_for_line(served.running.err, f":{served.old_port}, tls (legacy profile)")
    served.running.wait_for_line(served.running.err, f":{served.port}, tls")


def test_a_reload_keeps_each_port_s_profile(served: Served) -> None:
    """What is reloaded is TLS itself: new names, so a new certificate, and client versions on the first port."""
    served.file.write_text(
        _settings(served.port, served.old_port, ", names: [reloaded.example], tls: {minimumtls: tls1.3}")
    )
    served.running.process.send_signal(signal.SIGHUP)
    served.running.wait_for_line(
        served.running.err, "settings and certificates were reloaded", "gateway.tls.minimumtls"
    )
    deadline = time.monotonic() + 45
    while Client("tls1_2").ask(served.port, ca_of(served)) != ("", ""):
        assert time.monotonic() < deadline
    assert Client("tls1").ask(served.old_port, ca_of(served)) == ("TLSv1", "ECDHE-ECDSA-AES128-SHA")
    assert Client("tls1").ask(served.port, ca_of(served)) == ("", "")
    served.file.write_text(_settings(served.port, served.old_port))
    served.running.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 45
    while Client("tls1_2").ask(served.port, ca_of(served)) == ("", ""):
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def rsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningCommand, int, Path]]:
    """`portside v1` with the certificate that docs/old-tls.md has people make, beside one of P-256."""
    folder = tmp_path_factory.mktemp("rsa")
    page = (Path(__file__).parents[3] / "docs" / "old-tls.md").read_text()
    commands = page.partition("```sh rsa\n")[2].partition("```")[0].replace("registry.example", "localhost")
    subprocess.run(["sh", "-eu", "-c", commands], cwd=folder, check=True, capture_output=True)
    port = free_port()
    tls = "{certificate: server-rsa.crt, key: server-rsa.key, profile: legacy}"
    (folder / "v1.yml").write_text(f"http: {{addr: '127.0.0.1:{port}', tls: {tls}}}\ngateway: {{workers: 1}}\n")
    with running_command("v1", "v1.yml", folder=folder) as running:
        yield running, port, folder / "ca-rsa.crt"
        assert running.end() == 0


@pytest.mark.parametrize(
    ("offered", "ciphers", "version", "cipher"),
    [
        ("tls1", NO_CURVES, "TLSv1", "AES128-SHA"),
        ("tls1_1", NO_CURVES, "TLSv1.1", "AES128-SHA"),
        ("tls1_2", NO_CURVES, "TLSv1.2", "AES128-SHA"),
        ("tls1", GO, "TLSv1", "ECDHE-RSA-AES128-SHA"),
        ("tls1_1", GO, "TLSv1.1", "ECDHE-RSA-AES128-SHA"),
        ("tls1_2", GO, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"),
    ],
)
def test_programs_without_elliptic_curves_want_a_certificate_of_rsa(
    rsa: tuple[RunningCommand, int, Path], offered: str, ciphers: str, version: str, cipher: str
) -> None:
    running, port, ca = rsa
    assert Client(offered, ciphers).ask(port, ca) == (version, cipher)
    running.wait_for_line(running.err, "http.tls.profile", "can attack")


def test_nobody_is_served_without_a_certificate(tmp_path: Path) -> None:
    """OpenSSL's `AES` alone has suites in which neither side shows one."""
    files = make_certificate(tmp_path)
    chain = CertificateChain(files.chain, files.key)
    for settings in (
        TlsSettings((chain,), minimum=TlsVersion.TLS_1_0),
        TlsSettings((chain,), profile=TlsProfile.LEGACY),
    ):
        names = {each["name"] for each in build_context(settings).get_ciphers()}
        assert "AES128-SHA" in names
        assert not [name for name in names if re.search(r"^A(EC)?DH-|PSK|SRP|NULL|RC4|DES|MD5|EXP", name)]


def test_the_default_stays_as_it_is(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    context = build_context(TlsSettings((CertificateChain(files.chain, files.key),)))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not [
        each["name"] for each in context.get_ciphers() if "GCM" not in each["name"] and "POLY" not in each["name"]
    ]
