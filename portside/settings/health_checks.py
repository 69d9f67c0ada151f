"""`health.file`, `health.http` and `health.tcp` as what is checked."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from backends.http.masking import masked
from portside.observe.bounds import BOUND_SECONDS, INTERVAL_SECONDS
from portside.observe.check_settings import FileCheck, HttpCheck, TcpCheck
from portside.settings.schema.health import Health

OK = 200


def make_checks(health: Health) -> tuple[FileCheck | HttpCheck | TcpCheck, ...]:
    """Returns what is checked. As in distribution, an interval or status of 0 is the usual one."""
    files = [FileCheck(each.file, each.interval or INTERVAL_SECONDS, each.threshold) for each in health.file]
    servers = [
        HttpCheck(
            each.uri,
            tuple((name, value) for name, values in each.headers.items() for value in values),
            each.statuscode or OK,
            each.timeout or BOUND_SECONDS,
            each.interval or INTERVAL_SECONDS,
            each.threshold,
        )
        for each in health.http
    ]
    addresses = [
        TcpCheck(each.addr, each.timeout or BOUND_SECONDS, each.interval or INTERVAL_SECONDS, each.threshold)
        for each in health.tcp
    ]
    return (*files, *servers, *addresses)


def check_mistakes(health: Health) -> list[str]:
    """Returns a sentence for each check that cannot be made."""
    found = []
    seen: set[str] = set()
    for path, what, wrong in _all(health):
        if wrong:
            found.append(f"{path}: {wrong}")
        elif what in seen:  # distribution does not start either
            found.append(f"{path}: {masked(what)} is checked twice; health names each check once")
        seen.add(what)
    return found


def _all(health: Health) -> Iterator[tuple[str, str, str]]:
    """Yields path, name, and what is wrong with it, of each check."""
    for index, file in enumerate(health.file):
        yield f"health.file.{index}.file", file.file, "" if file.file else "name a file"
    for index, server in enumerate(health.http):
        yield f"health.http.{index}.uri", server.uri, "" if _is_url(server.uri) else "write it like http://host:port/"
    for index, address in enumerate(health.tcp):
        yield f"health.tcp.{index}.addr", address.addr, "" if _has_port(address.addr) else "write it like host:port"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _has_port(text: str) -> bool:
    _, mark, port = text.rpartition(":")
    return bool(mark) and port.isascii() and port.isdecimal() and 0 < int(port) < 2**16
