"""Asking an issuer of tokens for its keys: by HTTPS, bounded in time and size, and nobody else.

The operator's address is asked, or the issuer's discovery document (OpenID Connect Discovery 1.0 section 4) says which.
A redirect is followed on the same origin alone: what an issuer's address leads to is what its operator vouches for.
The proxy that the environment names is used, never for this machine.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from backends.auth.openid_settings import OpenIdSettings, is_allowed
from backends.auth.remote_keys import MAX_BYTES, Fetched, UnreachableIssuer
from backends.auth.whole_file import read_whole
from backends.model.strict_json import parse_json
from backends.notify.environment_proxy import find_proxy
from backends.outgoing_requests import read_up_to, why_not_reached
from backends.resolving import OwnResolver

SECONDS = 10.0
"""For everything: discovery, redirects, keys."""
MAX_REDIRECTS = 3
MAX_CREDENTIALS = 16 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AUTOMATIC = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


async def fetch_keys(settings: OpenIdSettings) -> Fetched:
    """Returns an issuer's keys as it answers them.

    Args:
        settings: of the issuer; its `jwks` is no file.

    Raises:
        UnreachableIssuer: it does not.
    """
    url = str(settings.jwks)
    resolver = OwnResolver()
    try:
        async with asyncio.timeout(SECONDS):
            # Files are read each time, since clusters replace them; a thread reads them, since there are many CAs.
            tls, credentials = await asyncio.to_thread(_prepare, settings)
            connector = aiohttp.TCPConnector(ssl=tls, limit=1, force_close=True, resolver=resolver)
            async with aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=_AUTOMATIC,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            ) as session:
                asking = _Asking(session, settings, credentials)
                if not url:
                    url = f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                    url = _jwks_uri((await asking.get(url)).content, settings.issuer)
                return await asking.get(url)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise UnreachableIssuer(f"{_shown(url or settings.issuer)}: {_why(error)}") from None
    finally:
        await resolver.close()


@dataclass(frozen=True, slots=True)
class _Asking:
    session: aiohttp.ClientSession
    settings: OpenIdSettings
    credentials: str

    async def get(self, url: str) -> Fetched:
        """Returns what is at an address, through redirects on its own origin.

        Raises:
            UnreachableIssuer: it is nothing that can be used.
        """
        for _ in range(MAX_REDIRECTS + 1):
            async with self.session.get(
                URL(url, encoded=True),
                headers=self._headers(url),
                allow_redirects=False,
                proxy=find_proxy(url, os.environ),
            ) as answer:
                if answer.status not in _REDIRECTS:
                    return await _read(answer, url)
                target = urljoin(url, answer.headers.get("Location", ""))
            if _origin(target) != _origin(url):
                raise UnreachableIssuer(f"{_shown(url)}: it redirects to another place ({_shown(target)})")
            url = target
        raise UnreachableIssuer(f"{_shown(url)}: it redirects more than {MAX_REDIRECTS} times")

    def _headers(self, url: str) -> dict[str, str]:
        headers = {"User-Agent": "Portside", "Accept": "application/json, application/jwk-set+json"}
        # To another place than the issuer's only where none but the operator's own CA can vouch for that: an API
        # server's keys are at an address of its own.
        is_vouched_for = self.settings.ca is not None and url.startswith("https://")
        if self.credentials and (is_vouched_for or _origin(url) in self._origins):
            headers["Authorization"] = f"Bearer {self.credentials}"
        return headers

    @property
    def _origins(self) -> frozenset[tuple[str, str, int]]:
        return frozenset({_origin(self.settings.issuer), _origin(str(self.settings.jwks))})


async def _read(answer: aiohttp.ClientResponse, url: str) -> Fetched:
    if answer.status != 200:  # noqa: PLR2004 - OK
        hint = ""
        if answer.status in {401, 403}:
            hint = "; an API server of Kubernetes wants a token (gateway.auth.openid.token)"
        raise UnreachableIssuer(f"{_shown(url)}: it answers {answer.status}{hint}")
    if "Content-Encoding" in answer.headers:
        raise UnreachableIssuer(f"{_shown(url)}: its answer is compressed, unasked")
    try:
        content = await read_up_to(answer, MAX_BYTES)
    except ValueError as error:
        raise UnreachableIssuer(f"{_shown(url)}: {error}") from None
    return Fetched(content, _fresh_seconds(answer.headers.getall("Cache-Control", [])))


def _prepare(settings: OpenIdSettings) -> tuple[ssl.SSLContext, str]:
    """Returns the TLS context and the bearer token to ask with.

    Raises:
        ValueError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:  # ssl's own errors are among them
        raise ValueError(f"its ca {settings.ca} cannot be used ({error.strerror or error})") from None
    if settings.token is None:
        return context, ""
    try:
        token = read_whole(settings.token, MAX_CREDENTIALS)[0].strip()
    except OSError as error:
        raise ValueError(f"its token {settings.token} cannot be read ({error.strerror})") from None
    text = token.decode("ascii", "replace")
    if not text or len(text) > MAX_CREDENTIALS or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"its token {settings.token} is empty, or no token")
    return context, text


def _jwks_uri(content: bytes, issuer: str) -> str:
    """Returns where the keys are, as a discovery document says.

    Raises:
        ValueError: it is none, or of another issuer.
    """
    try:
        document = parse_json(content)
    except ValueError:
        raise ValueError("its discovery document is not valid JSON") from None
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        said = document.get("issuer") if isinstance(document, dict) else None
        raise ValueError(f"its discovery document is of the issuer {str(said)[:200]!r}")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not is_allowed(url):
        raise ValueError("its discovery document names no https address of its keys (jwks_uri)")
    return url


def _fresh_seconds(values: list[str]) -> float | None:
    """Returns how long an answer may be kept (RFC 9111 section 5.2.2); None where it does not say."""
    fresh: float | None = None
    for directive in ",".join(values).lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in {"no-store", "no-cache"}:
            return 0.0
        if name == "max-age" and (digits := value.strip('"')).isdecimal() and digits.isascii():
            fresh = float(digits[:10])
    return fresh


def _origin(url: str) -> tuple[str, str, int]:
    parsed = urlsplit(url)
    return parsed.scheme, parsed.hostname or "", parsed.port or (443 if parsed.scheme == "https" else 80)


def _shown(url: str) -> str:
    """Returns an address for the log, without its query, which may hold a secret."""
    return url.partition("?")[0][:300].encode("ascii", "backslashreplace").decode()


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"it did not answer within {SECONDS:g} seconds"
        case aiohttp.ClientConnectorError():
            return why_not_reached(error)
        case aiohttp.ClientHttpProxyError():
            return f"the proxy of the environment refuses ({error.status})"
        case aiohttp.ClientResponseError():
            return "its answer is not valid HTTP"
        case aiohttp.ClientError() | OSError():
            return f"it broke off ({str(error) or type(error).__name__})"
        case _:
            return str(error)
