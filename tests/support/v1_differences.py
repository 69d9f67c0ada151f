"""The same requests to docker-registry 0.9.1 and to Portside's v1, and in what their answers differ.

Requests are data (`tests/data/differences-v1/*.yml`): groups of steps, sent in their order. A step is

    - METHOD TARGET
    - METHOD TARGET: {for: {NAME: [VALUE, …]}, headers: {…}, body: NAME, text: …, pieces: […], cut: …, of: […]}
    - push ID: {parent: ID, layer: NAME}                three requests, by which Docker pushes an image
    - image ID: {…}                                      the same, but for the last of them
    - repository NAME: {images: […], tags: {TAG: ID}}    the others of a push

`$A` is an id, `$id_word` another (`v1_contents`); `for` repeats a step with each value of `%NAME%`, all combinations
of them. `of: [JSON, LAYER]` adds the checksum of a payload, `cut` ends the connection after so many bytes of the body.

In what the answers to a step differ is in `known/`, a line for each that does: its place among the steps, the request,
and the facets by the name that `docs/differences-v1.md` explains them under. A facet is what two answers can differ in:
`404 > 400` (theirs, ours), `Name` for a header with another value, `+Name` for one that only we send, `-Name` for one
that only they send, `body`, `message` of an error, and `page` where they send an HTML page of their framework with the
same status. A status with `cut off` is that of an answer that ends before the length that it announced.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.exact_requests import exchange, written
from tests.support.v1_contents import NAMED, fill, image_json, payload
from tests.support.v1server import DOCKER

DATA: Final = Path(__file__).parents[1] / "data" / "differences-v1"
RULES: Final = "everywhere.yaml"

_NOT_COMPARED: Final = frozenset({"date", "connection", "content-length"})
_CHANGING: Final = (
    (re.compile(r"signature=[A-Z0-9]{16},"), "signature=S,"),
    (re.compile(r"\w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT"), "<a date>"),
)
_UPDATED: Final = re.compile(rb'last_update(\\?)": \d{10}')


@dataclass(frozen=True, slots=True)
class Step:
    """One request."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    pieces: tuple[bytes, ...] | None = None
    cut: int | None = None

    @property
    def title(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True, slots=True)
class Table:
    """A file of requests: each is sent to registries of its own, with fresh volumes.

    Attributes:
        variables: of docker-registry's environment.
        settings: the same in Portside's file.
        groups: steps by what they are about.
    """

    name: str
    variables: Mapping[str, str]
    settings: Mapping[str, Any]
    groups: Mapping[str, Sequence[Step]]

    @property
    def steps(self) -> list[Step]:
        return [step for group in self.groups.values() for step in group]


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, without what changes from one run to the next.

    Attributes:
        headers: by name as they came; `Content-Length` only where the body has another length.
    """

    status: str
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_page(self) -> bool:
        return self.headers.get("Content-Type", ("",))[0].startswith("text/html")

    @property
    def message(self) -> str | None:
        """The message of an error."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return None
        return document.get("error") if isinstance(document, dict) else None


def load_tables() -> list[Table]:
    """All files of requests."""
    return [_load(path) for path in sorted(DATA.glob("*.yml"))]


def load_rules(where: str) -> Mapping[str, str]:
    """The facets that any answer of Portside may show, alone or behind its proxy, and the name of their difference."""
    rules = yaml.safe_load((DATA / RULES).read_text())
    return {facet: name for name, rule in rules.items() if where in rule["where"] for facet in _list(rule["facets"])}


def _load(path: Path) -> Table:
    raw = yaml.safe_load(path.read_text())
    groups = {title: [step for each in steps for step in _steps(each)] for title, steps in raw["groups"].items()}
    return Table(path.stem, raw.get("variables") or {}, raw.get("settings") or {}, groups)


def _steps(raw: str | Mapping[str, Any]) -> Iterator[Step]:
    ((line, rest),) = [(raw, {})] if isinstance(raw, str) else raw.items()
    choices = rest.get("for", {})
    for chosen in itertools.product(*choices.values()):
        words = {f"%{name}%": str(value) for name, value in zip(choices, chosen, strict=True)}
        more = _replace({key: value for key, value in rest.items() if key != "for"}, words)
        verb, _, target = str(_replace(line, words)).partition(" ")
        match verb:
            case "push" | "image":
                yield from _pushing(fill(target), more, is_whole=verb == "push")
            case "repository":
                yield from _repository(target, more)
            case _:
                yield _request(verb, fill(target), more)


def _replace(value: Any, words: Mapping[str, str]) -> Any:
    match value:
        case str():
            for word, replacement in words.items():
                value = value.replace(word, replacement)
            return value
        case dict():
            return {_replace(key, words): _replace(each, words) for key, each in value.items()}
        case list():
            return [_replace(each, words) for each in value]
        case _:
            return value


def _pushing(image_id: str, more: Mapping[str, Any], *, is_whole: bool) -> Iterator[Step]:
    text = image_json(image_id, fill(more.get("parent", "")))
    layer = NAMED[more.get("layer", "tar")]
    yield Step("PUT", f"/v1/images/{image_id}/json", body=text.encode())
    yield Step("PUT", f"/v1/images/{image_id}/layer", pieces=(layer[:100], layer[100:]))
    if is_whole:
        checksum = (("X-Docker-Checksum-Payload", payload(text, layer)),)
        yield Step("PUT", f"/v1/images/{image_id}/checksum", checksum)


def _repository(name: str, more: Mapping[str, Any]) -> Iterator[Step]:
    listed = json.dumps([{"id": fill(each)} for each in more.get("images", more["tags"].values())]).encode()
    yield Step("PUT", f"/v1/repositories/{name}/", body=listed)
    for tag, image_id in more["tags"].items():
        yield Step("PUT", f"/v1/repositories/{name}/tags/{tag}", body=json.dumps(fill(image_id)).encode())
    yield Step("PUT", f"/v1/repositories/{name}/images", body=listed)


def _request(method: str, target: str, more: dict[str, Any]) -> Step:
    more = dict(more)
    given = [(name, fill(str(value))) for name, values in more.pop("headers", {}).items() for value in _list(values)]
    if "of" in more:
        text, layer = more.pop("of")
        given.append(("X-Docker-Checksum-Payload", payload(fill(text), NAMED[layer])))
    body = NAMED[more.pop("body")] if "body" in more else None
    if "text" in more:
        body = fill(str(more.pop("text"))).encode()
    if "latin" in more:
        body = str(more.pop("latin")).encode("latin-1")
    pieces = tuple(fill(each).encode() for each in more.pop("pieces")) if "pieces" in more else None
    return Step(method, target, tuple(given), body, pieces, **more)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def send(port: int, step: Step) -> Received:
    """Sends one request on a connection of its own."""
    head, body = _written(step)
    answer = exchange(port, head + body[: step.cut], method=step.method, ends=step.cut is not None)
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        if name == "Content-Length" and (step.method == "HEAD" or int(value) == len(answer.body)):
            continue
        if name not in {"Date", "Connection"}:
            headers.setdefault(name, []).append(_without_what_changes(value))
    return Received(answer.status, headers, _UPDATED.sub(rb'last_update\1": 1400000000', answer.body))


def _without_what_changes(value: str) -> str:
    for changing, instead in _CHANGING:
        value = changing.sub(instead, value)
    return value


def _written(step: Step) -> tuple[bytes, bytes]:
    headers = [("Connection", "close"), *step.headers]
    if not any(name.lower() == "user-agent" for name, _ in step.headers):
        headers.insert(0, ("User-Agent", DOCKER))
    pieces = None if step.pieces is None else [piece for piece in step.pieces if piece]
    return written(f"{step.method} {step.target} HTTP/1.1", headers, body=step.body or None, pieces=pieces)


def compare(theirs: Received, ours: Received) -> frozenset[str]:
    """Returns the facets in which two answers to one request differ."""
    if theirs.status != ours.status:
        return frozenset({f"{theirs.status} > {ours.status}"})  # the rest follows from it
    found = set[str]()
    kept = _by_lower_name(theirs), _by_lower_name(ours)
    if theirs.is_page:
        found.add("page")  # what it says, and with which headers, is its framework's
        kept = ({name: each for name, each in kept[0].items() if name in {"allow", "location", "server"}}, kept[1])
        framed = {"content-type", "cache-control", "pragma", "expires"}
        kept = (kept[0], {name: each for name, each in kept[1].items() if name not in framed})
    elif theirs.message is not None and ours.message is not None and theirs.message != ours.message:
        found.add("message")
    elif theirs.body != ours.body:
        found.add("body")
    theirs_by_name, ours_by_name = kept
    for name in sorted({*theirs_by_name, *ours_by_name} - _NOT_COMPARED):
        if name not in theirs_by_name:
            found.add(f"+{ours_by_name[name][0]}")
        elif name not in ours_by_name:
            found.add(f"-{theirs_by_name[name][0]}")
        elif theirs_by_name[name][1] != ours_by_name[name][1]:
            found.add(_difference(theirs_by_name[name], ours_by_name[name][1]))
    return frozenset(found)


def _difference(theirs: tuple[str, list[str]], ours: list[str]) -> str:
    name, values = theirs
    return "Allow OPTIONS" if name == "Allow" and [each for each in values if each != "OPTIONS"] == ours else name


def _by_lower_name(received: Received) -> dict[str, tuple[str, list[str]]]:
    return {name.lower(): (name, _values(name, values)) for name, values in received.headers.items()}


def _values(name: str, values: Sequence[str]) -> list[str]:
    if name == "Allow":  # a set, and in no order
        return sorted(word.strip() for value in values for word in value.split(","))
    return list(values)
