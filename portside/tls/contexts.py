"""TLS: settings, the context built of them, and its renewal when a file changes.

Invariant: a running server always has a working context; new files are used only after they were loaded whole.
A new certificate is loaded into the context that is in use, whose sessions go on; whatever else changes, above all a
client CA that is withdrawn, which no context can forget, makes a new one.
Docker 1.0.1 to 1.13 speak at most TLS 1.2 (WIRE section 7); HTTP/2 is never offered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from portside.problems import NOT_THERE, CertificateProblem, Problem, TlsProblem
from portside.tls.handshakes import AlertingContext
from portside.tls.key_algorithms import key_algorithm

_log = logging.getLogger("portside.tls.contexts")


class TlsVersion(Enum):
    """The oldest version that is spoken, by distribution's names (`http.tls.minimumtls`)."""

    TLS_1_0 = "tls1.0"
    TLS_1_1 = "tls1.1"
    TLS_1_2 = "tls1.2"
    TLS_1_3 = "tls1.3"


class TlsProfile(Enum):
    """Which clients are thought of (`http.tls.profile`): all since Docker 1.0.1, or those that speak no TLS 1.2 too."""

    DEFAULT = "default"
    LEGACY = "legacy"


class ClientAuth(Enum):
    """What is asked of a client when there are client CAs, by distribution's names (`http.tls.clientauth`)."""

    REQUIRE = "require-and-verify-client-cert"
    OPTIONAL = "verify-client-cert-if-given"
    REQUEST = "request-client-cert"
    """A certificate is asked for and never verified, so anyone is let in: it is not even asked for."""
    ANY = "require-any-client-cert"
    """Any certificate is accepted, unverified: OpenSSL cannot, and the settings refuse it."""


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """A PEM file with the certificate (then its intermediates), and the PEM file with its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How one listener speaks TLS.

    Attributes:
        chains: one or more, at most one for each kind of key (ECDSA and RSA may stand side by side).
        minimum: the oldest version that is accepted.
        ciphers: names for TLS 1.2 and older, Go's (`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`) or OpenSSL's; empty
            means a good default. TLS 1.3 suites are accepted and have no effect, as in distribution.
        client_cas: PEM files; when there are any, clients are asked for a certificate.
        client_auth: whether a client without a certificate is refused.
        profile: whether it is for clients from before TLS 1.2; what it means is in `minimum` already.
        reload_seconds: how often the files are looked at.
    """

    chains: tuple[CertificateChain, ...]
    minimum: TlsVersion = TlsVersion.TLS_1_2
    ciphers: tuple[str, ...] = ()
    client_cas: tuple[Path, ...] = ()
    client_auth: ClientAuth = ClientAuth.REQUIRE
    profile: TlsProfile = TlsProfile.DEFAULT
    reload_seconds: float = 5.0

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the context is built of."""
        return (*(path for chain in self.chains for path in (chain.certificate, chain.key)), *self.client_cas)


_VERSIONS = {
    TlsVersion.TLS_1_0: ssl.TLSVersion.TLSv1,
    TlsVersion.TLS_1_1: ssl.TLSVersion.TLSv1_1,
    TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2,
    TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3,
}
# Go's names of the suites that a registry's configuration may list, in OpenSSL's words.
_GO_SUITES = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_TLS13_SUITES = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
# AES-128-GCM first: the cheapest, and what every client back to Docker 1.0 speaks.
_DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
# What clients without TLS 1.2 have: CBC, key exchange by RSA. AES alone would add suites without any certificate.
_OLD_CIPHERS = ":ECDHE+AES:kRSA+AES"
_OLD_VERSIONS = frozenset({TlsVersion.TLS_1_0, TlsVersion.TLS_1_1})
# They sign with SHA-1, which OpenSSL permits at this level alone.
_OLD_LEVEL = ":@SECLEVEL=0"


def build_context(settings: TlsSettings) -> ssl.SSLContext:
    """Builds a server's context.

    Raises:
        CertificateProblem: a file is missing or broken.
        TlsProblem: a cipher is unknown.
    """
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 was asked for explicitly
        context.minimum_version = _VERSIONS[settings.minimum]
    # Clients know best what their machine does fast; Python cannot order TLS 1.3 suites itself.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # of TLS 1.3; clients of TLS 1.2 that ask for a ticket get one (ADR 36)
    context.set_alpn_protocols(["http/1.1"])
    ciphers = _ciphers(settings.ciphers)
    if settings.minimum in _OLD_VERSIONS or settings.profile is TlsProfile.LEGACY:
        ciphers += ("" if settings.ciphers else _OLD_CIPHERS) + _OLD_LEVEL
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise TlsProblem(f"no cipher of {', '.join(settings.ciphers)} can be used; leave ciphersuites out") from None
    if len(settings.chains) > 1:
        _require_different_keys(settings.chains)
    for chain in settings.chains:
        _load(context, chain)
    for path in settings.client_cas:
        _trust(context, path)
    if settings.client_cas and settings.client_auth is not ClientAuth.REQUEST:
        required = settings.client_auth is ClientAuth.REQUIRE
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _ciphers(names: Sequence[str]) -> str:
    wanted = [_GO_SUITES.get(name, name) for name in names if name not in _TLS13_SUITES]
    unknown = [name for name in wanted if name.startswith("TLS_")]
    if unknown:
        raise TlsProblem(f"the cipher suite {unknown[0]} is not known; see Go's crypto/tls for the names")
    return ":".join(wanted) or _DEFAULT_CIPHERS


def _require_different_keys(chains: Sequence[CertificateChain]) -> None:
    """OpenSSL keeps one chain for each kind of key, and would silently drop the others."""
    from portside.tls.describing import describe  # noqa: PLC0415 - cryptography is slow to import and seldom needed here

    kinds: dict[str, CertificateChain] = {}
    for chain in chains:
        kind = describe(chain.certificate).key_kind
        if kind in kinds:
            raise TlsProblem(
                f"{kinds[kind].certificate} and {chain.certificate} both have {kind} keys, and only one of a kind can"
                " be served: leave one out, or have one certificate for all names"
            )
        kinds[kind] = chain


def _load(context: ssl.SSLContext, chain: CertificateChain) -> None:
    for path, what in ((chain.certificate, "certificate"), (chain.key, "key")):
        if not path.exists():
            raise CertificateProblem(f"the {what} {path} {NOT_THERE}")

    def no_password() -> str:
        raise CertificateProblem(f"the key {chain.key} has a passphrase; remove it with `openssl pkey`")

    try:
        context.load_cert_chain(chain.certificate, chain.key, password=no_password)
    except ssl.SSLError as error:
        from portside.tls.diagnosis import pair_trouble  # noqa: PLC0415 - cryptography is slow to import

        raise CertificateProblem(pair_trouble(chain.certificate, chain.key, error)) from None
    except IsADirectoryError:
        raise CertificateProblem(
            f"the certificate {chain.certificate} or the key {chain.key} is a folder: name the file in it"
        ) from None
    except OSError as error:
        raise CertificateProblem(
            f"the certificate {chain.certificate} or the key {chain.key} cannot be read ({error.strerror}):"
            " give them to the user who runs this"
        ) from None


def _trust(context: ssl.SSLContext, path: Path) -> None:
    before = len(context.get_ca_certs())
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise CertificateProblem(
            f"could not add CA to pool: {path} cannot be used ({error.strerror or error})"
        ) from None
    if len(context.get_ca_certs()) == before and before == 0:
        raise CertificateProblem(f"could not add CA to pool: {path} holds no CA certificate")


@dataclass(frozen=True, slots=True)
class _Built:
    """A context, and what it was built of.

    Attributes:
        chains: certificate and key of each, as they were read.
        kinds: of their keys; empty where they are not known.
    """

    context: ssl.SSLContext
    chains: tuple[tuple[bytes, bytes], ...]
    kinds: frozenset[bytes]


def _build(settings: TlsSettings) -> _Built:
    """Builds a context; raises what `build_context` does."""
    context = build_context(settings)
    chains: tuple[tuple[bytes, bytes], ...] = ()
    kinds: frozenset[bytes] = frozenset()
    with contextlib.suppress(OSError, ValueError):  # changed meanwhile: they are looked at again soon
        chains = tuple((each.certificate.read_bytes(), each.key.read_bytes()) for each in settings.chains)
        kinds = frozenset(key_algorithm(certificate) for certificate, _ in chains)
    return _Built(context, chains, kinds)


class ReloadingContext:
    """A context that follows its files.

    Attributes:
        current: what new connections are to use.
        narrowed: how often clients that were let in before would not be now.
        on_narrowed: called each time; what is connected then is no longer vouched for.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._seen = _look(settings.files)
        built = _build(settings)
        self.current, self._kinds = built.context, built.kinds
        self.narrowed = 0
        self.on_narrowed: Callable[[], None] | None = None

    async def watch(self) -> None:
        """Looks at the files for ever; a broken one leaves the old context and a line."""
        while True:
            await asyncio.sleep(self._settings.reload_seconds)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the last net: what is served goes on, and the files are looked at again
                _log.exception("looking at the certificates failed")

    def take_over(self, other: ReloadingContext) -> None:
        """Serves as the other one does from now on."""
        if other._settings == self._settings and other._seen == self._seen:
            return
        self._settings, self._seen = other._settings, other._seen
        self._replace(other.current, other._kinds)

    async def refresh(self) -> None:
        """Looks at the files once."""
        settings = self._settings
        seen = await asyncio.to_thread(_look, settings.files)
        if seen == self._seen or settings is not self._settings:
            return
        built, trouble = None, ""
        try:
            built = await asyncio.to_thread(_build, settings)
        except Problem as problem:
            trouble = str(problem)
        if settings is not self._settings:  # other settings were taken over meanwhile: what was built is of the past
            return
        self._seen = seen
        if built is None:
            _log.error("the changed certificates are not used, the old ones stay in use: %s", trouble)
            return
        if not self._renews(built) or not _load_into(self.current, built.chains):
            self._replace(built.context, built.kinds)
        _log.info("certificates were reloaded: %s", ", ".join(map(str, settings.files)))

    def _renews(self, built: _Built) -> bool:
        """Whether certificates take the place of others, and nothing else has changed."""
        return bool(self._kinds) and built.kinds == self._kinds and _cas(built.context) == _cas(self.current)

    def _replace(self, context: ssl.SSLContext, kinds: frozenset[bytes]) -> None:
        before, self.current, self._kinds = self.current, context, kinds
        if _lets_in_fewer(context, than=before):
            self.narrowed += 1
            if self.on_narrowed is not None:
                self.on_narrowed()


def _load_into(context: ssl.SSLContext, chains: Sequence[tuple[bytes, bytes]]) -> bool:
    """Loads chains into a context that is in use, from memory: the event loop must not wait for a disk.

    Returns:
        False where that failed, and the context must not be used any more.
    """
    try:
        for each in chains:
            with contextlib.ExitStack() as stack:
                context.load_cert_chain(*(stack.enter_context(_in_memory(content)) for content in each))
    except OSError:  # ssl's own among them: files that were read in the middle of a change, or no /proc
        return False
    return True


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Gives bytes a path for as long as the block lasts; nothing of them is on a disk."""
    with open(os.memfd_create("portside", os.MFD_CLOEXEC), "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"


def _cas(context: ssl.SSLContext) -> frozenset[bytes]:
    return frozenset(context.get_ca_certs(binary_form=True))


def _lets_in_fewer(context: ssl.SSLContext, *, than: ssl.SSLContext) -> bool:
    """Whether a client CA has been withdrawn, or certificates are asked for more strictly."""
    withdrawn = _cas(than) - _cas(context)
    return bool(withdrawn) or context.verify_mode > than.verify_mode


def _look(files: Sequence[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stat(path) for path in files)


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ino, info.st_size
