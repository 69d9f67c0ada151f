"""`htpasswd:` of `auth` and `gateway.auth`."""

from __future__ import annotations

from collections.abc import Iterator

from backends.auth.htpasswd import HtpasswdSettings
from portside.settings.remarks import Remark, refused
from portside.settings.schema.auth import Htpasswd


def htpasswd_mistakes(path: str, section: Htpasswd) -> Iterator[Remark]:
    """Yields a remark for each key that is missing."""
    if section.realm is None:
        yield refused(f"{path}.realm", "it must be set, as in distribution: what clients ask their user for")
    if not section.path:
        yield refused(f"{path}.path", "it must be set, as in distribution: the file of users and their bcrypt hashes")


def make_htpasswd(section: Htpasswd) -> HtpasswdSettings:
    """Returns the scheme's settings."""
    return HtpasswdSettings(section.realm or "", section.path)
