"""Where a request goes. PURE: (client, method, raw target, policy) → decision.

The rules, all of them:
1. The path decides first. `/v1/...` and `/_ping` are v1 for every client: `Go 1.1 package http` also logs in for Docker
   1.6.2, and every client searches through v1 (WIRE sections 6 and 8).
2. Below `/v2/` the client decides. One older than 1.6 gets a bare 404 *without* `Docker-Distribution-Api-Version`: that
   makes it fall back to v1. All others, unknown ones too, go to v2.
3. Everything else the proxy answers itself.
The guide's literal rule (a setting) refuses below `/v2/` by its regular expression and sends every other path to v1.

Where there is a prefix, `/v2/` stands for it and `/v2/` together; v1, whose clients know none, has its own paths.

Invariant: a target is looked at as it came. `/v2%2f`, `//v2/` and `/x/../v2/` are not below `/v2/`; what is below it is
read by the registry's own grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from backends.http.error_bodies import v1_error, v2_error
from backends.model.clients import ClientProfile
from backends.model.errors import ErrorCode
from proxy.settings import Rule

API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")
TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
_GUIDE = re.compile(r"(docker/1\.(3|4|5(?!\.[0-9]-dev))|Go )")
_PUSHED = ("/v1/repositories/", "/v1/images/")


class Why(Enum):
    """The kinds of reasons: a small closed set, for metrics."""

    PATH = "path"
    SPEAKS_V2 = "speaks_v2"
    OLDER_THAN_1_6 = "older_than_1_6"
    OWN = "own_path"
    MALFORMED = "malformed"
    NO_REGISTRY = "no_registry"
    GUIDE = "guide"
    V2_IS_DOWN = "v2_is_down"


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
    content_type: str = TEXT


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Where a request goes.

    Attributes:
        backend: the registry; None when the proxy answers.
        reason: one sentence for log, header and `portside route`; printable ASCII.
        why: the kind of reason, for metrics.
        refusal: what the proxy answers; None with no backend means a page of its own.
        only_while_v2_answers: a push over v1 by a client that speaks v2: while v2 is down it would land in the wrong
            registry in silence, so v2 is asked first.
        drop_authorization: the literal rule's empty `Authorization` towards v1.
        api_version: the literal rule's header on every answer below /v2/.
    """

    backend: Backend | None
    reason: str
    why: Why
    refusal: Refusal | None = None
    only_while_v2_answers: bool = False
    drop_authorization: bool = False
    api_version: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions depend on: the rule, which registries there are, and where v2 is."""

    rule: Rule = Rule.PORTSIDE
    backends: frozenset[Backend] = frozenset(Backend)
    v2_root: str = "/v2/"


class RouteClass(Enum):
    """What a method and a raw target mean, as far as the route depends on them."""

    BELOW_V2 = "below /v2/"
    V1 = "v1's"
    V1_PUSH = "a push over v1"
    OWN = "the proxy's own"
    NO_PATH = "no path"
    MALFORMED = "not a valid target"


FALL_BACK = Refusal(404, "404 page not found\n")
_NO_TARGET = Refusal(400, "a request's target cannot hold a '#': write it as %23\n")


def decide(client: ClientProfile, method: str, raw_target: str, policy: Policy) -> RouteDecision:
    """Decides where a request goes.

    Args:
        client: what its User-Agent says.
        method: `GET`, `PUT`.
        raw_target: the request's target as it came, never decoded.
        policy: rule and registries.
    """
    return decide_class(client, route_class(method, raw_target, policy.v2_root), policy)


def route_class(method: str, raw_target: str, v2_root: str = "/v2/") -> RouteClass:
    """Returns the class of a method and a target; v2 is below `v2_root`."""
    if "#" in raw_target:
        # No client may send a fragment, and some upstreams would never get what comes after it.
        return RouteClass.MALFORMED
    if raw_target.startswith(v2_root):
        return RouteClass.BELOW_V2
    path = raw_path(raw_target)
    if path.startswith(v2_root):
        return RouteClass.BELOW_V2
    if path.startswith("/v1/"):
        return RouteClass.V1_PUSH if method == "PUT" and path.startswith(_PUSHED) else RouteClass.V1
    if not path.startswith("/"):
        # `*`, or what CONNECT names: appended to a registry's address it would name another host.
        return RouteClass.NO_PATH
    return RouteClass.V1 if path in {"/v1", "/_ping"} else RouteClass.OWN


def decide_class(client: ClientProfile, route: RouteClass, policy: Policy) -> RouteDecision:
    """Decides where a request of a class goes."""
    if route is RouteClass.MALFORMED:
        return RouteDecision(None, "the target holds a '#', which no request's may", Why.MALFORMED, _NO_TARGET)
    if route is RouteClass.NO_PATH:
        return RouteDecision(None, "the target has no path, so it is for no registry", Why.OWN)
    literal = policy.rule is Rule.LITERAL
    if route is RouteClass.BELOW_V2:
        return _literal_v2(client, policy) if literal else _below_v2(client, policy)
    if route is RouteClass.OWN and not literal:
        return RouteDecision(None, "the proxy answers this path itself", Why.OWN)
    if Backend.V1 not in policy.backends:
        return _missing(Backend.V1, v1_error(_MISSING.format("v1")).decode())
    asks = route is RouteClass.V1_PUSH and client.speaks_v2 and Backend.V2 in policy.backends
    reason = "the guide sends everything else to v1" if literal else "every /v1/ path goes to v1"
    why = Why.GUIDE if literal else Why.PATH
    return RouteDecision(Backend.V1, reason, why, only_while_v2_answers=asks, drop_authorization=literal)


def raw_path(raw_target: str) -> str:
    """Returns the path of a target, still encoded: of `/path?query`, or of `http://host/path`."""
    return origin_form(raw_target).partition("?")[0]


def origin_form(raw_target: str) -> str:
    """Returns a target without the `http://host` of the absolute form; `*` and the like stay as they are."""
    if raw_target.startswith("/"):
        return raw_target
    _, scheme, rest = raw_target.partition("://")
    if not scheme:
        return raw_target
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    target = rest[len(authority) :]
    return target if target.startswith("/") else "/" + target


def _below_v2(client: ClientProfile, policy: Policy) -> RouteDecision:
    if not client.speaks_v2:
        reason = f"{client.text} is older than docker 1.6: a bare 404 makes it fall back to v1"
        return RouteDecision(None, reason, Why.OLDER_THAN_1_6, FALL_BACK)
    if Backend.V2 not in policy.backends:
        return _missing(Backend.V2, _missing_v2())
    return RouteDecision(Backend.V2, f"{client.text} speaks v2", Why.SPEAKS_V2)


def _literal_v2(client: ClientProfile, policy: Policy) -> RouteDecision:
    if _GUIDE.match(client.agent):
        refusal = Refusal(404, FALL_BACK.body, (API_VERSION,))
        return RouteDecision(None, "the guide's expression refuses this User-Agent below /v2/", Why.GUIDE, refusal)
    if Backend.V2 not in policy.backends:
        return _missing(Backend.V2, _missing_v2(), API_VERSION)
    return RouteDecision(Backend.V2, "the guide's expression lets this User-Agent pass", Why.GUIDE, api_version=True)


_MISSING = "there is no {0} registry behind this proxy; gateway.{0}.upstream names one"


def _missing_v2() -> str:
    # Without the header of the API's version this sends Docker up to 1.13 to v1; later ones show the message.
    return v2_error(ErrorCode.UNSUPPORTED, _MISSING.format("v2"), message="there is no v2 registry here").decode()


def _missing(backend: Backend, body: str, *headers: tuple[str, str]) -> RouteDecision:
    reason = f"there is no {backend.value} registry behind this proxy"
    return RouteDecision(None, reason, Why.NO_REGISTRY, Refusal(404, body, headers, JSON))
