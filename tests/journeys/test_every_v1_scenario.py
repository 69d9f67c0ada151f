"""Every captured run in which a release of Docker spoke v1 is played against Portside, and ends as it ended.

A run is a row. Its client sends what the real one sent, and gets what the real one got: what a registry answers by
itself from Portside, what the capture put in between from the script (`tests/support/halfway.py`). The registry is
`portside v1` alone, and the v1 registry behind Portside's proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.replayer.test_sequences import NOT_REPLAYED, OUTCOMES, RACES
from tests.support.captures import Run, blocks, lines_of, read_runs
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.docker import VERSIONS, Docker
from tests.support.halfway import Halfway, natural_lines, without_v2
from tests.support.scenarios import Content, Script, content_of, play
from tests.support.standin import StandIn
from tests.support.v1_differences import Step, Table, send
from tests.support.v1_known import WHERE, serving
from tests.support.wire import Address

RUNS = [run for version in VERSIONS for run in read_runs(version) if any(" /v1/" in line for line in run.lines)]
# The registry of these captures answered with its tags in another order than Portside's, which is 0.9.1's.
OTHER_ORDER = {"1.12.6-pull_v1_all", "1.13.1-pull_v1_all"}
PLAYED = [run for run in RUNS if run.id not in NOT_REPLAYED]


@pytest.fixture(scope="module", params=WHERE)
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(request.param, Table("runs", {}, {}, {}), tmp_path_factory.mktemp("registry")) as port:
        yield port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("run", PLAYED, ids=lambda run: run.id)
def test_a_run_ends_on_portside_as_it_ended(run: Run, registry: int, certificate: CertificateFiles) -> None:
    content = content_of(run, image_of=f"ml of {run.id} on {registry}")
    prepare(run, content, registry)
    script = Script(run, content)
    halfway = Halfway(run, script, registry)
    secure = "_tls_" in run.scenario
    with StandIn(halfway, certificate if secure else None) as server:
        outcome = play(run, script, content, server.address("localhost" if secure else "127.0.0.1"))
    ordered = sorted if run.id in RACES | OTHER_ORDER else blocks
    assert ordered(lines_of(outcome.transcript.events)) == ordered(run.lines), outcome.output
    assert sorted(halfway.asked) == sorted(natural_lines(run.lines))
    assert outcome.ok == (run.exit_status == 0), outcome.output
    assert OUTCOMES.get(run.scenario, {}).get(run.version) in {None, outcome.statement}


def prepare(run: Run, content: Content, port: int) -> None:
    """Brings the registry into the state in which the captured one was: a repository with its tags, or none."""
    for name in {content.name, "team/ml"} - {""}:
        send(port, Step("DELETE", f"/v1/repositories/{name}/"))
    with StandIn(partial(without_v2, port)) as server:
        push_before(run, content, server.address())


def push_before(run: Run, content: Content, address: Address) -> None:
    verb = run.command.split(" ")[1]
    if verb == "search":
        found = content_of(run, image_of="ml that is found").images
        assert Docker("1.5.0", address).push_all("team/ml", found).ok
    if verb == "pull" and any(re.match(r"GET /v1/repositories/\S+/images 200", line) for line in run.lines):
        assert Docker(run.version, address).push_all(content.name, content.images).ok
        if "GET /v1/repositories/team/ml/tags/b 404 docker token" in run.lines:  # the other tags were still there
            assert Docker(run.version, address).push("team/ml", "other", content.images["b"]).ok
            deleted = send(address.port, Step("DELETE", "/v1/repositories/team/ml/tags/b"))
            assert deleted.status == "200"
    if verb == "push":
        there = sum(line.startswith("GET /v1/images/ID/json 200") for line in run.lines)
        looked = sum(line.startswith("GET /v1/images/ID/json") for line in run.lines)
        if there == looked > 0:
            assert Docker(run.version, address).push_all(content.name, content.images).ok
        elif there:
            tag = next(tag for tag, image in content.images.items() if len(image.layers) == there)
            assert Docker(run.version, address).push(content.name, tag, content.images[tag]).ok


def test_each_run_has_a_row_or_a_reason() -> None:
    assert len(RUNS) > 550
    assert {run.id for run in RUNS} == {run.id for run in PLAYED} | ({run.id for run in RUNS} & NOT_REPLAYED.keys())
    assert all(len(reason) > 10 for reason in NOT_REPLAYED.values())


def test_a_client_goes_where_the_first_answer_sends_it(tmp_path: Path) -> None:
    """What the captures do not show: an index that names another registry for everything that follows."""
    images = content_of(next(run for run in RUNS if run.id == "1.5.0-push_v1")).images
    (tmp_path / "index").mkdir()
    (tmp_path / "registry").mkdir()
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "volume")}}
    with serving("v1", Table("registry", {}, {"storage": storage}, {}), tmp_path / "registry") as there:
        settings = {"storage": storage, "gateway": {"v1": {"endpoints": f"127.0.0.1:{there}"}}}
        with serving("v1", Table("index", {}, settings, {}), tmp_path / "index") as index:
            for version in ("1.0.1", "1.5.0", "1.9.1"):
                for asks in (Docker.push_all, Docker.pull_all):
                    outcome = asks(
                        Docker(version, Address("127.0.0.1", index)),
                        f"team/by-{version}",
                        *[images][: asks is Docker.push_all],
                    )
                    assert outcome.ok, outcome.output
                    asked = [(urlsplit(each.request.url).port, each.request.target) for each in outcome.exchanges]
                    assert {port for port, target in asked if "/images/" in target or "/tags" in target} == {there}
