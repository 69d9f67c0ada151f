"""What is said of certificates and keys that cannot be used: the cause, and "not PEM" only of what is not PEM."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from portside.problems import CertificateProblem
from portside.tls.certificates import check_pair
from portside.tls.contexts import CertificateChain, TlsSettings, build_context
from portside.tls.describing import describe, missing_issuer

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PEM = serialization.Encoding.PEM


def make(
    name: str,
    key: Key,
    *,
    issuer: tuple[x509.Certificate, Key] | None = None,
    more: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """A certificate for `name` and localhost, self-signed unless an issuer is given."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above, signer = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=issuer is None or name != "leaf", path_length=None), critical=True)
    )
    for extension in more or (x509.SubjectAlternativeName([x509.DNSName("localhost")]),):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def authority(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def pem(thing: x509.Certificate | Key) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(PEM)
    return thing.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def der(thing: x509.Certificate | Key) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.DER)
    return thing.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


EC, EC_TOO, RSA, ED = (
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP256R1()),
    rsa.generate_private_key(65537, 2048),
    ed25519.Ed25519PrivateKey.generate(),
)
SMALL = rsa.generate_private_key(65537, 1024)
LEAF = make("leaf", EC)
REQUEST = x509.CertificateSigningRequestBuilder().subject_name(LEAF.subject).sign(EC, hashes.SHA256()).public_bytes(PEM)
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
DAMAGED = b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUZ\n-----END CERTIFICATE-----\n"
DAMAGED_KEY = DAMAGED.replace(b"CERTIFICATE", b"PRIVATE KEY")


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        (b"", pem(EC), "s.crt is not a PEM certificate"),
        (b"a text\n", pem(EC), "s.crt is not a PEM certificate"),
        (der(LEAF), pem(EC), "s.crt is not a PEM certificate but looks like DER: `openssl x509 -inform DER"),
        (pem(EC), pem(LEAF), "s.crt holds no certificate but private key"),
        (REQUEST, pem(EC), "s.crt holds no certificate but certificate request"),
        (DAMAGED, pem(EC), "the certificate in s.crt is damaged"),
        (pem(LEAF), b"", "s.key is not a PEM key"),
        (pem(LEAF), der(EC), "s.key is not a PEM key but looks like DER: `openssl pkey -inform DER"),
        (pem(LEAF), pem(LEAF), "s.key holds no private key but certificate"),
        (pem(LEAF), PARAMETERS, "s.key holds no private key but ec parameters"),
        (pem(LEAF), DAMAGED_KEY, "the key in s.key is damaged"),
        (pem(LEAF), pem(EC_TOO), "they do not belong together"),
        (pem(LEAF), PARAMETERS + pem(EC_TOO), "they do not belong together"),
        (pem(LEAF), pem(RSA), "the certificate is for a key of kind ECDSA, and the key is of kind RSA"),
        (pem(make("leaf", RSA)), pem(EC), "the certificate is for a key of kind RSA, and the key is of kind ECDSA"),
        (pem(LEAF), pem(ED), "the certificate is for a key of kind ECDSA, and the key is of kind Ed25519"),
        (pem(make("leaf", SMALL)), pem(SMALL), "its key is too small for OpenSSL"),
    ],
    ids=map(str, range(17)),
)
def test_each_pair_that_cannot_be_used_is_told_by_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: bytes, key: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    chain = CertificateChain(Path("s.crt"), Path("s.key"))
    chain.certificate.write_bytes(certificate)
    chain.key.write_bytes(key)
    with pytest.raises(CertificateProblem) as caught:
        build_context(TlsSettings((chain,)))
    assert said in str(caught.value)
    assert ("not a PEM" in str(caught.value)) is (not certificate.startswith(b"-----") or not key.startswith(b"-----"))


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        (DAMAGED, pem(EC), "the certificate in s.crt is damaged"),
        (pem(LEAF), pem(LEAF), "s.key holds no private key but certificate"),
        (pem(LEAF), DAMAGED_KEY, "the key in s.key is damaged"),
    ],
    ids=map(str, range(3)),
)
def test_a_folder_of_certificates_is_told_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: bytes, key: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.crt").write_bytes(certificate)
    Path("s.key").write_bytes(key)
    with pytest.raises(CertificateProblem, match=said):
        check_pair(Path("s.crt"), Path("s.key"))


def test_a_key_as_openssl_ecparam_writes_it_is_fine(tmp_path: Path) -> None:
    key = tmp_path / "s.key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", key], check=True, capture_output=True
    )
    made = [
        "openssl",
        "req",
        "-x509",
        "-key",
        str(key),
        "-subj",
        "/CN=x",
        "-days",
        "3",
        "-out",
        str(tmp_path / "s.crt"),
    ]
    subprocess.run(list(map(str, made)), check=True, capture_output=True)
    assert key.read_text().startswith("-----BEGIN EC PARAMETERS-----")
    check_pair(tmp_path / "s.crt", key)
    build_context(TlsSettings((CertificateChain(tmp_path / "s.crt", key),)))


ROOT = make("a root", EC)
MIDDLE = make("an intermediate", EC_TOO, issuer=(ROOT, EC))
BELOW = make("leaf", RSA, issuer=(MIDDLE, EC_TOO))


@pytest.mark.parametrize(
    ("chain", "warned"),
    [
        ([BELOW], True),
        ([BELOW, MIDDLE], False),
        ([BELOW, MIDDLE, ROOT], False),
        ([BELOW, ROOT], True),
        ([BELOW, LEAF], True),
        ([LEAF], False),
        ([make("leaf", RSA, issuer=(ROOT, EC))], True),
        ([make("leaf", RSA, issuer=(ROOT, EC)), ROOT], False),
        ([make("leaf", RSA, issuer=(make("an intermediate", EC), EC)), MIDDLE], True),  # its name, another's key
    ],
)
def test_a_leaf_without_its_intermediate_is_warned_of(
    tmp_path: Path, chain: list[x509.Certificate], *, warned: bool
) -> None:
    path = tmp_path / "s.crt"
    path.write_bytes(b"".join(map(pem, chain)))
    said = [each for each in describe(path).warnings if "append the intermediate certificates" in each]
    assert bool(said) is warned
    if warned:
        assert chain[0].issuer.rfc4514_string() in said[0]


@pytest.mark.parametrize("where", ["beside", "trusted"])
def test_an_issuer_that_is_known_for_a_root_is_no_intermediate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    content = pem(make("leaf", RSA, issuer=(ROOT, EC)))
    roots = tmp_path / ("ca.crt" if where == "beside" else "roots.pem")
    roots.write_bytes(pem(ROOT))
    monkeypatch.setenv("SSL_CERT_FILE", str(roots) if where == "trusted" else "/dev/null")
    assert missing_issuer(tmp_path / "s.crt", content) == ""


NAMED = make("a root", EC, more=[x509.SubjectKeyIdentifier.from_public_key(EC.public_key())])
OF_NAMED = make("leaf", EC_TOO, issuer=(NAMED, EC), more=[authority(EC)])
OF_ANOTHER = make("leaf", EC_TOO, issuer=(NAMED, EC_TOO), more=[authority(EC_TOO)])
UNREADABLE = x509.UnrecognizedExtension(x509.SubjectKeyIdentifier.oid, b"no DER")


@pytest.mark.parametrize(
    ("chain", "warned"),
    [
        ([OF_NAMED, NAMED], False),
        ([OF_NAMED], True),
        ([OF_ANOTHER, NAMED], True),
        ([make("leaf", EC_TOO, issuer=(NAMED, EC), more=[UNREADABLE]), NAMED], False),
        ([OF_NAMED, make("a root", EC, more=[UNREADABLE])], False),
    ],
    ids=["its issuer", "none", "another key", "a leaf that cannot be read", "an issuer that cannot be read"],
)
def test_an_issuer_is_known_by_its_key_s_identifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: list[x509.Certificate], *, warned: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    content = b"".join(map(pem, chain))
    assert bool(missing_issuer(tmp_path / "s.crt", content)) is warned


def test_what_openssl_serves_is_described_though_a_name_of_it_cannot_be_read(tmp_path: Path) -> None:
    chain = CertificateChain(tmp_path / "s.crt", tmp_path / "s.key")
    party = b"\xa5\x07\xa1\x05\x0c\x03abc"  # ediPartyName, RFC 5280 section 4.2.1.6
    unusual = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x09" + party)
    chain.certificate.write_bytes(pem(make("leaf", EC, more=[unusual])))
    chain.key.write_bytes(pem(EC))
    build_context(TlsSettings((chain,)))
    described = describe(chain.certificate)
    assert (described.names, described.warnings) == ((), ())


def test_describing_a_certificate_imports_nothing_for_keys_and_signatures(tmp_path: Path) -> None:
    """The parent does it at each start, and keeps what it imports."""
    path = tmp_path / "s.crt"
    path.write_bytes(pem(OF_NAMED) + pem(NAMED))
    program = f"""
import sys, pathlib
from portside.tls import describing, renewal
describing.describe(pathlib.Path({str(path)!r}))
theirs = [name for name in sys.modules if name.startswith("cryptography.hazmat")]
print([name for name in theirs if name.endswith((".serialization", ".backends"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _leave(_: Path) -> None:
    """Leaves a pair as it is."""


def _remove_key(folder: Path) -> None:
    (folder / "s.key").unlink()


@pytest.mark.parametrize("meddle", [_leave, _remove_key])
def test_a_file_that_vanishes_is_a_problem_and_nothing_worse(tmp_path: Path, meddle: Callable[[Path], None]) -> None:
    chain = CertificateChain(tmp_path / "s.crt", tmp_path / "s.key")
    chain.certificate.write_bytes(pem(LEAF))
    chain.key.write_bytes(pem(EC_TOO))
    meddle(tmp_path)
    with pytest.raises(CertificateProblem):
        build_context(TlsSettings((chain,)))
