"""Cross-origin requests of browsers (Fetch Standard, section 3.2): which pages elsewhere may read which answers.

Only what pages of named origins may do is said, and to these alone; all others get answers without a word of it, which
browsers keep from them. It protects people who use browsers, and is no access control: what comes without a browser is
answered as ever. PURE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ANY_ORIGIN = "*"
ANY_HEADER = "*"


@dataclass(frozen=True, slots=True)
class Cors:
    """What pages of other origins may do.

    Attributes:
        origins: scheme, host and port of each, in lower case; `*` for all. Without one, nobody is told anything.
        methods: with which methods they may ask, beyond what every page may.
        headers: which headers they may send, beyond what every page may; `*` for any.
        expose_headers: which headers of an answer they may read, beyond what every page may.
        credentials: whether requests may carry what the browser knows of their user.
        max_age_seconds: so long a browser need not ask again what it may; 0: its own default.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "HEAD")
    headers: tuple[str, ...] = ("Content-Type",)
    expose_headers: tuple[str, ...] = ()
    credentials: bool = False
    max_age_seconds: int = 0


@dataclass(frozen=True, slots=True)
class CorsRequest:
    """What a browser says of a page's request.

    Attributes:
        origin: of the page; None where the browser names none.
        method: where it only asks whether the page may send a request, the method of that; else None.
        headers: likewise, the names of its headers.
    """

    origin: str | None
    method: str | None = None
    headers: str = ""


def cors_headers(cors: Cors, asked: CorsRequest) -> tuple[tuple[str, str], ...]:
    """Returns the headers that tell a browser what a page may do."""
    return tuple(_told(cors, asked))


def _told(cors: Cors, asked: CorsRequest) -> Iterator[tuple[str, str]]:
    if not cors.origins:
        return
    anyone = ANY_ORIGIN in cors.origins
    if not anyone:
        # What is told depends on it, and answers about images may be kept for a year.
        yield "Vary", "Origin"
    if asked.origin is None or not (anyone or asked.origin.lower() in cors.origins):
        return
    if asked.method is not None and asked.method not in cors.methods:
        return
    yield "Access-Control-Allow-Origin", ANY_ORIGIN if anyone else asked.origin
    if cors.credentials:
        yield "Access-Control-Allow-Credentials", "true"
    if asked.method is None:
        if cors.expose_headers:
            yield "Access-Control-Expose-Headers", ", ".join(cors.expose_headers)
        return
    yield "Access-Control-Allow-Methods", ", ".join(cors.methods)
    headers = _allowed(cors, asked.headers)
    if headers:
        yield "Access-Control-Allow-Headers", ", ".join(headers)
    if cors.max_age_seconds:
        yield "Access-Control-Max-Age", str(cors.max_age_seconds)


def _allowed(cors: Cors, asked: str) -> list[str]:
    """Returns those of the headers asked for that may be sent, as they are written in the settings."""
    known = {each.lower(): each for each in cors.headers}
    names = [each.strip() for each in asked.split(",")]
    if ANY_HEADER in known:
        return [each for each in names if each.replace("-", "").isalnum()]
    return [known[each.lower()] for each in names if each.lower() in known]
