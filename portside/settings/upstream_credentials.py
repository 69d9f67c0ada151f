"""`gateway.v2.credentials`: where clients' credentials end at the proxy, and its own go on to a registry elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from backends.auth.settings import AccessSettings
from portside.settings.remarks import Remark, ignored, refused
from portside.settings.schema.config import Config
from portside.settings.schema.gateway import V2Backend
from portside.settings.settings import Role
from proxy.settings import UpstreamCredentials

KEY = "gateway.v2.credentials"


def ends_here(config: Config, role: Role) -> bool:
    """Whether the proxy of this process asks clients itself, for a v2 registry elsewhere."""
    backend = config.gateway.v2
    return role in {Role.SERVE, Role.PROXY} and bool(backend.upstream) and backend.credentials is not None


def credential_mistakes(config: Config, role: Role, access: AccessSettings | None) -> Iterator[Remark]:
    """Yields a remark for what cannot be, and for what would give away more than is meant.

    Args:
        config: the file, the environment and the flags together.
        role: of this process.
        access: schemes and rules.
    """
    asked = config.gateway.v2.credentials
    if asked is None:
        return
    if not ends_here(config, role):
        yield ignored(KEY, "has no effect: there is no gateway.v2.upstream that this process forwards to")
        return
    yield from _pair_mistakes(config.gateway.v2)
    if access is None:
        why = "whoever reaches the proxy could do what this user may; say who may: auth, gateway.auth, gateway.access"
        yield refused(KEY, why)
    elif access.makes_own_tokens and not config.http.secret and (role is Role.PROXY or config.gateway.v1.upstream):
        why = (
            "it must be set: where rules may let in anyone, the proxy gives tokens, and has no data to keep a key with"
        )
        yield refused("http.secret", why)


def make_credentials(backend: V2Backend) -> UpstreamCredentials | None:
    """Returns what a registry elsewhere is shown; None where clients' own credentials pass through."""
    asked = backend.credentials
    if asked is None:
        return None
    return (
        UpstreamCredentials()
        if asked.none
        else UpstreamCredentials(asked.user, asked.passwordfile, asked.realm, asked.service)
    )


def _pair_mistakes(backend: V2Backend) -> Iterator[Remark]:
    asked = backend.credentials
    if asked is None:
        return
    if asked.none:
        if asked.user or asked.passwordfile or asked.realm:
            yield refused(
                f"{KEY}.none", "it says that there are no credentials, and there are; remove one or the other"
            )
        return
    if not asked.user or not asked.passwordfile:
        why = "name both user and passwordfile, or write none: true where the registry wants no credentials"
        yield refused(KEY, why)
    if ":" in asked.user or not asked.user.isprintable():
        yield refused(f"{KEY}.user", "it must have no colon and no control characters, or no registry could read it")
    if bool(asked.realm) != bool(asked.service):
        why = "name realm and service, as the registry's WWW-Authenticate has them, or neither where it takes Basic"
        yield refused(KEY, why)
    # The registry itself is shown tokens then, which do what the password does for a while.
    if not asked.unencrypted and not (_is_private(backend.upstream) and _is_private(asked.realm)):
        why = (
            "the password would go to another machine over plain http; use https, or write unencrypted: true where"
            " nobody else is on the way"
        )
        yield refused(KEY, why)


def _is_private(upstream: str) -> bool:
    """Whether nobody on the way can read what goes there."""
    if not upstream.startswith("http://"):
        return True
    host = urlsplit(upstream).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
