"""The proxy's own answers: pages for people, refusals, and errors in the registries' own shapes. PURE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from backends.http.error_bodies import v1_error, v2_error
from backends.http.paths import collapse_slashes
from backends.http.text import printable
from backends.model.errors import RegistryError
from proxy.routing import API_VERSION, JSON, TEXT, Backend, RouteDecision, origin_form


@dataclass(frozen=True, slots=True)
class Answer:
    """A short answer: status, headers, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def own_answer(
    decision: RouteDecision, raw_target: str, accept: Sequence[str], *, client_address: str, v2_root: str = "/v2/"
) -> Answer:
    """Answers a request that is not for a registry.

    Args:
        decision: one without a backend.
        raw_target: the request's target.
        accept: the `Accept` lines; JSON is sent to who asks for it and not for text.
        client_address: `https://localhost:5000`, as the client used it.
        v2_root: the path that v2 is below.
    """
    if decision.refusal is not None:
        refusal = decision.refusal
        return Answer(refusal.status, (_typed(refusal.content_type), *refusal.headers), refusal.body.encode())
    target = origin_form(raw_target)
    path, mark, query = target.partition("?")
    moved = _moved_to(path, v2_root)
    if moved is not None:
        # Rooted, as distribution's: it is right behind whatever stands in front of the proxy.
        return Answer(301, (_typed(TEXT), ("Location", moved + mark + query)), f"see {moved}\n".encode())
    if path == "/favicon.ico":
        return Answer(404, (_typed(TEXT),), b"there is no icon\n")
    if path == "/":
        page = {
            "name": "Portside",
            "what": "a registry for every Docker client: one address, two protocols",
            "v2": f"{client_address}{v2_root}",
            "v1": f"{client_address}/v1/_ping",
        }
        return _page(200, accept, page)
    page = {
        "error": f"nothing is at {printable(path)[:200]}",
        "v2": f"{client_address}{v2_root} (Docker 1.6 and later)",
        "v1": f"{client_address}/v1/ (older ones)",
    }
    return _page(404, accept, page)


def _moved_to(path: str, v2_root: str) -> str | None:
    """Returns the address below /v2/ that was meant by `/v2` or `//v2/x`; None when none was."""
    collapsed = collapse_slashes(path)
    if collapsed == v2_root[:-1]:
        return v2_root
    return collapsed if collapsed != path and collapsed.startswith(v2_root) else None


def registry_error(backend: Backend, error: RegistryError) -> Answer:
    """Returns an error that the proxy met, such as a registry that cannot be reached, in that registry's own shape.

    The v2 answer carries `Docker-Distribution-Api-Version`, so that a client takes it for the registry's and does not
    fall back to v1.
    """
    if backend is Backend.V1:
        return Answer(error.status, (_typed(JSON),), v1_error(error.detail))
    return Answer(error.status, (_typed(JSON), API_VERSION), v2_error(error.code, error.detail))


def _page(status: int, accept: Sequence[str], lines: dict[str, str]) -> Answer:
    wanted = ",".join(accept).lower()
    if "json" in wanted and "text/" not in wanted:
        return Answer(status, (_typed(JSON),), json.dumps(lines).encode() + b"\n")
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return Answer(status, (_typed(TEXT),), printable_lines(text).encode())


def printable_lines(text: str) -> str:
    """Returns text with all but printable ASCII and line ends replaced: a page repeats what the client sent."""
    return "\n".join(map(printable, text.split("\n")))


def _typed(content_type: str) -> tuple[str, str]:
    return ("Content-Type", content_type)
