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

# Captures that show a state of the captured daemon, which other runs had left behind, or a race.
NOT_REPLAYED = {
    "20.10.24-pull_tls_v2": "the daemon had this very reference, so HEAD was all it asked",
}

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


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_a_replayed_command_sends_what_the_real_one_sent(run: Run, certificate: CertificateFiles) -> None:
    outcome, server = replay(run, certificate)
    assert blocks(lines_of(outcome.transcript.events)) == blocks(run.lines), outcome.output
    assert outcome.ok == (run.exit_status == 0), outcome.output
    expected = OUTCOMES.get(run.scenario, {}).get(run.version)
    assert expected in {None, outcome.statement}
    assert server.connections == len(run.lines)  # one connection a request
    for exchange in outcome.exchanges:
        if run.version in {"1.7.1", "1.10.3", "1.13.1", "20.10.24"}:
            continue
        allowed = SIGNATURES[run.version, endpoint_of(exchange.request)]
        assert signature_of(exchange.request) in allowed
