"""The files of access control that must be there before a start, as a start and `portside config check` read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.auth.settings import AccessSettings
from portside.problems import Problem

if TYPE_CHECKING:
    from backends.auth.openid_settings import OpenIdSettings
    from backends.auth.rules_file import RulesFile
    from proxy.settings import ProxySettings


def read_access_files(asked: AccessSettings) -> RulesFile | None:
    """Returns the file of rules, None for none, when it and the files of keys can be used; makes none.

    Raises:
        Problem: one cannot be used.
    """
    if asked.token is not None:
        from backends.auth.followed_file import UnusableFile  # noqa: PLC0415 - where it is wanted
        from backends.auth.token import TokenScheme  # noqa: PLC0415

        try:
            TokenScheme(asked.token)
        except UnusableFile as error:
            raise Problem(str(error)) from None
    for issuer in asked.openid:
        _look_at_issuer(issuer)
    if asked.rules is None:
        return None
    from backends.auth.rules_file import RulesFile, UnusableRules  # noqa: PLC0415 - where there is one

    try:
        return RulesFile(asked.rules)
    except UnusableRules as error:
        raise Problem(f"gateway.access: {error}") from None


def read_upstream_password(asked: ProxySettings) -> None:
    """Looks at the files of the proxy's own passwords at registries elsewhere, where there are some.

    Raises:
        Problem: one cannot be used.
    """
    for name, upstream in (("v1", asked.v1), ("v2", asked.v2)):
        own = upstream.credentials if upstream is not None else None
        if own is None or not own.password_file:
            continue
        from backends.auth.followed_file import UnusableFile  # noqa: PLC0415 - where it is wanted
        from proxy.credentials import password_file  # noqa: PLC0415

        try:
            password_file(own.password_file, key=f"gateway.{name}.credentials")
        except UnusableFile as error:
            raise Problem(str(error)) from None


def _look_at_issuer(issuer: OpenIdSettings) -> None:
    if isinstance(issuer.jwks, Path):
        from backends.auth.followed_file import UnusableFile  # noqa: PLC0415 - where it is wanted
        from backends.auth.issuer_keys import FileKeys  # noqa: PLC0415

        try:
            FileKeys(issuer.jwks, what="gateway.auth.openid.jwks")
        except UnusableFile as error:
            raise Problem(str(error)) from None
        return
    for key, path in (("ca", issuer.ca), ("token", issuer.token)):
        if path is not None and not path.is_file():
            raise Problem(f"gateway.auth.openid.{key}: {path} does not exist, or is no file; put it there")
