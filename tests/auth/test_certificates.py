"""Certificates as identities: which name is the user's, and which certificates name nobody."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509

from backends.auth.certificates import (
    CertificateGroups,
    CertificateScheme,
    CertificateSettings,
    CertificateUser,
    write_subject,
)
from backends.auth.credentials import Basic, Bearer, Unreadable
from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Failure, WrongCredentials
from tests.support.client_certificates import ClientAuthority, read_certificate

EMAIL, DNS, URI = x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier
ALICE = "CN=alice,OU=devs,OU=ops,O=Acme"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ClientAuthority:
    return ClientAuthority(tmp_path_factory.mktemp("clients"))


def caller(certificate: dict[str, Any] | None) -> Caller:
    return Caller("192.0.2.1", "", "v2", "https://registry.example", certificate)


async def identify(authority: ClientAuthority, subject: str, names: Sequence[x509.GeneralName], **said: Any) -> Any:
    scheme = CertificateScheme(CertificateSettings(**said))
    return await scheme.identify(None, caller(read_certificate(authority.issue(subject, *names))))


@pytest.mark.parametrize(
    ("subject", "names", "settings", "user", "groups"),
    [
        (ALICE, [], {}, "alice", set()),
        (ALICE, [], {"groups": CertificateGroups.UNIT}, "alice", {"devs", "ops"}),
        (ALICE, [], {"groups": CertificateGroups.ORGANIZATION, "prefix": "tls:"}, "tls:alice", {"tls:Acme"}),
        ("CN=alice", [], {"groups": CertificateGroups.UNIT}, "alice", set()),
        (ALICE, [], {"user": CertificateUser.SUBJECT}, ALICE, set()),
        (ALICE, [EMAIL("a@example.org"), DNS("a.example")], {"user": CertificateUser.EMAIL}, "a@example.org", set()),
        ("CN=alice,1.2.840.113549.1.9.1=a@example.org", [], {"user": CertificateUser.EMAIL}, "a@example.org", set()),
        ("CN=a,1.2.840.113549.1.9.1=old@example.org", [EMAIL("new@example.org")], {"user": CertificateUser.EMAIL},
         "new@example.org", set()),
        ("", [DNS("ci.example.org")], {"user": CertificateUser.DNS}, "ci.example.org", set()),
        ("", [URI("spiffe://example.org/ns/ci/sa/builder")], {"user": CertificateUser.URI},
         "spiffe://example.org/ns/ci/sa/builder", set()),
        ("CN=Zoë Müller", [], {}, "Zoë Müller", set()),
    ],
)  # fmt: skip
async def test_whom_a_certificate_names(
    subject: str, names: list[x509.GeneralName], settings: dict[str, Any], user: str, groups: set[str],
    authority: ClientAuthority,
) -> None:  # fmt: skip
    identity = await identify(authority, subject, names, **settings)
    assert identity == Identity(user, "certificate", frozenset(groups))


@pytest.mark.parametrize(
    ("subject", "names", "settings", "reason"),
    [
        ("O=Acme", [], {}, "must have one cn to name the user, and has none"),
        ("CN=alice,CN=root", [], {}, "must have one cn to name the user, and has 2"),
        ("CN=alice+CN=root", [], {}, "has 2"),
        ("", [], {"user": CertificateUser.SUBJECT}, "has none"),
        (ALICE, [], {"user": CertificateUser.DNS}, "must have one dns"),
        (ALICE, [DNS("a.example"), DNS("b.example")], {"user": CertificateUser.DNS}, "has 2"),
        (ALICE, [EMAIL("alice@example.org")], {"user": CertificateUser.URI}, "must have one uri"),
        ("CN=alice\x01", [], {}, "cannot be printed"),
        (",".join(f"OU={each * 60}" for each in "uvwxy"), [], {"user": CertificateUser.SUBJECT}, "longer than 255"),
    ],
)  # fmt: skip
async def test_what_names_nobody_in_that_one_way_is_refused(
    subject: str, names: list[x509.GeneralName], settings: dict[str, Any], reason: str, authority: ClientAuthority
) -> None:
    with pytest.raises(WrongCredentials, match=reason) as wrong:
        await identify(authority, subject, names, **settings)
    assert wrong.value.failure is Failure.CERTIFICATE


async def test_without_one_and_with_what_cannot_be_read_others_are_asked(authority: ClientAuthority) -> None:
    scheme, certificate = CertificateScheme(CertificateSettings()), read_certificate(authority.issue(ALICE))
    nothings: list[dict[str, Any] | None] = [None, {}]
    for nothing in nothings:
        assert await scheme.identify(None, caller(nothing)) is None
        assert await scheme.identify(Basic("alice", "x"), caller(nothing)) is None
    assert await scheme.identify(Unreadable("of no kind"), caller(certificate)) is None
    for credentials in (None, Basic("bob", "x"), Bearer("x")):  # which nobody else takes
        identity = await scheme.identify(credentials, caller(certificate))
        assert identity is not None
        assert identity.user == "alice"
    assert scheme.challenge(caller(certificate), []) is None


async def test_one_that_expires_while_its_connection_lives_holds_no_longer(authority: ClientAuthority) -> None:
    now = [time.time()]
    scheme = CertificateScheme(CertificateSettings(), clock=lambda: now[0])
    shown = caller(read_certificate(authority.issue(ALICE, ends=dt.timedelta(hours=1))))
    assert await scheme.identify(None, shown)
    now[0] += 3590
    assert await scheme.identify(None, shown)
    now[0] += 20
    with pytest.raises(WrongCredentials, match="the certificate of 'alice' has expired"):
        await scheme.identify(None, shown)


@pytest.mark.parametrize(
    "subject",
    [
        ALICE,
        r"CN=Doe\, Jane,O=A\+B \"quoted\" \<x\>\; \\,C=DE",
        r"CN=\#hash,O=\ spaces\ ",
        "UID=jdoe+CN=Jane,DC=example,DC=org",
        "CN=x,L=Town,ST=State,STREET=Road 1",
    ],
)
def test_a_subject_is_written_as_openssl_writes_it(subject: str, authority: ClientAuthority) -> None:
    files = authority.issue(subject)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", files.certificate],
        capture_output=True, text=True, check=True,
    ).stdout.rstrip("\n")  # fmt: skip
    written = write_subject(read_certificate(files)["subject"])
    assert written == said.removeprefix("subject=").replace("street=", "STREET=")
