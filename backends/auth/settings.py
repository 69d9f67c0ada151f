"""Which schemes and rules a process has; each scheme's own settings are in its module."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backends.auth.certificates import CertificateSettings
    from backends.auth.htpasswd import HtpasswdSettings
    from backends.auth.openid_settings import OpenIdSettings
    from backends.auth.token_settings import TokenSettings


@dataclass(frozen=True, slots=True)
class SillySettings:
    """Of the scheme `silly`.

    Attributes:
        realm: where clients are told to get a token.
        service: for which they are to ask.
    """

    realm: str
    service: str


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """All of them; a scheme that is None is not offered.

    Attributes:
        rules: the rules file; None for none: then everybody who has authenticated may do everything.
        secret: what tokens of Portside's own are made with; "" for one that is kept with the data.
    """

    silly: SillySettings | None = None
    htpasswd: HtpasswdSettings | None = None
    token: TokenSettings | None = None
    certificates: CertificateSettings | None = None
    openid: tuple[OpenIdSettings, ...] = ()
    rules: Path | None = None
    secret: str = field(default="", repr=False)

    @property
    def makes_own_tokens(self) -> bool:
        """Whether there are tokens of Portside's own: where rules may let in those without a password.

        Where there is a token server, it is this that gives tokens to nobody in particular.
        """
        return self.rules is not None and self.token is None and bool(self.htpasswd or self.openid)

    @property
    def schemes(self) -> tuple[str, ...]:
        """The names of the schemes that are offered, in the order in which they are."""
        offered = {
            "openid": self.openid or None,
            "token": self.token,
            "htpasswd": self.htpasswd,
            "silly": self.silly,
            "certificates": self.certificates,
        }
        return tuple(name for name, settings in offered.items() if settings is not None)
