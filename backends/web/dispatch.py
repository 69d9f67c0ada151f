"""From method and path to an operation with parsed values; then who may, the gates, and its handler.

A pattern is a path with `{names}`; each name has a parser that turns the (percent-decoded) text into a value or raises
the protocol's own error, so a handler never sees a raw string. `{name*}` may span several segments. The raw path is
split before it is decoded: `%2F` never becomes a separator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from aiohttp.web import BaseRequest, StreamResponse

from backends import request_context
from backends.dependencies import NOTED, refuse_keeping
from backends.http.paths import collapse_slashes
from backends.http.sending import respond
from backends.model.actions import Action
from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError
from backends.web.gates import Gate
from backends.web.operations import Again, Operation, Values

if TYPE_CHECKING:
    from backends.web.access import AccessGate

Parser = Callable[[str], Any]

REMEMBERED = 4096
REMEMBERED_PATH = 400
"""What a path means never changes, so this many paths, up to this long, are remembered with their operations."""

_PARAMETER = re.compile(r"\{(\w+)(\*?)\}")


def decode_but_slashes(text: str) -> str:
    """Decodes all but `%2F`: a parser sees it as it is, and refuses it."""
    return unquote(text.replace("%2F", "%252F").replace("%2f", "%252f"), errors="surrogateescape")


def decode_all(text: str) -> str:
    """Decodes a slash too: within a parameter of several segments, `%2F` is another way to write it."""
    return unquote(text, errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern and the operation of each method; HEAD is GET's unless given.

    Attributes:
        name: what it is called in metrics; several patterns of one thing share it.
    """

    pattern: str
    operations: Mapping[str, Operation]
    name: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    path: re.Pattern[str]
    part: str  # of each path that fits: to look for it costs a tenth of a match that fails
    parsers: Sequence[tuple[str, Parser]]
    operations: Mapping[str, tuple[Operation, Sequence[Gate]]]
    allow: str
    shape: str
    name: str
    decode: Callable[[str], str]

    def values(self, match: re.Match[str]) -> Values:
        """Parses what stands in the path for each parameter.

        Raises:
            RegistryError: a parser's own.
        """
        return {
            name: parse(text if "%" not in text else self.decode(text))
            for (name, parse), text in zip(self.parsers, match.groups(), strict=True)
        }

    def fits(self, path: str) -> bool:
        """Whether a path is of this route, with parameters that are valid."""
        match = self.path.fullmatch(path)
        try:
            return match is not None and self.values(match) is not None
        except RegistryError:
            return False


class Names(Protocol):
    """Which repository a name in a path stands for, where it may stand for one of another name.

    Both names are one by which access is decided, so this is asked after that: a look at the store is for those who may
    know what is in it.
    """

    def is_alias(self, name: Any, operation: Operation) -> bool:
        """Whether a name must be resolved for an operation."""
        ...

    async def resolve(self, name: Any, parts: Any) -> Any:
        """Returns the name of the repository that it stands for in the store of some parts."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    operation: Operation
    gates: Sequence[Gate]
    values: Values
    name: str
    allow: str
    is_alias: bool


class Dispatcher:
    """A handler that hands over to the operation of the first route whose pattern fits.

    Args:
        routes: in the order in which they are tried.
        parsers: one for each parameter name in the patterns.
        parts: what every operation's handler is given first.
        gates: what stands before the handlers, in this order.
        what: the name of the interface, for the message about unknown paths.
        headers: of the answers that no handler gives: to OPTIONS, and redirections.
        access: who may; asked before the gates. None where everybody may everything.
        nothing: like `parts`, over a store with nothing in it: for callers who may not know what there is.
        names: resolves repositories' names for who may; None where each stands for itself.
        decode: undoes the percent-encoding of what stands for a parameter.
        redirects: lead from `//` to `/`, and to a route that differs only by its last slash, as distribution does.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        parsers: Mapping[str, Parser],
        parts: object,
        *,
        gates: Sequence[Gate],
        what: str,
        headers: Mapping[str, str],
        access: AccessGate | None = None,
        nothing: object = None,
        names: Names | None = None,
        decode: Callable[[str], str] = decode_but_slashes,
        redirects: bool = False,
    ) -> None:
        self._routes = [_compile(route, parsers, gates, decode) for route in routes]
        self._parts = parts
        self._what = what
        self._headers = headers
        self._access = access
        self._nothing = nothing
        self._names = names
        self._redirects = redirects
        self._found: Cache[tuple[str, str], _Found] = Cache(bound=REMEMBERED)

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Finds the operation, lets the gates judge it, and awaits its handler.

        Raises:
            RegistryError: NOT_FOUND, UNSUPPORTED (405, with `Allow`), or what a parser or a gate raised.
        """
        path = request.raw_path.partition("?")[0]
        key = (request.method, path)
        found = self._found.get(key) or self._found.find(key)
        if found is None:
            if request.method == "OPTIONS":
                return self._options(request, path)
            try:
                found = self._find(*key)
            except RegistryError:
                moved = self._moved_to(path) if self._redirects else None
                if moved is None:
                    raise
                headers = {**self._headers, "Location": moved + request.raw_path[len(path) :]}
                if request.method in {"GET", "HEAD"}:
                    return respond(request, 301, headers, b"")
                # Many clients do not follow with another method than GET, and show what they get here.
                sentence = f"{request.method[:20]} {path[:200]} is at {moved[:200]}: mind the slashes"
                raise RegistryError(ErrorCode.NOT_FOUND, sentence, headers=headers, status=301) from None
            if len(path) <= REMEMBERED_PATH:
                self._found.put(key, found)
        operation, values = found.operation, found.values
        request[request_context.HANDLER] = found.name
        if operation.source is not None:
            values = {**values, "source": operation.source(request)}
        parts = self._parts
        noted = NOTED.get()
        if noted is not None and operation.again is not Again.NEVER:
            noted.permit(needs_storage=operation.again is Again.WHILE_STORED)
        if self._access is not None and not self._access.admit_known(operation, values, request):
            refuse_keeping()
            admission = await self._access.admit(operation, values, request)
            values = admission.values
            if admission.is_hidden:
                parts = self._nothing
        if self._names is not None and (found.is_alias or operation.source is not None):
            values = await self._resolved(self._names, found, values, parts)
        try:
            for gate in found.gates:
                await gate.check(operation, values, request)
        except RegistryError as refusal:
            if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
                refusal.headers.setdefault("Allow", found.allow)
            raise
        return await operation.handler(parts, request, **values)

    async def _resolved(self, names: Names, found: _Found, values: Values, parts: object) -> Values:
        """Returns the values with the repositories that their names stand for."""
        resolved = dict(values)
        source = values.get("source")
        if source is not None and names.is_alias(source, found.operation):
            resolved["source"] = await names.resolve(source, parts)
        if found.is_alias:
            resolved["name"] = await names.resolve(values["name"], parts)
        return resolved

    def _find(self, method: str, path: str) -> _Found:
        for route in self._routes:
            if route.part not in path:
                continue
            match = route.path.fullmatch(path)
            if match is None:
                continue
            named = route.operations.get(method)
            if named is None:
                self._require_names(method, f"{path}/")
                raise RegistryError(
                    ErrorCode.UNSUPPORTED,
                    f"{method[:20]} is not possible at {route.shape}, which takes {route.allow}",
                    headers={"Allow": route.allow},
                )
            try:
                return self._found_in(route, named, route.values(match))
            except RegistryError as error:
                raise named[0].meaning_of(error) from None
        raise RegistryError(ErrorCode.NOT_FOUND, f"{self._what} has nothing at {path[:200]!r}")

    def _found_in(self, route: _Compiled, named: tuple[Operation, Sequence[Gate]], values: Values) -> _Found:
        operation, gates = named
        name = values.get("name")
        is_alias = name is not None and self._names is not None and self._names.is_alias(name, operation)
        return _Found(operation, gates, values, route.name, route.allow, is_alias)

    def _require_names(self, method: str, path: str) -> None:
        """Requires valid names in a path that would take a method, if there is one: that is what was meant.

        Raises:
            RegistryError: a parser's own.
        """
        for route in self._routes:
            match = route.path.fullmatch(path)
            if match is not None and method in route.operations:
                route.values(match)

    def _options(self, request: BaseRequest, path: str) -> StreamResponse:
        """Answers any path: a browser asks before it sends anything, without credentials, and gives up at an error."""
        allow = next((route.allow for route in self._routes if route.path.fullmatch(path)), "GET, HEAD")
        return respond(request, 200, {**self._headers, "Allow": allow}, b"")

    def _moved_to(self, path: str) -> str | None:
        """Returns where a path that leads nowhere leads with its slashes in order; None when nowhere either."""
        collapsed = collapse_slashes(path)
        if collapsed != path:
            return collapsed
        other = path[:-1] if path.endswith("/") else path + "/"
        return other if any(route.fits(other) for route in self._routes) else None


def _compile(
    route: Route, parsers: Mapping[str, Parser], gates: Sequence[Gate], decode: Callable[[str], str]
) -> _Compiled:
    names: list[str] = []

    def group(match: re.Match[str]) -> str:
        names.append(match[1])
        return "(.+)" if match[2] else "([^/]+)"

    parts = re.split(r"(\{\w+\*?\})", route.pattern)
    text = "".join(_PARAMETER.sub(group, part) if part.startswith("{") else re.escape(part) for part in parts)
    operations = dict(route.operations)
    if "GET" in operations:
        operations.setdefault("HEAD", operations["GET"])
    closed = frozenset[Action]().union(*(gate.actions for gate in gates if gate.closes))
    return _Compiled(
        re.compile(text),
        max((part for part in parts if not part.startswith("{")), key=len),
        [(name, parsers[name]) for name in names],
        {
            method: (each, [gate for gate in gates if each.action in gate.actions])
            for method, each in operations.items()
        },
        ", ".join(sorted(method for method, each in operations.items() if each.action not in closed)),
        _PARAMETER.sub(r"<\1>", route.pattern),
        route.name,
        decode,
    )
