"""TLS settings that cannot be used, each told in one sentence; and the context that good ones make."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from portside.problems import CertificateProblem, Problem, TlsProblem
from portside.tls.contexts import CertificateChain, ReloadingContext, TlsSettings, build_context
from tests.support.certificate import CertificateFiles, make_certificate


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


@pytest.fixture
def chain(files: CertificateFiles) -> CertificateChain:
    return CertificateChain(files.chain, files.key)


def test_clients_choose_the_cipher_and_get_tickets_of_tls_1_2_alone(chain: CertificateChain) -> None:
    context = build_context(TlsSettings((chain,)))
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert not context.options & ssl.OP_NO_TICKET
    assert context.num_tickets == 0
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in {each["name"] for each in context.get_ciphers()}


@pytest.mark.parametrize(
    "ciphers",
    [("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",), ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384")],
)
def test_ciphers_have_gos_or_openssls_names(chain: CertificateChain, ciphers: tuple[str, ...]) -> None:
    context = build_context(TlsSettings((chain,), ciphers=ciphers))
    old = {each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"}
    assert old == {"ECDHE-ECDSA-AES128-GCM-SHA256"}


@pytest.mark.parametrize("cipher", ["TLS_ECDHE_WITH_NOTHING", "NO-SUCH-CIPHER"])
def test_an_unknown_cipher_is_named(chain: CertificateChain, cipher: str) -> None:
    with pytest.raises(TlsProblem, match=cipher):
        build_context(TlsSettings((chain,), ciphers=(cipher,)))


async def test_files_that_are_being_read_do_not_displace_settings_that_are_taken_over(
    chain: CertificateChain, files: CertificateFiles
) -> None:
    """Whoever asks for client certificates from now on asks, though the files of before have just changed too."""
    asking = ReloadingContext(TlsSettings((chain,), client_cas=(files.ca,)))
    for wait in range(60):
        context = ReloadingContext(TlsSettings((chain,)))
        chain.certificate.touch()
        reading = asyncio.ensure_future(context.refresh())
        await asyncio.sleep(wait * 0.0001)
        context.take_over(asking)
        await reading
        assert context.current is asking.current


async def test_what_has_not_changed_is_not_made_anew(chain: CertificateChain, files: CertificateFiles) -> None:
    """A reload of the settings takes no session from anybody; a CA more or less makes another context."""
    context = ReloadingContext(TlsSettings((chain,), client_cas=(files.ca,)))
    before = context.current
    context.take_over(ReloadingContext(TlsSettings((chain,), client_cas=(files.ca,))))
    assert context.current is before
    chain.certificate.touch()
    await context.refresh()
    assert (context.current, context.narrowed) == (before, 0)
    files.ca.write_bytes(files.ca.read_bytes() * 2)
    await context.refresh()
    assert (context.current, context.narrowed) == (before, 0)
    context.take_over(ReloadingContext(TlsSettings((chain,))))
    assert context.current is not before


def test_two_chains_of_one_kind_are_refused(chain: CertificateChain) -> None:
    with pytest.raises(TlsProblem, match="both have ECDSA keys, and only one of a kind can be served"):
        build_context(TlsSettings((chain, chain)))


def test_an_absent_file_is_named(chain: CertificateChain, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match=r"the key .*absent\.key does not exist; put it there"):
        build_context(TlsSettings((CertificateChain(chain.certificate, tmp_path / "absent.key"),)))


def test_a_folder_instead_of_a_file_is_told(chain: CertificateChain, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is a folder: name the file in it"):
        build_context(TlsSettings((CertificateChain(chain.certificate, tmp_path),)))


def test_a_key_of_another_certificate_is_told(chain: CertificateChain, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = make_certificate(folder)
    with pytest.raises(CertificateProblem, match="they do not belong together"):
        build_context(TlsSettings((CertificateChain(chain.certificate, other.key),)))


def test_a_passphrase_is_told_and_never_asked_for(chain: CertificateChain, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-aes128", "-passout", "pass:secret", "-in", str(chain.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(CertificateProblem, match="has a passphrase; remove it with `openssl pkey`"):
        build_context(TlsSettings((CertificateChain(chain.certificate, locked),)))


@pytest.mark.parametrize("content", ["", "no certificate at all\n"])
def test_an_empty_bundle_of_client_cas_is_an_error(chain: CertificateChain, tmp_path: Path, content: str) -> None:
    bundle = tmp_path / "clients.pem"
    bundle.write_text(content)
    with pytest.raises(CertificateProblem, match=r"clients\.pem"):
        build_context(TlsSettings((chain,), client_cas=(bundle,)))


def test_an_absent_bundle_of_client_cas_is_an_error(chain: CertificateChain, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match=r"absent\.pem"):
        build_context(TlsSettings((chain,), client_cas=(tmp_path / "absent.pem",)))
