"""`credentials` of an upstream: where clients' own end at the proxy, and the proxy's go on in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from backends.auth.settings import AccessSettings
from portside.settings.exposure import is_exposed
from portside.settings.remarks import Remark, ignored, refused
from portside.settings.schema.config import Config
from portside.settings.schema.gateway import Backend
from portside.settings.settings import Role
from proxy.settings import UpstreamCredentials

Registry = Literal["v1", "v2"]
REGISTRIES: tuple[Registry, ...] = ("v1", "v2")


def ends_here(config: Config, role: Role, registry: Registry) -> bool:
    """Whether the proxy of this process asks clients itself, for a registry elsewhere."""
    backend = _backend(config, registry)
    return role in {Role.SERVE, Role.PROXY} and bool(backend.upstream) and backend.credentials is not None


def credential_mistakes(config: Config, role: Role, access: AccessSettings | None) -> Iterator[Remark]:
    """Yields a remark for what cannot be, and for what would give away more than is meant.

    Args:
        config: the file, the environment and the flags together.
        role: of this process.
        access: schemes and rules.
    """
    for registry in REGISTRIES:
        key, backend = f"gateway.{registry}.credentials", _backend(config, registry)
        if backend.credentials is None:
            continue
        if not ends_here(config, role, registry):
            why = f"has no effect: there is no gateway.{registry}.upstream that this process forwards to"
            yield ignored(key, why)
            continue
        yield from _pair_mistakes(key, backend)
        if registry == "v1":
            yield from _mistakes_of_v1(key, config, role, access)
        if access is None:
            why = "whoever reaches the proxy could do what this user may; say who may: auth, gateway.auth"
            yield refused(key, why if registry == "v1" else f"{why}, gateway.access")
        elif registry == "v2" and access.makes_own_tokens and _has_no_key(config, role):
            why = (
                "it must be set: where rules may let in anyone, the proxy gives tokens, and has no data to keep a key"
                " with"
            )
            yield refused("http.secret", why)


def make_credentials(backend: Backend) -> UpstreamCredentials | None:
    """Returns what a registry elsewhere is shown; None where clients' own credentials pass through."""
    asked = backend.credentials
    if asked is None:
        return None
    return (
        UpstreamCredentials()
        if asked.none
        else UpstreamCredentials(asked.user, asked.passwordfile, asked.realm, asked.service)
    )


def _backend(config: Config, registry: Registry) -> Backend:
    return config.gateway.v1 if registry == "v1" else config.gateway.v2


def _has_no_key(config: Config, role: Role) -> bool:
    """Whether there is nothing that all workers could make tokens with: no secret, and no data to keep a key with."""
    gateway = config.gateway
    return not config.http.secret and (role is Role.PROXY or bool(gateway.v1.upstream and gateway.v2.upstream))


def _mistakes_of_v1(key: str, config: Config, role: Role, access: AccessSettings | None) -> Iterator[Remark]:
    if access is not None and access.rules is not None:
        why = (
            "addresses of v1's images name no repository, so the rules of gateway.access could not be kept in front of"
            " a v1 registry elsewhere; leave the rules out, and everybody who has logged in may do everything there"
        )
        yield refused(key, why)
    asked = config.gateway.v1.credentials
    if asked is not None and asked.realm:
        yield refused(f"{key}.realm", "a v1 registry takes Basic, and no tokens of a token server; remove it")
    if _has_no_key(config, role):
        why = "it must be set: clients of v1 are given tokens, and the proxy has no data to keep a key with"
        yield refused("http.secret", why)


def _pair_mistakes(key: str, backend: Backend) -> Iterator[Remark]:
    asked = backend.credentials
    if asked is None:
        return
    if asked.none:
        if asked.user or asked.passwordfile or asked.realm:
            yield refused(
                f"{key}.none", "it says that there are no credentials, and there are; remove one or the other"
            )
        return
    if not asked.user or not asked.passwordfile:
        why = "name both user and passwordfile, or write none: true where the registry wants no credentials"
        yield refused(key, why)
    if ":" in asked.user or not asked.user.isprintable():
        yield refused(f"{key}.user", "it must have no colon and no control characters, or no registry could read it")
    if bool(asked.realm) != bool(asked.service):
        why = "name realm and service, as the registry's WWW-Authenticate has them, or neither where it takes Basic"
        yield refused(key, why)
    # The registry itself is shown tokens then, which do what the password does for a while.
    if not asked.unencrypted and (is_exposed(backend.upstream) or is_exposed(asked.realm)):
        why = (
            "the password would go to another machine over plain http; use https, or write unencrypted: true where"
            " nobody else is on the way"
        )
        yield refused(key, why)
