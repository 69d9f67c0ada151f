"""What may change while serving, and which changes need a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from portside.server.listening import Listener
from portside.settings.settings import SectionValues, Settings

CHANGEABLE = (
    "log.level",
    "loglevel",
    "http.headers",
    "http.tls",
    "gateway.tls",
    "gateway.certs",
    "gateway.names",
    "gateway.trustedproxies",
)
"""These keys, and what lies below them; docs/settings.md has the same list."""
_TLS = ("http.tls", "gateway.tls", "gateway.certs", "gateway.names")


@dataclass(frozen=True, slots=True)
class Changes:
    """How settings that were reloaded differ from those that hold.

    Attributes:
        settings: those that hold, with what may change as it was read; what needs a restart is in them as it holds, so
            that the next reload names it too.
        taken: keys that changed and take effect.
        restart: keys that changed and take effect with a restart.
    """

    settings: Settings
    taken: tuple[str, ...]
    restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What a worker's services receive of it.

    Attributes:
        level: `log.level`.
        headers: `http.headers`, as `Settings` has them.
        tells_requests: whether requests leave lines in the access log.
    """

    level: str
    headers: Mapping[str, str]
    tells_requests: bool


def compare(now: Settings, read: Settings) -> Changes:
    """Compares settings that hold with settings that were reloaded."""
    matches = [_match(each, read.listeners) for each in now.listeners]
    changeable = list(CHANGEABLE)
    if None in matches:  # TLS was switched on or off for one of them
        changeable = [key for key in changeable if key not in _TLS]
    keys = list(_differing(now.values, read.values, ""))
    taken = [key for key in keys if any(key == each or key.startswith(f"{each}.") for each in changeable)]
    listeners = tuple(
        replace(
            each,
            tls=each.tls if None in matches or match is None else match.tls,
            trusted_networks=read.values["gateway"]["trustedproxies"],
        )
        for each, match in zip(now.listeners, matches, strict=True)
    )
    settings = replace(
        now,
        values=_with_taken(now.values, read.values, "", taken=frozenset(taken)),
        log=replace(now.log, level=read.log.level),
        headers=read.headers,
        listeners=listeners,
        certificates=now.certificates if None in matches else read.certificates,
        names=read.names,
    )
    return Changes(settings, tuple(taken), tuple(key for key in keys if key not in taken))


def _match(listener: Listener, read: tuple[Listener, ...]) -> Listener | None:
    """The listener of the same part and kind; all of a kind have the same TLS settings.

    Where none is for old clients any more, one that was has what the others have; these never get theirs.
    """
    alike = [each for each in read if each.name == listener.name and bool(each.tls) == bool(listener.tls)]
    kinds = (listener.for_old_clients, False)
    return next((each for kind in kinds for each in alike if each.for_old_clients is kind), None)


def _differing(one: SectionValues, other: SectionValues, above: str) -> Iterator[str]:
    for name in one:
        before, after = one[name], other.get(name)
        if isinstance(before, SectionValues) and isinstance(after, SectionValues) and before.keys() == after.keys():
            yield from _differing(before, after, f"{above}{name}.")
        elif before != after:
            yield above + name


def _with_taken(now: SectionValues, read: SectionValues, above: str, *, taken: frozenset[str]) -> SectionValues:
    """Returns the values that hold with those of some keys as they were read; walks as `_differing` does."""
    found = SectionValues()
    for name, before in now.items():
        after = read.get(name)
        if isinstance(before, SectionValues) and isinstance(after, SectionValues) and before.keys() == after.keys():
            found[name] = _with_taken(before, after, f"{above}{name}.", taken=taken)
        else:
            found[name] = after if above + name in taken else before
    return found
