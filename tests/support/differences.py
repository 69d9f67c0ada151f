"""The same requests to two registries, and in what their answers differ.

Requests are data (`tests/data/differences/*.yml`): groups of steps, each one request, and the differences that it is
known to show, by the names that `docs/differences.md` explains them under. A step is

    - METHOD TARGET
    - METHOD TARGET: {headers: {…}, body: NAME, text: …, pieces: […], save: NAME, differs: {NAME: FACETS}, …}

`$name` in a target, a header, a text is the digest of what `difference_contents` has under this name; `$upload` is
where the last answer said that the upload goes on, `$id` its name. `differs` holds for every edition, `differs2` for
2.8.2 only, `differs3` for 3.1.2 only.

A facet is what two answers can differ in: `404 > 400` (theirs, ours), an error's code likewise, `Name` for a header
with another value, `+Name` for one that only we send, `-Name` for one that only they send, `charset` for a type where
only we name it, `body`, `order` for a list of the same in another one, `message`, `detail`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from tests.support import difference_contents as contents
from tests.support.exact_requests import exchange, written

DATA: Final = Path(__file__).parents[1] / "data" / "differences"

_NOT_COMPARED: Final = frozenset({"date"})
_CHARSET: Final = "; charset=utf-8"
_UPLOAD: Final = re.compile(r"(/blobs/uploads/)([^/?]+)(\?_state=[^&]*)?")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BOUNDARY: Final = re.compile(rb"boundary=(\S+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and the facets in which the answers to it differ: by edition and by name."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    pieces: tuple[bytes, ...] | None = None
    version: str = "HTTP/1.1"
    save: str = ""
    known: Mapping[int, Mapping[str, frozenset[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that follow one another."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A file of requests.

    Attributes:
        name: of the file.
        settings: of both registries while they are sent; they are those of distribution's config.yml.
        groups: each is independent of the others.
    """

    name: str
    settings: Mapping[str, Any]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """An answer.

    Attributes:
        status: `416 cut off` where the connection ended before the body did.
        headers: with their values as they came, names in lower case.
        shown: the same names as they came.
    """

    status: str
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def errors(self) -> Sequence[Mapping[str, Any]]:
        """The errors of an answer in the protocol's shape."""
        try:
            found = json.loads(self.body)["errors"]
        except (ValueError, TypeError, KeyError):
            return ()
        return tuple(each for each in found if isinstance(each, dict))


def load_tables() -> list[Table]:
    """All files of requests."""
    return [_load(path) for path in sorted(DATA.glob("*.yml"))]


def load_state() -> Group:
    """What both registries are given at first."""
    return next(table.groups[0] for table in load_tables() if table.name == "state")


def load_rules(edition: int) -> Mapping[str, str]:
    """The facets that any answer may show, and the name of their difference."""
    rules = yaml.safe_load((DATA / "everywhere.yaml").read_text())
    return {rule["facet"]: name for name, rule in rules.items() if edition in rule["editions"]}


def _load(path: Path) -> Table:
    raw = yaml.safe_load(path.read_text())
    groups = tuple(Group(title, tuple(map(_step, steps))) for title, steps in raw["groups"].items())
    return Table(path.stem, raw.get("settings") or {}, groups)


def _step(raw: str | Mapping[str, Mapping[str, Any]]) -> Step:
    ((line, rest),) = [(raw, {})] if isinstance(raw, str) else raw.items()
    more = dict(rest)
    method, _, target = line.partition(" ")
    headers = tuple((name, value) for name, values in more.pop("headers", {}).items() for value in _list(values))
    body = contents.NAMED[more.pop("body")] if "body" in more else None
    if "text" in more:
        body = contents.fill(more.pop("text")).encode()
    pieces = tuple(map(str.encode, more.pop("pieces"))) if "pieces" in more else None
    both = more.pop("differs", {})
    known = {
        edition: {name: _facets(facets) for name, facets in {**both, **more.pop(f"differs{edition}", {})}.items()}
        for edition in (2, 3)
    }
    return Step(method, target, headers, body, pieces, known=known, **more)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _facets(value: Any) -> frozenset[str]:
    return frozenset(map(str, _list(value)))


class Talk:
    """One registry, and what it has said of uploads so far."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._said: dict[str, str] = {}

    def send(self, step: Step) -> Received:
        """Sends one request on a connection of its own."""
        headers = [(name, self._fill(str(value))) for name, value in step.headers]
        start = f"{step.method} {self._fill(step.target)} {step.version}"
        head, body = written(start, headers, body=step.body, pieces=step.pieces)
        received = _exchange(self._port, head + body, of=step.method)
        location = received.headers.get("location", ("",))[0]
        if _UPLOAD.search(location):
            self._said["upload"] = re.sub(r"^\w+://[^/]+", "", location)
            self._said["id"] = received.headers.get("docker-upload-uuid", ("",))[0]
            if step.save:
                self._said[step.save] = self._said["upload"]
        return received

    def _fill(self, text: str) -> str:
        filled = Template(text).substitute({**contents.WORDS, **self._said})
        first, mark, rest = filled.partition("?")
        return first + mark + rest.replace("?", "&") if text.startswith("$") else filled


def _exchange(port: int, request: bytes, *, of: str) -> Received:
    answer = exchange(port, request, method=of)
    if answer.status.endswith("cut off"):
        return Received(answer.status)
    headers: dict[str, tuple[str, ...]] = {}
    for name, value in answer.headers:
        headers[name.lower()] = (*headers.get(name.lower(), ()), value)
    return Received(answer.status, headers, {name.lower(): name for name, _ in answer.headers}, answer.body)


def compare(theirs: Received, ours: Received) -> frozenset[str]:
    """Returns the facets in which two answers to one request differ."""
    found = set[str]()
    if theirs.status != ours.status:
        found.add(f"{theirs.status} > {ours.status}")
    if _codes(theirs) != _codes(ours):
        found.add(f"{_codes(theirs)} > {_codes(ours)}")
    if found:
        return frozenset(found)  # the rest follows from it
    if theirs.errors:
        for key in ("message", "detail"):
            if _told(key, theirs) != _told(key, ours):
                found.add(key)
    elif _body(theirs) != _body(ours):
        found.add("order" if _in_order(theirs) == _in_order(ours) is not None else "body")
    lengths_follow = found or (theirs.status >= "400" and not theirs.body)
    for name in {*theirs.headers, *ours.headers} - _NOT_COMPARED:
        if name == "content-length" and lengths_follow:
            continue
        if name not in theirs.headers:
            found.add(f"+{ours.shown[name]}")
        elif name not in ours.headers:
            found.add(f"-{theirs.shown[name]}")
        elif _value(name, theirs) != _value(name, ours):
            found.add(
                "charset" if f"{theirs.headers[name][0]}{_CHARSET}" == ours.headers[name][0] else theirs.shown[name]
            )
    return frozenset(found)


def _codes(received: Received) -> str:
    return ", ".join(str(each.get("code")) for each in received.errors) or "-"


def _told(key: str, received: Received) -> str:
    return _ID.sub("ID", json.dumps([each.get(key) for each in received.errors]))


def _body(received: Received) -> bytes:
    boundary = _BOUNDARY.search(received.headers.get("content-type", ("",))[0].encode())
    return received.body if boundary is None else received.body.replace(boundary[1], b"BOUNDARY")


def _in_order(received: Received) -> Any:
    """Returns a listing with what it lists in order; None of what is no listing."""
    try:
        listing = json.loads(received.body)
        return {key: sorted(value) if isinstance(value, list) else value for key, value in listing.items()}
    except (ValueError, AttributeError, TypeError):
        return None


def _value(name: str, received: Received) -> tuple[str, ...]:
    values = received.headers[name]
    match name:
        case "location":
            return tuple(_UPLOAD.sub(r"\1ID", value) for value in values)
        case "docker-upload-uuid":
            return ("ID",)
        case "content-type":
            return tuple(re.sub(r"boundary=\S+", "boundary=BOUNDARY", value) for value in values)
        case "content-length" if "boundary=" in "".join(received.headers.get("content-type", ())):
            return ("",)
        case _:
            return values


def named_differences(tables: Sequence[Table]) -> Iterator[str]:
    """Yields the name of each difference that some request is known to show."""
    for table in tables:
        for group in table.groups:
            for step in group.steps:
                for known in step.known.values():
                    yield from known
