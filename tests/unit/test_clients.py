"""Who a User-Agent says it is, and what that client can speak (WIRE section 8, USER_AGENTS)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.clients import UNNAMED, ClientProfile, Generation, parse_user_agent
from tests.support.cpu_time import cpu_seconds

TAIL = " go/go1.4.1 git-commit/a8a31ef kernel/3.16 os/linux arch/amd64"
UPSTREAM = r" UpstreamClient(Docker-Client/28.2.2 \(linux\))"

V1, SCHEMA1, SCHEMA2, MODERN = Generation.V1, Generation.SCHEMA1, Generation.SCHEMA2, Generation.MODERN

# agent, product, version, what follows, generation
TABLE: list[tuple[str, str, tuple[int, ...], str, Generation]] = [
    # WIRE's captures
    ("Go 1.1 package http", "Go", (), "", V1),
    ("docker/1.0.1 go/go1.2.1 git-commit/990021a kernel/K os/linux arch/amd64", "docker", (1, 0, 1), "", V1),
    ("docker/1.3.3 go/go1.3.3 git-commit/d344625 kernel/K os/linux arch/amd64", "docker", (1, 3, 3), "", V1),
    ("docker/1.5.0" + TAIL, "docker", (1, 5, 0), "", V1),
    ("docker/1.6.2" + TAIL, "docker", (1, 6, 2), "", SCHEMA1),
    ("docker/1.7.1" + TAIL, "docker", (1, 7, 1), "", SCHEMA1),
    ("docker/1.9.1" + TAIL, "docker", (1, 9, 1), "", SCHEMA1),
    ("docker/1.10.3" + TAIL, "docker", (1, 10, 3), "", SCHEMA2),
    ("docker/1.12.6" + TAIL + r" UpstreamClient(Docker-Client/1.12.6 \(linux\))", "docker", (1, 12, 6), "", SCHEMA2),
    ("docker/1.13.1" + TAIL + r" UpstreamClient(Docker-Client/1.13.1 \(linux\))", "docker", (1, 13, 1), "", SCHEMA2),
    ("docker/20.10.24+dfsg1" + TAIL + UPSTREAM, "docker", (20, 10, 24), "dfsg1", MODERN),
    # The rest of WIRE's table
    ("docker/1.1.2" + TAIL, "docker", (1, 1, 2), "", V1),
    ("docker/1.2.0" + TAIL, "docker", (1, 2, 0), "", V1),
    ("docker/1.4.1" + TAIL, "docker", (1, 4, 1), "", V1),
    ("docker/1.4.1-dev" + TAIL, "docker", (1, 4, 1), "dev", V1),
    ("docker/1.5.0-rc4" + TAIL, "docker", (1, 5, 0), "rc4", V1),
    ("docker/1.5.0-dev" + TAIL, "docker", (1, 5, 0), "dev", SCHEMA1),
    ("docker/1.5.0-dev", "docker", (1, 5, 0), "dev", SCHEMA1),
    ("docker/1.5.10-dev" + TAIL, "docker", (1, 5, 10), "dev", SCHEMA1),
    ("docker/1.6.0-rc1" + TAIL, "docker", (1, 6, 0), "rc1", SCHEMA1),
    ("docker/17.03.0-ce" + TAIL, "docker", (17, 3, 0), "ce", SCHEMA2),
    ("docker/28.2.2" + TAIL, "docker", (28, 2, 2), "", MODERN),
    ("docker/3.0.0", "docker", (3, 0, 0), "", SCHEMA2),
    ("docker/1.30.0", "docker", (1, 30, 0), "", SCHEMA2),
    ("Go-http-client/1.1", "Go-http-client", (1, 1), "", MODERN),
    ("Go-http-client/2.0", "Go-http-client", (2, 0), "", MODERN),
    ("python-requests/2.31.0", "python-requests", (2, 31, 0), "", MODERN),
    ("docker-py/1.10.6", "docker-py", (1, 10, 6), "", MODERN),
    ("containerd/1.6.20", "containerd", (1, 6, 20), "", MODERN),
    ("containerd/v2.0.0", "containerd", (2, 0, 0), "", MODERN),
    ("buildkit/v0.12.5", "buildkit", (0, 12, 5), "", MODERN),
    ("kaniko/v1.9.1", "kaniko", (1, 9, 1), "", MODERN),
    ("go-containerregistry/v0.19.1", "go-containerregistry", (0, 19, 1), "", MODERN),
    ("crane/v0.19.1 go-containerregistry/v0.19.1", "crane", (0, 19, 1), "", MODERN),
    ("Watchtower (Docker)", "Watchtower", (), "", MODERN),
    ("containers/5.23.1 (github.com/containers/image)", "containers", (5, 23, 1), "", MODERN),
    ("skopeo/1.9.3", "skopeo", (1, 9, 3), "", MODERN),
    ("Buildah/1.28.2", "Buildah", (1, 28, 2), "", MODERN),
    ("libpod/4.3.1", "libpod", (4, 3, 1), "", MODERN),
    ("Helm/3.14.0", "Helm", (3, 14, 0), "", MODERN),
    # No Docker ever said it with a capital letter: this is some other program.
    ("Docker/1.5.0", "Docker", (1, 5, 0), "", MODERN),
    ("Docker-Client/1.12.6 (linux)", "Docker-Client", (1, 12, 6), "", MODERN),
    ("curl/7.88.1", "curl", (7, 88, 1), "", MODERN),
    # USER_AGENTS
    (
        "docker/29.7.2 go/go1.26.6 kernel/6.18 containerd-client/2.3.3+unknown storage-driver/overlayfs" + UPSTREAM,
        "docker",
        (29, 7, 2),
        "",
        MODERN,
    ),
    ("Docker-Client/28.2.2 (linux)", "Docker-Client", (28, 2, 2), "", MODERN),
    ("Docker-Client/29.7.2 (linux)", "Docker-Client", (29, 7, 2), "", MODERN),
    ("buildkit/v0.32", "buildkit", (0, 32), "", MODERN),
    ("containerd/2.3.3+unknown", "containerd", (2, 3, 3), "unknown", MODERN),
    ("containerd/1.6.20~ds1", "containerd", (1, 6, 20), "ds1", MODERN),
    ("containerd/2.2.7", "containerd", (2, 2, 7), "", MODERN),
    ("skopeo/1.22.2", "skopeo", (1, 22, 2), "", MODERN),
    ("containers/5.39.2 (github.com/containers/image)", "containers", (5, 39, 2), "", MODERN),
    ("crane/v0.21.9 go-containerregistry/v0.21.9", "crane", (0, 21, 9), "", MODERN),
    ("regclient/regctl (v0.11.5)", "regclient/regctl", (0, 11, 5), "", MODERN),
    ("oras/1.3.3", "oras", (1, 3, 3), "", MODERN),
    ("python-requests/2.34.2", "python-requests", (2, 34, 2), "", MODERN),
    ("distribution-spec-conformance-tests", "distribution-spec-conformance-tests", (), "", MODERN),
    # Editions, dates with leading zeros, builds of distributions
    ("docker/17.03.1-ce" + TAIL, "docker", (17, 3, 1), "ce", SCHEMA2),
    ("docker/17.06.2-ee-16" + TAIL, "docker", (17, 6, 2), "ee-16", SCHEMA2),
    ("docker/18.09.1-beta1", "docker", (18, 9, 1), "beta1", SCHEMA2),
    ("docker/19.03.15", "docker", (19, 3, 15), "", SCHEMA2),
    ("docker/1.13.1-cs9", "docker", (1, 13, 1), "cs9", SCHEMA2),
    ("docker/1.12.6.el7", "docker", (1, 12, 6), "el7", SCHEMA2),
    ("docker/1.6.2+dfsg1~ubuntu", "docker", (1, 6, 2), "dfsg1~ubuntu", SCHEMA1),
    ("docker/1.5.0-dev+ab12", "docker", (1, 5, 0), "dev+ab12", SCHEMA1),
    ("docker/1.5.0-develop", "docker", (1, 5, 0), "develop", V1),
    ("docker/1.6", "docker", (1, 6), "", SCHEMA1),
    ("docker/0.12.0", "docker", (0, 12, 0), "", V1),
    ("docker/0.1.0", "docker", (0, 1, 0), "", V1),
    ("docker/0.7.6-dev", "docker", (0, 7, 6), "dev", V1),
    ("docker/1.3.3-el6", "docker", (1, 3, 3), "el6", V1),
    ("docker/1.5.0~dfsg1", "docker", (1, 5, 0), "dfsg1", V1),
    ("docker/1.8.2-el7.centos" + TAIL, "docker", (1, 8, 2), "el7.centos", SCHEMA1),
    ("docker/1.8.2.fc21", "docker", (1, 8, 2), "fc21", SCHEMA1),
    ("docker/1.13.1-ubuntu" + TAIL, "docker", (1, 13, 1), "ubuntu", SCHEMA2),
    ("docker/18.09.1+dfsg1", "docker", (18, 9, 1), "dfsg1", SCHEMA2),
    ("docker/20.10.21-ce-0ubuntu1~22.04", "docker", (20, 10, 21), "ce-0ubuntu1~22.04", MODERN),
    ("docker/v25.0.3", "docker", (25, 0, 3), "", MODERN),
    # Not releases: development branches, nightly builds, source, the engine as a library of another program
    ("docker/17.06.0-dev", "docker", (17, 6, 0), "dev", SCHEMA2),
    ("docker/20.10.0-dev", "docker", (20, 10, 0), "dev", MODERN),
    ("docker/0.0.0-20190424223053-cfe423a" + TAIL, "docker", (), "20190424223053-cfe423a", MODERN),
    ("docker/0.0.0-20180720214833-f61e0f7" + UPSTREAM, "docker", (), "20180720214833-f61e0f7", MODERN),
    ("docker/0.0.0-dev" + TAIL, "docker", (), "dev", MODERN),
    ("docker/0.0.0", "docker", (), "", MODERN),
    ("docker/0.0.1-dev", "docker", (), "dev", MODERN),
    ("docker/v0.0.0+unknown", "docker", (), "unknown", MODERN),
    ("docker/0", "docker", (), "", MODERN),
    ("docker/1", "docker", (), "", MODERN),
    ("docker/1a2b3c4", "docker", (), "a2b3c4", MODERN),
    ("docker/0a1b2c3" + TAIL, "docker", (), "a1b2c3", MODERN),
    ("docker/5d6db84", "docker", (), "d6db84", MODERN),
    ("docker/20190424223053-cfe423a", "docker", (), "23053-cfe423a", MODERN),
    ("docker/library-import", "docker", (), "", MODERN),
    ("docker/library-import go/go1.22 git-commit/library-import os/linux", "docker", (), "", MODERN),
    ("docker/dev" + TAIL, "docker", (), "", MODERN),
    ("docker/master" + TAIL, "docker", (), "", MODERN),
    ("docker/unknown-version", "docker", (), "", MODERN),
    ("docker/cfe423a", "docker", (), "", MODERN),
    ("docker/main-1.5.0", "docker", (), "", MODERN),
    ("docker", "docker", (), "", MODERN),
    ("Docker-Client/unknown-version (linux)", "Docker-Client", (), "", MODERN),
    ("Docker-Client/dev (linux)", "Docker-Client", (), "", MODERN),
    (
        "Docker-Client/0.0.0-20190424223053-cfe423a (linux)",
        "Docker-Client",
        (0, 0, 0),
        "20190424223053-cfe423a",
        MODERN,
    ),
    # Other programs
    ("Go away", "Go", (), "", MODERN),
    ("Go 1.1", "Go", (), "", MODERN),
    (" docker/1.5.0", "", (), "", MODERN),
    ("Mozilla/5.0 docker/1.5.0", "Mozilla", (5, 0), "", MODERN),
    ("<script>alert(1)</script>", "", (), "", MODERN),
]


@pytest.mark.parametrize(("agent", "product", "version", "rest", "generation"), TABLE)
def test_every_known_agent_is_understood(
    agent: str, product: str, version: tuple[int, ...], rest: str, generation: Generation
) -> None:
    client = parse_user_agent(agent)
    assert (client.product, client.version, client.prerelease, client.generation) == (
        product,
        version,
        rest,
        generation,
    )
    assert client.speaks_v2 == (generation is not V1)


@pytest.mark.parametrize(
    "agent", [None, "", " ", "\x00", "\udcff\udcfe", "💣" * 20_000, "/1.5.0", "docker/", "docker//1.5.0"]
)
def test_absent_and_hostile_agents_are_modern_clients(agent: str | None) -> None:
    assert parse_user_agent(agent).generation is MODERN


def test_an_absent_agent_is_no_client_in_particular() -> None:
    assert parse_user_agent(None) is UNNAMED
    assert parse_user_agent("") is UNNAMED


@pytest.mark.parametrize(
    ("agent", "text"),
    [
        ("docker/17.03.1-ce go/go1.7.5", "docker 17.03.1-ce"),
        ("docker/20.10.24+dfsg1 go/go1.19.8", "docker 20.10.24+dfsg1"),
        ("containerd/v2.0.0", "containerd 2.0.0"),
        ("Go 1.1 package http", "Go 1.1 package http"),
        ("regclient/regctl (v0.11.5)", "regclient/regctl 0.11.5"),
        ("Watchtower (Docker)", "Watchtower"),
        ("docker/1.5.0\u202e-\x1b[31m\r\nX: y", "docker 1.5.0-31m"),
        ("\x1b[31m", "an unnamed client"),
    ],
)
def test_a_client_is_named_as_it_names_itself(agent: str, text: str) -> None:
    assert parse_user_agent(agent).text == text


@pytest.mark.parametrize(
    ("agent", "reads"),
    [
        ("docker/1.9.1" + TAIL, {"schema 1"}),
        ("docker/18.09.1", {"schema 1"}),
        ("docker/20.10.24+dfsg1" + TAIL, {"schema 1"}),
        ("docker/22.06.0-beta.0", {"schema 1"}),
        ("docker/23.0.0-beta.1", {"schema 1", "zstd"}),
        ("docker/25.0.3", {"schema 1", "zstd"}),
        ("docker/26.0.0-rc1", {"zstd"}),
        ("docker/26.1.4", {"zstd"}),
        ("docker/29.7.2", {"zstd"}),
        ("docker/library-import", {"schema 1", "zstd"}),
        ("docker/0.0.0-20190424223053-cfe423a", {"schema 1", "zstd"}),
        ("containerd/1.4.13", {"schema 1"}),
        ("containerd/v1.4.3-k3s1", {"schema 1"}),
        ("containerd/1.5.0", {"schema 1", "zstd"}),
        ("containerd/v2.0.0", {"schema 1", "zstd"}),
        ("skopeo/1.9.3", {"schema 1", "zstd"}),
        ("Go-http-client/1.1", {"schema 1", "zstd"}),
        (None, {"schema 1", "zstd"}),
    ],
)
def test_what_a_client_cannot_read_is_known_by_its_version(agent: str | None, reads: set[str]) -> None:
    client = parse_user_agent(agent)
    assert client.reads_zstd == ("zstd" in reads)
    assert client.reads_schema1 == ("schema 1" in reads)


@pytest.mark.parametrize(
    ("agent", "runs_on"),
    [
        ("docker/1.5.0" + TAIL, ("linux", "amd64")),
        ("docker/20.10.24 go/go1.19.8 kernel/6.1 os/linux arch/arm64 UpstreamClient(x)", ("linux", "arm64")),
        ("docker/dev os/windows arch/amd64", ("windows", "amd64")),
        ("docker/20.10.24", None),
        ("docker/20.10.24 os/linux", None),
        ("docker/20.10.24 kernel/os/linux arch/../../etc", None),
        ("docker/20.10.24 os/linux arch/" + "a" * 17, None),
        ("buildkit/v0.12 os/linux arch/arm64", None),
        ("Go 1.1 package http os/linux arch/arm64", None),
    ],
)
def test_a_docker_says_what_it_runs_on(agent: str, runs_on: tuple[str, str] | None) -> None:
    assert parse_user_agent(agent).runs_on == runs_on


def test_versions_compare_as_numbers() -> None:
    versions = ["docker/1.5.9", "docker/1.6.0", "docker/1.9.1", "docker/1.10.0", "docker/1.13.1", "docker/17.03.0-ce"]
    parsed = [parse_user_agent(agent).version for agent in versions]
    assert parsed == sorted(parsed)


def _check(agent: str) -> ClientProfile:
    client = parse_user_agent(agent)
    assert client.text.isprintable()
    assert client.text.isascii()
    assert len(client.text) <= 140
    assert len(client.agent) <= 1024
    return client


@given(st.text(max_size=3000))
def test_no_text_is_too_strange(agent: str) -> None:
    _check(agent)


@given(st.from_regex(r"(docker|Go|[A-Za-z]+)[/ ]v?[0-9.]{1,40}[-+~.a-z0-9]{0,30}.{0,40}"))
def test_no_version_is_too_strange(agent: str) -> None:
    _check(agent)


@given(
    st.integers(0, 40), st.integers(0, 200), st.integers(0, 200), st.sampled_from(["", "-ce", "+dfsg1", "-rc1", "~x"])
)
def test_the_generation_of_docker_follows_from_its_numbers(major: int, minor: int, patch: int, rest: str) -> None:
    client = parse_user_agent(f"docker/{major}.{minor}.{patch}{rest} go/go1.4")
    released = (major, minor) >= (0, 1)  # what says less was built from source since 2018
    assert client.speaks_v2 == ((major, minor) >= (1, 6) or not released)
    assert (client.generation in {SCHEMA2, MODERN}) == ((major, minor) >= (1, 10) or not released)


@pytest.mark.parametrize(
    "unit",
    [
        "docker/",
        "1.",
        "9",
        "a",
        "a/",
        "docker/1.5.0-",
        "(",
        "a-a.",
        "Go ",
        "v",
        "a/a (",
        "\\(",
        " os/linux arch",
        "é",
        "\udc80",
        "-",
        "a/a (1.",
    ],
)
def test_64_kib_take_no_longer_than_1_kib(unit: str) -> None:
    agents = [(unit * 65536)[:65536], "docker/1" + (unit * 65536)[:65528], "a/b (1" + (unit * 65536)[:65528]]
    assert cpu_seconds(lambda: [_check(agent) for agent in agents]) < 0.05
