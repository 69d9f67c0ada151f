"""From `auth`, `gateway.auth` and `gateway.access` to the schemes and rules of a process.

What a scheme needs is in a module of its own beside this one: `access_htpasswd.py`, `access_token.py` and others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.auth.settings import AccessSettings, SillySettings
from portside.server.listening import Listener
from portside.settings.access_certificates import certificate_mistakes, make_certificates
from portside.settings.access_htpasswd import htpasswd_mistakes, make_htpasswd
from portside.settings.access_openid import make_issuers, openid_remarks
from portside.settings.access_token import make_token, token_mistakes
from portside.settings.remarks import Kind, Remark, ignored, refused
from portside.settings.schema.auth import Auth, GatewayAuth, Silly
from portside.settings.schema.config import Config
from portside.settings.schema.section import Section, keys_of
from portside.settings.settings import Role
from portside.settings.upstream_credentials import REGISTRIES, credential_mistakes, ends_here
from portside.settings.yaml_values import plain


def access_refusals(raw: Mapping[Any, Any]) -> Iterator[Remark]:
    """Yields a remark for schemes that nobody knows, and for several where one may stand."""
    auth = plain(raw.get("auth"))
    gateway = raw.get("gateway")
    several = plain(gateway.get("auth")) if isinstance(gateway, Mapping) else None
    names = list(auth) if isinstance(auth, Mapping) else [str(auth)] if auth and not isinstance(auth, list) else []
    known = sorted(keys_of(Auth))
    for name in map(str, names):
        if name not in known:
            yield refused(
                f"auth.{name}", f"there is no such scheme{_meant(name, known)}; use one of {', '.join(known)}"
            )
    if len(names) > 1:
        given = ", ".join(sorted(map(str, names)))
        yield refused(
            "auth",
            f"it must have exactly one scheme, and has {given}; several that hold together go below gateway.auth",
        )
    known = sorted(keys_of(GatewayAuth))
    for name in map(str, several) if isinstance(several, Mapping) else ():
        if name not in known:
            why = f"there is no such scheme{_meant(name, known)}; use some of {', '.join(known)}"
            yield refused(f"gateway.auth.{name}", why)


def access_remarks(config: Config, role: Role, listeners: Sequence[Listener]) -> list[Remark]:
    """Returns what keeps it from starting, and what is as it was asked for and worth a second look."""
    found: list[Remark] = []
    auth, several = config.auth or Auth(), config.gateway.auth or GatewayAuth()
    if sum(getattr(auth, name) is not None for name in keys_of(Auth)) > 1:
        return found  # that is said already, and which of them is meant nobody knows
    if auth.silly is not None:
        found += _missing("auth.silly", auth.silly, ("realm", "service"))
        why = "whoever sends any Authorization header is let in; it is for development"
        found.append(Remark(Kind.DANGEROUS, "auth.silly", f"auth.silly protects nothing: {why}"))
    for path, section in (("auth", auth), ("gateway.auth", several)):
        if section.htpasswd is not None:
            found += htpasswd_mistakes(f"{path}.htpasswd", section.htpasswd)
        if section.token is not None:
            found += token_mistakes(f"{path}.token", section.token)
    for name in keys_of(GatewayAuth):
        if getattr(auth, name, None) is not None and getattr(several, name) is not None:
            found.append(refused(f"gateway.auth.{name}", f"it is in auth.{name} too; remove one"))
    found += _identities(config, role, listeners)
    found += _elsewhere(config, role)
    found += credential_mistakes(config, role, make_access(config))
    return found


def make_access(config: Config) -> AccessSettings | None:
    """Returns the schemes and rules; None where neither is configured: then nobody is asked for anything."""
    auth, several = config.auth or Auth(), config.gateway.auth or GatewayAuth()
    htpasswd, token = auth.htpasswd or several.htpasswd, auth.token or several.token
    found = AccessSettings(
        silly=_silly(auth.silly) if auth.silly is not None else None,
        htpasswd=make_htpasswd(htpasswd) if htpasswd is not None else None,
        token=make_token(token) if token is not None else None,
        certificates=make_certificates(several.certificates) if several.certificates is not None else None,
        openid=make_issuers(several.openid or ()),
        rules=Path(config.gateway.access) if config.gateway.access else None,
        secret=config.http.secret,
    )
    return found if found != AccessSettings(secret=config.http.secret) else None


def certificate_secret(config: Config) -> str:
    """Returns what proxy and registries in different processes tell each other of certificates with; "" for none."""
    several = config.gateway.auth
    return config.http.secret if several is not None and several.certificates is not None else ""


def _identities(config: Config, role: Role, listeners: Sequence[Listener]) -> Iterator[Remark]:
    """Yields remarks about identities that others vouch for."""
    auth, several = config.auth or Auth(), config.gateway.auth or GatewayAuth()
    if several.openid is not None:
        token = auth.token or several.token
        others = {"htpasswd": auth.htpasswd or several.htpasswd, "token": token, "certificates": several.certificates}
        yield from openid_remarks(
            several.openid,
            has_rules=bool(config.gateway.access),
            token_issuer=token.issuer if token is not None else None,
            others=[name for name, section in others.items() if section is not None],
        )
    if several.certificates is not None:
        v1 = config.gateway.v1.upstream and not ends_here(config, role, "v1")
        v2 = config.gateway.v2.upstream and not ends_here(config, role, "v2")
        elsewhere = role in {Role.SERVE, Role.PROXY} and bool(v1 or v2)
        yield from certificate_mistakes(
            several.certificates, listeners, role=role, secret=config.http.secret, elsewhere=elsewhere
        )


def _silly(section: Silly) -> SillySettings:
    return SillySettings(section.realm or "", section.service or "")


def _missing(path: str, section: Section, keys: Sequence[str]) -> Iterator[Remark]:
    """Yields a remark for each key that distribution too requires."""
    for key in keys:
        if getattr(section, key) is None:
            yield refused(f"{path}.{key}", "it must be set, as in distribution")


def _elsewhere(config: Config, role: Role) -> Iterator[Remark]:
    """Yields a remark where requests go to a registry that asks by its own settings."""
    if make_access(config) is None:
        return
    if role is Role.PROXY and not any(ends_here(config, role, each) for each in REGISTRIES):
        if config.gateway.auth is not None and config.gateway.auth.certificates is not None:
            return  # it verifies them, and tells the registries
        key = "gateway.access" if config.gateway.access else "auth" if config.auth is not None else "gateway.auth"
        yield ignored(key, "has no effect on the proxy: it passes credentials on, and the registries behind it ask")
        return
    for name in REGISTRIES:
        backend = config.gateway.v1 if name == "v1" else config.gateway.v2
        if role in {Role.SERVE, Role.PROXY} and backend.upstream and not ends_here(config, role, name):
            key = f"gateway.{name}.upstream"
            why = "who may do what is decided there, by its own settings, and not by these"
            yield Remark(Kind.DANGEROUS, key, f"{key} is elsewhere: {why}")


def _meant(name: str, possible: Sequence[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is misspelt

    close = get_close_matches(name.lower(), possible, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
