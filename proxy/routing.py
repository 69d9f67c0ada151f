"""Which way a request goes. PURE: (client, method, raw target, policy) → decision.

The rules, all of them:
1. The path decides first. `/v1/...` and `/_ping` are v1 whoever asks: `Go 1.1 package http` also logs in for Docker
   1.6.2, and every client searches through v1 (WIRE sections 6 and 8).
2. Below `/v2/` the client decides. One older than 1.6 gets a bare 404 *without* `Docker-Distribution-Api-Version`: that
   makes it fall back to v1. All others, unknown ones too, go to v2.
3. Everything else the proxy answers itself.
The guide's literal rule (a setting) refuses below `/v2/` by its regular expression and sends everything else to v1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from backends.model.clients import ClientProfile
from proxy.settings import Rule

API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
_GUIDE = re.compile(r"(docker/1\.(3|4|5(?!\.[0-9]-dev))|Go )")
_MAX_AGENT = 1024


class Backend(Enum):
    """A registry behind the proxy."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the proxy itself that sends a client elsewhere."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Where a request goes.

    Attributes:
        backend: the registry; None when the proxy answers.
        reason: one sentence for log, header and `portside route`; printable ASCII.
        refusal: what the proxy answers; None with no backend means a page of its own.
        drop_authorization: the literal rule's empty `Authorization` towards v1.
        api_version: the literal rule's header on every answer below /v2/.
    """

    backend: Backend | None
    reason: str
    refusal: Refusal | None = None
    drop_authorization: bool = False
    api_version: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions depend on: the rule, and which registries there are."""

    rule: Rule = Rule.PORTSIDE
    backends: frozenset[Backend] = frozenset(Backend)


FALL_BACK = Refusal(404, "404 page not found\n")
_OWN = RouteDecision(None, "the proxy answers this path itself")
_TO_V1 = RouteDecision(Backend.V1, "the path is v1's, whoever asks")


def decide(client: ClientProfile, agent: str, raw_target: str, policy: Policy) -> RouteDecision:
    """Decides where a request goes.

    Args:
        client: what its User-Agent says.
        agent: the User-Agent itself, for the literal rule.
        raw_target: the request's target as it came, never decoded.
        policy: rule and registries.
    """
    path = raw_path(raw_target)
    if path.startswith("/v2/"):
        return _below_v2(client, policy) if policy.rule is Rule.PORTSIDE else _literal_v2(agent[:_MAX_AGENT], policy)
    if policy.rule is Rule.LITERAL:
        return _literal_rest(policy)
    if path.startswith("/v1/") or path in {"/v1", "/_ping"}:
        return _TO_V1 if Backend.V1 in policy.backends else _missing(Backend.V1)
    return _OWN


def raw_path(raw_target: str) -> str:
    """Returns the path of a target, still encoded: of `/path?query`, or of `http://host/path`."""
    path = raw_target.partition("?")[0]
    if path.startswith("/"):
        return path
    _, scheme, rest = path.partition("://")
    return "/" + rest.partition("/")[2] if scheme else path


@lru_cache(maxsize=1024)
def _below_v2(client: ClientProfile, policy: Policy) -> RouteDecision:
    if not client.speaks_v2:
        return RouteDecision(
            None, f"{client.text} is older than docker 1.6: a bare 404 makes it fall back to v1", FALL_BACK
        )
    if Backend.V2 not in policy.backends:
        return _missing(Backend.V2)
    return RouteDecision(Backend.V2, f"{client.text} speaks v2")


@lru_cache(maxsize=1024)
def _literal_v2(agent: str, policy: Policy) -> RouteDecision:
    if _GUIDE.match(agent):
        refusal = Refusal(404, FALL_BACK.body, (API_VERSION,))
        return RouteDecision(None, "the guide's expression refuses this User-Agent below /v2/", refusal)
    if Backend.V2 not in policy.backends:
        return _missing(Backend.V2)
    return RouteDecision(Backend.V2, "the guide's expression lets this User-Agent pass", api_version=True)


def _literal_rest(policy: Policy) -> RouteDecision:
    if Backend.V1 not in policy.backends:
        return _missing(Backend.V1)
    return RouteDecision(Backend.V1, "the guide sends everything else to v1", drop_authorization=True)


@lru_cache(maxsize=2)
def _missing(backend: Backend) -> RouteDecision:
    return RouteDecision(
        None,
        f"there is no {backend.value} registry behind this proxy",
        Refusal(404, f"there is no {backend.value} registry behind this proxy; gateway.upstreams names them\n"),
    )


def is_v1_push(method: str, raw_target: str) -> bool:
    """Whether a request begins or continues a push over v1."""
    return method == "PUT" and raw_path(raw_target).startswith(("/v1/repositories/", "/v1/images/"))
