"""Connections, TLS, cookies, endpoints: what surrounds the requests of a replayed client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.captures import read_outcomes, read_runs
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.docker import VERSIONS, Docker
from tests.support.scenarios import Script, content_of, play
from tests.support.standin import Answer, Arrived, StandIn
from tests.support.wire import Address, FailedHandshake

V1_PUSHERS = ("1.0.1", "1.3.3", "1.5.0", "1.6.2", "1.9.1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def refuse_v2(arrived: Arrived) -> Answer:
    return Answer(404, (("Content-Type", "text/html"),), b"<html>404 Not Found</html>")


@pytest.mark.parametrize("version", VERSIONS)
def test_tls_is_as_new_as_the_release_knows_and_names_the_host(version: str, certificate: CertificateFiles) -> None:
    with StandIn(refuse_v2, certificate) as server:
        Docker(version, server.address("localhost")).pull("team/ml", "b")
    assert set(server.tls) == {"TLSv1.3" if version == "20.10.24" else "TLSv1.2"}
    assert set(server.sni) == {"localhost"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_of_another_authority_ends_the_command_before_any_request(
    version: str, certificate: CertificateFiles, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path)
    with StandIn(refuse_v2, certificate) as server:
        trusting = Docker(version, Address("localhost", server.port, certificate.ca)).pull("team/ml", "b")
        served = len(server.requests)
        strict = Docker(version, Address("localhost", server.port, other.ca)).pull("team/ml", "b")
    assert served == len(trusting.exchanges) > 0
    assert not strict.ok
    assert len(server.requests) == served
    assert all(isinstance(event, FailedHandshake) for event in strict.transcript.events)


@pytest.mark.parametrize("version", V1_PUSHERS)
@pytest.mark.parametrize("scenario", ["push_v1_cookies", "pull_v1_cookies"])
def test_cookies_go_out_after_the_first_index_call(version: str, scenario: str) -> None:
    run = next(run for run in read_runs(version) if run.scenario == scenario)
    content = content_of(run)
    script = Script(run, content)
    with StandIn(script) as server:
        outcome = play(run, script, content, server.address())
    session = [
        exchange.request for exchange in outcome.exchanges if exchange.request.target not in {"/v2/", "/v1/_ping"}
    ]
    assert [request.values("Cookie") for request in session] == [
        [],
        *[["session=abc.def"]] * (len(session) - 1),
    ]


@pytest.mark.parametrize("version", V1_PUSHERS)
def test_image_and_tag_calls_go_to_the_endpoint_that_the_index_names(version: str) -> None:
    run = next(run for run in read_runs(version) if run.scenario == "push_v1")
    content = content_of(run)
    script = Script(run, content)
    with StandIn(script) as elsewhere:

        def index(arrived: Arrived) -> Answer:
            answer = script(arrived)
            named = [(name, value) for name, value in answer.headers if name != "X-Docker-Endpoints"]
            here = ("X-Docker-Endpoints", f"127.0.0.1:{elsewhere.port}")
            return Answer(answer.status, (*named, here), answer.body)

        with StandIn(index) as server:
            outcome = play(run, script, content, server.address())
    assert outcome.ok, outcome.output
    assert {request.target.split("/")[2] for request in elsewhere.requests} == {"images", "repositories"}
    assert not any(request.target.startswith("/v1/images/") for request in server.requests)
    assert server.requests[-1].value("X-Docker-Endpoints") == f"http://127.0.0.1:{elsewhere.port}/v1/"


def refused_names() -> Iterator[tuple[str, str, str]]:
    namespaces = {"ns2": "ab", "ns3": "abc", "ns31": "a" * 31, "ns3dash": "a-b"}
    for kind, namespace in namespaces.items():
        for version, cell in read_outcomes()[f"push_v1_{kind}"].items():
            yield version, f"{namespace}/ml", cell


@pytest.mark.parametrize(("version", "name", "cell"), list(refused_names()))
def test_short_and_long_namespaces_are_refused_by_the_releases_that_refused_them(
    version: str, name: str, cell: str
) -> None:
    run = next(run for run in read_runs(version) if run.scenario == "push_v1")
    content = content_of(run)

    def renamed(arrived: Arrived) -> Answer:
        target = arrived.target.replace(f"/{name}/", "/team/ml/")
        return script(Arrived(arrived.method, target, arrived.headers, arrived.body))

    script = Script(run, content)
    with StandIn(renamed) as server:
        outcome = Docker(version, server.address()).push(name, "b", content.images["b"])
    assert outcome.statement == cell, outcome.output
