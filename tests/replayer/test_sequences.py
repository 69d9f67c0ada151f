"""What the replayer sends is what the real programs sent, request by request, in order."""

from __future__ import annotations

import pytest

from tests.support.captures import (
    Run,
    blocks,
    endpoint_of,
    lines_of,
    read_outcomes,
    read_runs,
    read_signatures,
    signature_of,
)  # fmt: skip
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.docker import VERSIONS, Outcome
from tests.support.scenarios import Script, content_of, play
from tests.support.standin import StandIn

KNEW_LAYERS = (
    ("1.10.3", "realv1_push"),
    ("1.12.6", "realv1_push"),
    ("1.13.1", "realv1_push"),
    ("1.13.1", "push_v1_setup"),
)
# Captures that show a state of the captured daemon, which other runs had left behind, or a race.
NOT_REPLAYED = {
    "1.0.1-pull_both_all": "the command line refused -a; nothing was sent",
    "1.9.1-pull_both_all": "the two tags shared no layers",
    "1.10.3-pull_both_all": "the daemon had one of the tags",
    "1.13.1-pull_both_all": "the two tags shared no layers",
    "1.10.3-pull_v1_all": "the tags had been pushed by an older release, with ids of its own",
    "1.10.3-push_both_alltags": "the registry had lost one configuration",
    "1.12.6-real_push_all": "the registry had one configuration only",
    "1.13.1-push_ping_500": "the daemon forgot, between two tries, that it knew two of the layers",
    "1.13.1-push_v1_layer503": "the daemon knew two of the three layers",
    "20.10.24-pull_tls_v2": "the daemon had this very reference, so HEAD was all it asked",
    **{
        f"{version}-{verb}_v1_otherendpoint": "what was asked of the other endpoint is not in the capture"
        for version in VERSIONS
        for verb in ("push", "pull")
    },
    **{
        f"{version}-pull_v1_{missing}": "the registry had lost the tag"
        for version in ("1.0.1", "1.3.3", "1.5.0", "1.6.2")
        for missing in ("notoken", "noendpoints")
    },
    **{f"{version}-{run}": "the daemon knew the layers from another repository" for version, run in KNEW_LAYERS},
    "1.10.3-push_v1_setup": "the daemon knew two of the three layers",
    "1.12.6-push_v1_setup": "the daemon knew two of the three layers",
    "1.13.1-pull_v2all_404text_noapi": "another release pulled at the same time",
    "1.13.1-push_v2all_404html_noapi": "the daemon knew two of the three layers",
}

# Captures in which two things ran at the same time; what was sent is compared, not the order.
RACES = {"1.5.0-pull_tls_v2", "1.10.3-push_v1_layer500", "1.12.6-push_v1_layer503"}

RUNS = [run for version in VERSIONS for run in read_runs(version) if run.id not in NOT_REPLAYED]
OUTCOMES = read_outcomes()
SIGNATURES = read_signatures()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def replay(run: Run, certificate: CertificateFiles) -> tuple[Outcome, StandIn]:
    content = content_of(run)
    script = Script(run, content)
    secure = "_tls_" in run.scenario
    with StandIn(script, certificate if secure else None) as server:
        outcome = play(run, script, content, server.address("localhost" if secure else "127.0.0.1"))
    return outcome, server


def allowed_signatures(version: str, endpoint: str) -> set[str]:
    """The orders of headers on file; four releases lie between those on file and are checked against both."""

    def of(neighbour: str, tail: str = "") -> set[str]:
        found = SIGNATURES.get((neighbour, endpoint), set())
        return {signature.replace(f"docker/{neighbour}", f"docker/{version}") + tail for signature in found}

    match version:
        case "1.7.1" if endpoint == "GET /v1/search":
            return {"Host User-Agent:docker/1.7.1 Accept-Encoding"}  # its sequences show no X-Docker-Token
        case "1.7.1":
            return of("1.6.2") | of("1.9.1")
        case "1.10.3" | "1.13.1":
            return of("1.12.6") | of("1.9.1", " Connection:close")
        case "20.10.24":
            endpoint = endpoint.replace("HEAD /v2/NAME/manifests", "GET /v2/NAME/manifests")
            return {
                signature.replace(f"docker/{version}", f"docker/{version}+dfsg1")
                for signature in of("1.12.6") | {item.replace(" Content-Type: ", " ") for item in of("1.12.6")}
            }
        case _:
            return of(version)


def without_oci(signature: str, method: str) -> str:
    """20.10 adds two types to 1.12's, and HEAD carries no Accept-Encoding."""
    words = [word for word in signature.split(" ") if not word.startswith("Accept:application/vnd.oci.")]
    if method == "HEAD" and any(word.startswith("Accept:") for word in words):
        words.insert(-1, "Accept-Encoding")
    return " ".join(words)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_a_replayed_command_sends_what_the_real_one_sent(run: Run, certificate: CertificateFiles) -> None:
    outcome, server = replay(run, certificate)
    ordered = sorted if run.id in RACES else blocks
    assert ordered(lines_of(outcome.transcript.events)) == ordered(run.lines), outcome.output
    assert outcome.ok == (run.exit_status == 0), outcome.output
    expected = OUTCOMES.get(run.scenario, {}).get(run.version)
    assert expected in {None, outcome.statement}
    assert server.connections == len(run.lines)  # one connection a request
    for exchange in outcome.exchanges:
        allowed = allowed_signatures(run.version, endpoint_of(exchange.request))
        signature = signature_of(exchange.request)
        if run.version == "20.10.24":
            signature = without_oci(signature, exchange.request.method)
        assert signature in allowed
