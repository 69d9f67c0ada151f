"""Which way each client's requests go, and that the reason can be written anywhere."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.clients import parse_user_agent
from proxy.routing import (
    FALL_BACK,
    Backend,
    Policy,
    RouteDecision,
    Why,
    decide,
    origin_form,
    raw_path,
)
from proxy.settings import Rule

PORTSIDE = Policy()
LITERAL = Policy(Rule.LITERAL)
ONLY_V1 = Policy(backends=frozenset({Backend.V1}))
ONLY_V2 = Policy(backends=frozenset({Backend.V2}))
TAIL = " go/go1.4.1 git-commit/a8a31ef kernel/3.16 os/linux arch/amd64"


def _decide(agent: str | None, method: str, target: str, policy: Policy = PORTSIDE) -> RouteDecision:
    return decide(parse_user_agent(agent), method, target, policy)


BELOW = Policy(v2_root="/team/v2/")


@pytest.mark.parametrize(
    ("target", "backend"),
    [
        ("/team/v2/", Backend.V2),
        ("/team/v2/x?y=/v1/", Backend.V2),
        ("http://host/team/v2/", Backend.V2),
        ("/v2/", None),
        ("/team/v2", None),
        ("/team/v1/_ping", None),
        ("/v1/_ping", Backend.V1),
        ("/team//v2/", None),
    ],
)
def test_with_a_prefix_v2_is_below_it_alone(target: str, backend: Backend | None) -> None:
    assert _decide("docker/24.0.7", "GET", target, BELOW).backend is backend
    refused = _decide("docker/1.5.0", "GET", target, BELOW)
    assert (refused.refusal == FALL_BACK) == (backend is Backend.V2)


# Agent; whether our rule sends it to v1; whether the guide's expression does. Each row of WIRE section 8's table.
AGENTS: list[tuple[str, bool, bool]] = [
    ("Go 1.1 package http", True, True),
    ("docker/1.0.1" + TAIL, True, False),
    ("docker/1.1.2" + TAIL, True, False),
    ("docker/1.2.0" + TAIL, True, False),
    ("docker/1.3.3" + TAIL, True, True),
    ("docker/1.4.1" + TAIL, True, True),
    ("docker/1.4.1-dev" + TAIL, True, True),
    ("docker/1.5.0" + TAIL, True, True),
    ("docker/1.5.0-rc4" + TAIL, True, True),
    ("docker/1.5.0-dev" + TAIL, False, False),
    ("docker/1.5.0-dev", False, False),
    ("docker/1.5.10-dev" + TAIL, False, True),
    ("docker/1.6.0-rc1" + TAIL, False, False),
    ("docker/1.6.2" + TAIL, False, False),
    ("docker/1.7.1" + TAIL, False, False),
    ("docker/1.9.1" + TAIL, False, False),
    ("docker/1.10.3" + TAIL, False, False),
    ("docker/1.12.6 go/go1.6.4 git-commit/78d1802 kernel/6.18 os/linux arch/amd64", False, False),
    ("docker/1.13.1" + TAIL, False, False),
    ("docker/17.03.0-ce" + TAIL, False, False),
    ("docker/20.10.24+dfsg1" + TAIL, False, False),
    ("docker/28.2.2" + TAIL, False, False),
    ("docker/3.0.0", False, False),
    ("docker/0.0.0-20190424223053-cfe423a" + TAIL, False, False),
    ("docker/0.0.0-dev" + TAIL, False, False),
    ("docker/library-import", False, False),
    ("docker/1a2b3c4", False, False),
    ("docker/1.30.0", False, True),
    ("Go-http-client/1.1", False, False),
    ("Go-http-client/2.0", False, False),
    ("python-requests/2.31.0", False, False),
    ("docker-py/1.10.6", False, False),
    ("containerd/1.6.20", False, False),
    ("containerd/v2.0.0", False, False),
    ("buildkit/v0.12.5", False, False),
    ("kaniko/v1.9.1", False, False),
    ("go-containerregistry/v0.19.1", False, False),
    ("crane/v0.19.1 go-containerregistry/v0.19.1", False, False),
    ("Watchtower (Docker)", False, False),
    ("containers/5.23.1 (github.com/containers/image)", False, False),
    ("skopeo/1.9.3", False, False),
    ("Buildah/1.28.2", False, False),
    ("libpod/4.3.1", False, False),
    ("Helm/3.14.0", False, False),
    ("", False, False),
    ("Docker/1.5.0", False, False),
    ("Docker-Client/1.12.6 (linux)", False, False),
    ("curl/7.88.1", False, False),
]


@pytest.mark.parametrize(("agent", "old", "refused_by_the_guide"), AGENTS)
def test_below_v2_the_client_decides(agent: str, old: bool, refused_by_the_guide: bool) -> None:  # noqa: FBT001 - a table
    for method, target in (("GET", "/v2/"), ("HEAD", "/v2/a/manifests/b"), ("POST", "/v2/a/blobs/uploads/?mount=x")):
        decision = _decide(agent, method, target)
        if old:
            assert (decision.backend, decision.refusal, decision.why) == (None, FALL_BACK, Why.OLDER_THAN_1_6)
        else:
            assert (decision.backend, decision.refusal, decision.why) == (Backend.V2, None, Why.SPEAKS_V2)
        literal = _decide(agent, method, target, LITERAL)
        assert (literal.backend is None) == refused_by_the_guide
        assert literal.api_version != refused_by_the_guide


def test_an_old_client_is_refused_without_the_header_that_would_keep_it() -> None:
    assert FALL_BACK.status == 404
    assert FALL_BACK.headers == ()


def test_the_guide_refuses_with_the_header() -> None:
    refusal = _decide("docker/1.5.0", "GET", "/v2/", LITERAL).refusal
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (404, (("Docker-Distribution-Api-Version", "registry/2.0"),))


@pytest.mark.parametrize(
    "agent", ["Go 1.1 package http", "docker/1.0.1", "docker/1.6.2", "docker/28.0.0", "", "x" * 70_000]
)
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/_ping"),
        ("POST", "/v1/users/"),
        ("GET", "/v1/search?q=ml&n=25"),
        ("PUT", "/v1/repositories/a/b/"),
        ("GET", "/v1/images/x/ancestry"),
        ("GET", "/v1/"),
        ("GET", "/v1"),
        ("GET", "/_ping"),
        ("GET", "/_ping?x"),
    ],
)
def test_the_path_decides_first_whoever_asks(agent: str, method: str, target: str) -> None:
    decision = _decide(agent, method, target)
    assert (decision.backend, decision.drop_authorization) == (Backend.V1, False)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?x=/v2/",
        "/v2",
        "/v2?x",
        "/favicon.ico",
        "/v3/",
        "/v2x/",
        "/V2/",
        "//v2/",
        "/v2%2f",
        "/%76%32/",
        "/x/../v2/",
        "/./v2/",
        "\\v2\\",
        "*",
        "v2/",
        "http://h",
        "http://h?/v2/",
        "http://h//v2/",
        "example.org:443",
        "/v1x/",
        "/v10/",
    ],
)
def test_the_proxy_answers_what_is_not_below_a_registry(target: str) -> None:
    decision = _decide("docker/28.0.0", "GET", target)
    assert (decision.backend, decision.refusal, decision.why) == (None, None, Why.OWN)


@pytest.mark.parametrize(
    "target",
    [
        "/v2/",
        "/v2//",
        "/v2/../v1/_ping",
        "/v2/a%2fb/blobs/x",
        "/v2/%00",
        "/v2/?x",
        "http://h:1/v2/",
        "HTTPS://h/v2/a?b=c",
    ],
)
def test_what_begins_with_v2_is_v2s_as_it_came(target: str) -> None:
    assert _decide("docker/28.0.0", "GET", target).backend is Backend.V2


@pytest.mark.parametrize("policy", [PORTSIDE, LITERAL])
@pytest.mark.parametrize("target", ["/v2/#", "/v2/a/tags/list#x", "/#", "/v1/_ping?a#b"])
def test_a_target_with_a_fragment_is_refused(target: str, policy: Policy) -> None:
    decision = _decide("curl/8", "GET", target, policy)
    assert decision.backend is None
    assert decision.refusal is not None
    assert decision.refusal.status == 400


@pytest.mark.parametrize("target", ["/", "/v1/_ping", "/v2", "/favicon.ico", "/x"])
def test_the_guide_sends_everything_else_to_v1_without_credentials(target: str) -> None:
    decision = _decide("docker/28.0.0", "GET", target, LITERAL)
    assert (decision.backend, decision.drop_authorization, decision.api_version) == (Backend.V1, True, False)


@pytest.mark.parametrize("policy", [PORTSIDE, LITERAL])
@pytest.mark.parametrize("target", ["*", "example.org:443", "@example.org:443", "x@example.org", ".example.org:80", ""])
def test_a_target_without_a_path_is_for_no_registry(target: str, policy: Policy) -> None:
    decision = _decide("docker/28.0.0", "CONNECT", target, policy)
    assert (decision.backend, decision.refusal, decision.why) == (None, None, Why.OWN)


@given(st.text(max_size=40), st.sampled_from([PORTSIDE, LITERAL]))
def test_what_goes_to_a_registry_begins_with_a_slash(target: str, policy: Policy) -> None:
    for method in ("GET", "CONNECT"):
        if _decide("docker/28.0.0", method, target, policy).backend is not None:
            assert origin_form(target).startswith("/")


@pytest.mark.parametrize(
    ("agent", "method", "target", "asks"),
    [
        ("docker/1.6.2", "PUT", "/v1/repositories/a/b/", True),
        ("docker/1.6.2", "PUT", "/v1/images/x/layer", True),
        ("docker/1.13.1", "PUT", "/v1/repositories/a/b/tags/c", True),
        ("docker/1.6.2", "PUT", "http://h/v1/images/x/json", True),
        ("docker/1.5.0", "PUT", "/v1/repositories/a/b/", False),
        ("Go 1.1 package http", "PUT", "/v1/images/x/layer", False),
        ("docker/1.6.2", "GET", "/v1/repositories/a/b/images", False),
        ("docker/1.6.2", "POST", "/v1/users/", False),
        ("docker/1.6.2", "PUT", "/v1/users/x", False),
        ("docker/28.0.0", "PUT", "/v2/a/manifests/b", False),
    ],
)
def test_only_a_v1_push_of_a_client_that_speaks_v2_asks_v2_first(
    agent: str,
    method: str,
    target: str,
    asks: bool,  # noqa: FBT001 - a table
) -> None:
    assert _decide(agent, method, target).only_while_v2_answers is asks
    assert _decide(agent, method, target, ONLY_V1).only_while_v2_answers is False


def test_a_registry_that_is_not_there_is_named_in_the_shape_its_clients_read() -> None:
    v2 = _decide("docker/28.0.0", "GET", "/v2/", ONLY_V1)
    assert v2.why is Why.NO_REGISTRY
    assert v2.refusal is not None
    assert (v2.refusal.status, v2.refusal.headers) == (404, ())
    (error,) = json.loads(v2.refusal.body)["errors"]
    assert (error["code"], error["message"]) == ("UNSUPPORTED", "there is no v2 registry here")
    assert "gateway.v2.upstream" in error["detail"]["reason"]
    v1 = _decide("docker/1.5.0", "GET", "/v1/_ping", ONLY_V2)
    assert v1.refusal is not None
    assert v1.refusal.body.startswith('{"error": ')
    assert _decide("docker/1.5.0", "GET", "/v2/", ONLY_V2).refusal == FALL_BACK
    literal = _decide("docker/28.0.0", "GET", "/v2/", Policy(Rule.LITERAL, frozenset({Backend.V1})))
    assert literal.refusal is not None
    assert literal.refusal.headers == (("Docker-Distribution-Api-Version", "registry/2.0"),)


@pytest.mark.parametrize(
    ("target", "form", "path"),
    [
        ("/v2/?a=b", "/v2/?a=b", "/v2/"),
        ("http://h:5000/v2/a%2fb?x=http://y/", "/v2/a%2fb?x=http://y/", "/v2/a%2fb"),
        ("http://h", "/", "/"),
        ("http://h?x", "/?x", "/"),
        ("http://h//v2/", "//v2/", "//v2/"),
        ("*", "*", "*"),
        ("/a://b/c", "/a://b/c", "/a://b/c"),
    ],
)
def test_the_absolute_form_is_read_as_the_origin_form(target: str, form: str, path: str) -> None:
    assert (origin_form(target), raw_path(target)) == (form, path)


@given(st.text(max_size=400), st.text(max_size=400), st.sampled_from([PORTSIDE, LITERAL, ONLY_V1, ONLY_V2]))
def test_a_reason_is_one_printable_line_whatever_was_sent(agent: str, target: str, policy: Policy) -> None:
    for way in (target, "/v2/" + target, "/v1/" + target):
        decision = _decide(agent, "GET", way, policy)
        assert re.fullmatch(r"[ -~]{1,240}", decision.reason)


@given(st.text(max_size=300))
def test_a_hostile_version_cannot_write_into_a_reason(rest: str) -> None:
    for agent in (f"docker/1.5.0{rest}", f"docker/28.0.0-{rest}", f"x/1 ({rest}"):
        assert re.fullmatch(r"[ -~]{1,240}", _decide(agent, "GET", "/v2/").reason)
