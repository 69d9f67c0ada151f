"""`gateway.v1.standalone: false`: an index elsewhere says who may do what in v1."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from backends.auth.v1_index_settings import V1IndexSettings
from portside.settings.access import make_access
from portside.settings.exposure import is_exposed
from portside.settings.remarks import Kind, Remark, ignored, refused
from portside.settings.schema.config import Config
from portside.settings.settings import Role

_KEY = "gateway.v1.standalone"
_OF_AN_INDEX = ("index", "indexca", "privilegedkey")


def make_index(role: Role, config: Config) -> V1IndexSettings | None:
    """Returns what the v1 registry of this process asks; None where it is elsewhere, or asks nobody."""
    v1 = config.gateway.v1
    if v1.standalone or not v1.index or not _is_here(role, config):
        return None
    return V1IndexSettings(
        v1.index,
        Path(v1.indexca) if v1.indexca else None,
        Path(v1.privilegedkey) if v1.privilegedkey else None,
    )


def index_remarks(config: Config, role: Role) -> list[Remark]:
    """Returns what keeps it from starting, and what does nothing."""
    v1 = config.gateway.v1
    if v1.standalone:
        why = "has no effect: the registry is its own index, unless gateway.v1.standalone is false"
        return [ignored(f"gateway.v1.{key}", why) for key in _OF_AN_INDEX if getattr(v1, key)]
    found: list[Remark] = []
    if not v1.index:
        why = "the index says who may do what where the registry is not standalone; name it like https://index.example.com"
        found.append(refused("gateway.v1.index", why))
    elif is_exposed(v1.index):
        why = "the tokens of clients go to another machine over plain http, where whoever listens can use them"
        found.append(Remark(Kind.DANGEROUS, "gateway.v1.index", f"gateway.v1.index is not https: {why}"))
    if v1.mirroring is not None and _is_here(role, config):
        why = "a mirror gives what its source gives to everybody, and the index would not be asked about that"
        found.append(refused("gateway.v1.mirroring", f"{why}; remove it, or gateway.v1.standalone"))
    if v1.indexca and urlsplit(v1.index).scheme != "https":
        found.append(ignored("gateway.v1.indexca", "has no effect: gateway.v1.index is not https"))
    if role is Role.V2 or (role is Role.SERVE and _is_here(role, config) and not config.gateway.v2.upstream):
        found += _open_to_v2(config)
    if not _is_here(role, config) and role is Role.SERVE:
        found.append(ignored(_KEY, "has no effect: gateway.v1.upstream is the registry, by its own settings"))
    return found


def _is_here(role: Role, config: Config) -> bool:
    """Whether the v1 registry is in this process."""
    return role is Role.V1 or (role is Role.SERVE and not config.gateway.v1.upstream)


def _open_to_v2(config: Config) -> list[Remark]:
    """Returns the refusal to serve by v2, to whoever asks, the images that the index guards."""
    if make_access(config) is not None:
        return []
    why = (
        "the index would guard v1 alone: v2 gives the same images to everybody, and takes theirs; say who may what by"
        " auth, gateway.auth or gateway.access, or run portside v1 alone"
    )
    return [refused(_KEY, why)]
