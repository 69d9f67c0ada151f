"""Which form of an image a client gets for a tag (FORMATS sections 5.2, 5.3 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.clients import parse_user_agent
from backends.model.conversion.negotiation import (
    AsStored,
    Converted,
    Refused,
    Stored,
    StoredImage,
    StoredIndex,
    negotiate,
)
from backends.model.conversion.plans import LINUX_AMD64, Form, Plan
from backends.model.conversion.readers import Reader, parse_accept, reader_of
from backends.model.descriptors import Platform
from backends.model.media_types import (
    IMAGES,
    INDEXES,
    MANIFEST_LIST,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    SCHEMA2,
    V1_IMAGE,
)
from tests.support.cpu_time import cpu_seconds

HOST = " go/go1.4.1 git-commit/a8a31ef kernel/3.16 os/linux arch/amd64"

# The rows of FORMATS 5.2: what a client calls itself, and the lines of its Accept.
CLIENTS: dict[str, tuple[str, Sequence[str]]] = {
    "docker 1.6.2": ("docker/1.6.2" + HOST, []),
    "docker 1.9.1": ("docker/1.9.1" + HOST, []),
    "docker 1.9.1 behind a proxy": ("docker/1.9.1" + HOST, ["*/*"]),
    "docker 1.10.3": ("docker/1.10.3" + HOST, [MANIFEST_LIST, SCHEMA1_SIGNED, "application/json", SCHEMA2]),
    "docker 18.09": ("docker/18.09.1" + HOST, ["application/json", SCHEMA2, MANIFEST_LIST, SCHEMA1_SIGNED]),
    "docker 19.03": ("docker/19.03.15" + HOST, [OCI_INDEX, SCHEMA2, "application/json", MANIFEST_LIST, SCHEMA1_SIGNED]),
    "docker 20.10": (
        "docker/20.10.24+dfsg1" + HOST,
        [MANIFEST_LIST, OCI_INDEX, SCHEMA1_SIGNED, "application/json", OCI_MANIFEST, SCHEMA2],
    ),
    "docker 25": (
        "docker/25.0.3" + HOST,
        ["application/json", OCI_MANIFEST, SCHEMA2, MANIFEST_LIST, OCI_INDEX, SCHEMA1_SIGNED],
    ),
    "docker 28": (
        "docker/28.2.2" + HOST,
        [SCHEMA1_SIGNED, "application/json", OCI_MANIFEST, SCHEMA2, MANIFEST_LIST, OCI_INDEX],
    ),
    "docker 29": ("docker/29.7.2" + HOST, [SCHEMA2, MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX]),
    "containerd 2": ("containerd/2.2.7", [f"{SCHEMA2}, {MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*"]),
    "containerd 1.4": ("containerd/1.4.13", [f"{SCHEMA2}, {MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}, */*"]),
    "containerd, an index": ("containerd/2.3.3+unknown", [f"{OCI_INDEX}, */*"]),
    "podman": (
        "containers/5.23.1 (github.com/containers/image)",
        [OCI_MANIFEST, SCHEMA2, SCHEMA1_SIGNED, SCHEMA1, MANIFEST_LIST, OCI_INDEX],
    ),
    "crane": (
        "crane/v0.21.9 go-containerregistry/v0.21.9",
        [f"{SCHEMA1},{SCHEMA1_SIGNED},{SCHEMA2},{OCI_MANIFEST},{MANIFEST_LIST},{OCI_INDEX}"],
    ),
    "oras": ("oras/1.3.3", [f"{SCHEMA2}, {MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}"]),
    "curl": ("curl/7.88.1", ["*/*"]),
    "a browser": ("Mozilla/5.0", ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"]),
    "Go without Accept": ("Go-http-client/1.1", []),
    "schema 2 alone": ("curl/7.88.1", [SCHEMA2]),
    "OCI's manifest alone": ("curl/7.88.1", [OCI_MANIFEST]),
    "schema 1 alone": ("curl/7.88.1", [SCHEMA1_SIGNED]),
    "schema 1 by its other name": ("curl/7.88.1", [SCHEMA1]),
    "single images": ("old-kaniko", [SCHEMA2, OCI_MANIFEST]),
    "a list alone": ("manifest-tool", [MANIFEST_LIST]),
    "a list and schema 1": ("curl/7.88.1", [SCHEMA1, MANIFEST_LIST]),
}

S2, OCI = StoredImage(SCHEMA2), StoredImage(OCI_MANIFEST)

# The rows of FORMATS 6: what is stored.
STORED: dict[str, Stored] = {
    "v1": StoredImage(V1_IMAGE),
    "schema1": StoredImage(SCHEMA1_SIGNED),
    "schema2": S2,
    "list": StoredIndex(MANIFEST_LIST, frozenset({SCHEMA2}), SCHEMA2),
    "oci": OCI,
    "index": StoredIndex(OCI_INDEX, frozenset({OCI_MANIFEST}), OCI_MANIFEST),
    "oci zstd": StoredImage(OCI_MANIFEST, has_zstd=True),
    "index zstd": StoredIndex(OCI_INDEX, frozenset({OCI_MANIFEST}), OCI_MANIFEST, has_zstd=True),
    "index of schema2": StoredIndex(OCI_INDEX, frozenset({SCHEMA2}), SCHEMA2),
    "list with schema1": StoredIndex(MANIFEST_LIST, frozenset({SCHEMA1_SIGNED, SCHEMA2}), SCHEMA1_SIGNED),
    "no platform": StoredIndex(MANIFEST_LIST, frozenset({SCHEMA2})),
    "artifacts": StoredIndex(OCI_INDEX, frozenset()),
}

# What each client gets, in the order of STORED: "=" what is stored; the form that is made of it, or chosen from it;
# with "gz" zstd becomes gzip, with "?" it takes what is stored if the form is impossible; "404".
TABLE = """
docker 1.6.2                | schema1 gz  | =          | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz | schema1 gz  | schema1 gz
docker 1.9.1                | schema1 gz  | =          | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz | schema1 gz  | schema1 gz
docker 1.9.1 behind a proxy | schema1 gz  | =          | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz | schema1 gz  | schema1 gz
docker 1.10.3               | schema2 gz  | schema2 gz | =           | =           | schema2 gz  | list gz     | schema2 gz  | list gz     | list gz     | list gz    | =           | list gz
docker 18.09                | schema2 gz  | schema2 gz | =           | =           | schema2 gz  | list gz     | schema2 gz  | list gz     | list gz     | list gz    | =           | list gz
docker 19.03                | schema2 gz  | schema2 gz | =           | =           | schema2 gz  | list gz     | schema2 gz  | list gz     | =           | list gz    | =           | =
docker 20.10                | schema2 gz  | schema2 gz | =           | =           | =           | =           | oci gz      | index gz    | =           | list gz    | =           | =
docker 25                   | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
docker 28                   | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
docker 29                   | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
containerd 2                | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list ?     | =           | =
containerd 1.4              | schema2 gz  | schema2 gz | =           | =           | =           | =           | oci gz ?    | index gz ?  | =           | list gz ?  | =           | =
containerd, an index        | schema2     | schema2    | =           | index ?     | =           | =           | =           | =           | =           | index ?    | index ?     | =
podman                      | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
crane                       | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
oras                        | schema2     | schema2    | =           | =           | =           | =           | =           | =           | =           | list       | =           | =
curl                        | schema2     | schema2 ?  | =           | =           | =           | =           | =           | =           | =           | =          | =           | =
a browser                   | schema2     | schema2 ?  | =           | =           | =           | =           | =           | =           | =           | =          | =           | =
Go without Accept           | schema1 gz  | =          | schema1 gz? | schema1 gz? | schema1 gz? | schema1 gz? | schema1 gz? | schema1 gz? | schema1 gz? | schema1 gz?| schema1 gz? | schema1 gz?
schema 2 alone              | schema2     | schema2     | =           | schema2     | schema2 gz  | schema2 gz  | schema2 gz  | schema2 gz  | schema2     | schema2     | schema2     | schema2 gz
OCI's manifest alone        | oci         | oci         | oci         | oci         | =           | oci         | =           | oci         | oci         | oci         | oci         | oci
schema 1 alone              | schema1 gz  | =          | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz | schema1 gz  | schema1 gz
schema 1 by its other name  | schema1 gz  | =          | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz | schema1 gz  | schema1 gz
single images               | schema2     | schema2     | =           | schema2     | =           | oci         | =           | oci         | schema2     | schema2     | schema2     | schema2
a list alone                | 404         | 404        | 404         | =           | 404         | list gz     | 404         | list gz     | list        | =          | =           | list gz
a list and schema 1         | schema1 gz  | =           | schema1 gz  | =           | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | schema1 gz  | =           | =           | schema1 gz
"""  # noqa: E501 - a table

FORMS = {
    "schema1": Form.SCHEMA1,
    "schema2": Form.SCHEMA2,
    "oci": Form.OCI_MANIFEST,
    "list": Form.MANIFEST_LIST,
    "index": Form.OCI_INDEX,
}


def _rows() -> list[tuple[str, str, str]]:
    rows = []
    for line in TABLE.strip().splitlines():
        client, *cells = (cell.strip() for cell in line.split("|"))
        rows += [(client, stored, cell) for stored, cell in zip(STORED, cells, strict=True)]
    return rows


def _expected(cell: str) -> object:
    match cell:
        case "=":
            return AsStored()
        case _:
            words = cell.replace("?", " ?").split()
            return Converted(Plan(FORMS[words[0]], LINUX_AMD64, gzip_only="gz" in words), "?" in words)


def _reader(client: str) -> Reader:
    agent, accept = CLIENTS[client]
    return reader_of(accept, parse_user_agent(agent))


def test_the_table_has_every_client() -> None:
    assert [row[0] for row in _rows()] == [client for client in CLIENTS for _ in STORED]


@pytest.mark.parametrize(("client", "stored", "cell"), _rows())
def test_each_client_gets_what_it_can_read(client: str, stored: str, cell: str) -> None:
    answer = negotiate(_reader(client), STORED[stored])
    if cell == "404":
        assert isinstance(answer, Refused)
    else:
        assert answer == _expected(cell)


def test_who_is_refused_hears_what_is_stored_what_it_reads_and_what_to_do() -> None:
    answer = negotiate(_reader("a list alone"), OCI)
    assert answer == Refused(
        "this is an OCI manifest, and manifest-tool accepts manifest lists;"
        " ask with Accept: application/vnd.oci.image.manifest.v1+json, or with */*"
    )


@pytest.mark.parametrize(
    ("agent", "platform"),
    [
        ("docker/1.9.1 go/go1.4 os/linux arch/arm", Platform("arm", "linux")),
        ("docker/1.9.1", Platform("s390x", "linux")),
        ("curl/8", Platform("s390x", "linux")),
    ],
)
def test_of_an_index_it_is_the_image_for_the_clients_machine_or_the_configured_one(
    agent: str, platform: Platform
) -> None:
    reader = reader_of([SCHEMA1_SIGNED], parse_user_agent(agent), platform=Platform("s390x", "linux"))
    answer = negotiate(reader, STORED["list"])
    assert isinstance(answer, Converted)
    assert answer.plan == Plan(Form.SCHEMA1, platform, gzip_only=True)


def test_an_images_platform_is_its_own() -> None:
    reader = reader_of([], parse_user_agent("docker/1.9.1 os/linux arch/arm"), platform=Platform("s390x", "linux"))
    answer = negotiate(reader, S2)
    assert isinstance(answer, Converted)
    assert answer.plan.platform == LINUX_AMD64


def test_docker_26_never_gets_schema_1() -> None:
    reader = reader_of([SCHEMA1_SIGNED], parse_user_agent("docker/26.1.0"))
    assert SCHEMA1_SIGNED not in reader.types
    assert negotiate(reader, STORED["schema1"]) == Converted(Plan(Form.SCHEMA2), or_as_stored=True)
    assert negotiate(reader_of([], parse_user_agent("docker/28.0.0")), S2) == AsStored()


@pytest.mark.parametrize(
    "lines",
    [
        [f"{SCHEMA2},{OCI_MANIFEST}"],
        [SCHEMA2, OCI_MANIFEST],
        [OCI_MANIFEST, SCHEMA2],
        [f" {SCHEMA2} ; q=0.5 ,\t{OCI_MANIFEST};charset=utf-8"],
        [SCHEMA2.upper(), OCI_MANIFEST.title()],
        [f",,{SCHEMA2},,", f";,{OCI_MANIFEST};;"],
        [f'{SCHEMA2};x="a', f'b",{OCI_MANIFEST}'],
    ],
)
def test_layout_parameters_and_case_do_not_matter(lines: list[str]) -> None:
    assert parse_accept(lines) >= {SCHEMA2, OCI_MANIFEST}
    assert reader_of(lines, parse_user_agent("x")).types == {SCHEMA2, OCI_MANIFEST}


@pytest.mark.parametrize("lines", [[""], [" "], [","], [";q=1"], ["", " , "]])
def test_an_empty_accept_is_none(lines: list[str]) -> None:
    assert reader_of(lines, parse_user_agent("x")) == reader_of([], parse_user_agent("x"))


# laws

RANGES = st.sampled_from(
    [*sorted(MANIFESTS), "*/*", "application/*", "application/json", "text/plain", "", "application/vnd.oci.image", "x"]
)
DRESSED = st.builds(
    lambda name, before, after: before + name + after,
    st.one_of(RANGES, RANGES.map(str.upper)),
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["", " ", ";q=0.1", "; charset=utf-8", " ;"]),
)
ACCEPT = st.lists(st.lists(DRESSED, min_size=1, max_size=5).map(",".join), max_size=6)
AGENTS = st.one_of(
    st.sampled_from([agent for agent, _ in CLIENTS.values()]),
    st.tuples(st.sampled_from(["docker", "containerd"]), st.integers(0, 40), st.integers(0, 20)).map(
        lambda of: f"{of[0]}/{of[1]}.{of[2]}.1{HOST}"
    ),
    st.text(max_size=20),
)
READERS = st.builds(lambda accept, agent: reader_of(accept, parse_user_agent(agent)), ACCEPT, AGENTS)
STORED_IMAGES = st.builds(
    StoredImage, st.sampled_from([V1_IMAGE, SCHEMA1_SIGNED, SCHEMA2, OCI_MANIFEST]), st.booleans()
)
STORED_INDEXES = st.builds(
    StoredIndex,
    st.sampled_from(sorted(INDEXES)),
    st.frozensets(st.sampled_from([SCHEMA1_SIGNED, SCHEMA2, OCI_MANIFEST, OCI_INDEX])),
    st.sampled_from(["", SCHEMA1_SIGNED, SCHEMA2, OCI_MANIFEST]),
    st.booleans(),
)
ANY_STORED = st.one_of(STORED_IMAGES, STORED_INDEXES)


def _types(reader: Reader, stored: Stored) -> set[str]:
    """Returns the types that an answer may have."""
    match negotiate(reader, stored):
        case AsStored():
            return {stored.media_type}
        case Converted(plan, or_as_stored):
            return {plan.form.media_type} | ({stored.media_type} if or_as_stored else set())
        case Refused():
            return set()


@given(ACCEPT, AGENTS, ANY_STORED)
def test_never_schema_1_for_who_accepts_schema_2_or_oci(accept: list[str], agent: str, stored: Stored) -> None:
    listed = parse_accept(accept)
    if listed & (IMAGES | {OCI_INDEX}):
        assert SCHEMA1_SIGNED not in _types(reader_of(accept, parse_user_agent(agent)), stored)


@given(READERS, ANY_STORED)
def test_v1_is_never_an_answer_and_a_type_is_one_that_is_accepted(reader: Reader, stored: Stored) -> None:
    types = _types(reader, stored)
    assert V1_IMAGE not in types
    if not reader.takes_anything:
        assert types <= reader.types


@given(READERS, ANY_STORED)
def test_only_who_names_types_and_takes_no_others_is_refused(reader: Reader, stored: Stored) -> None:
    if isinstance(negotiate(reader, stored), Refused):
        assert reader.types
        assert not reader.takes_anything


@given(st.data(), ACCEPT, AGENTS)
def test_the_order_of_lines_and_of_types_never_matters(data: st.DataObject, accept: list[str], agent: str) -> None:
    client = parse_user_agent(agent)
    reader = reader_of(accept, client)
    assert reader_of(data.draw(st.permutations(accept)), client) == reader
    parts = [part for line in accept for part in line.split(",")]
    shuffled = data.draw(st.permutations(parts))
    assert reader_of([",".join(shuffled)] if shuffled else [], client) == reader
    assert reader_of(shuffled, client) == reader


@given(READERS, STORED_IMAGES)
def test_what_goes_out_at_once_goes_out_as_it_is_stored(reader: Reader, image: StoredImage) -> None:
    if image.media_type in reader.at_once:
        assert negotiate(reader, image) == AsStored()


@given(READERS, ANY_STORED)
def test_zstd_never_reaches_who_cannot_unpack_it(reader: Reader, stored: Stored) -> None:
    if reader.reads_zstd or stored.media_type == SCHEMA1_SIGNED:
        return
    match negotiate(reader, stored):
        case AsStored():
            assert not stored.has_zstd
        case Converted(plan, _):
            assert plan.gzip_only
        case Refused():
            pass


@pytest.mark.parametrize("unit", ["application/vnd.oci.image.manifest.v1+json,", "a/b;q=1,", ",", ";", " ,", "x" * 50])
def test_thousands_of_types_take_linear_time(unit: str) -> None:
    client = parse_user_agent("x")
    one_line = [(unit * 65536)[:65536]]
    assert cpu_seconds(lambda: reader_of(one_line, client)) < 0.1
    assert cpu_seconds(lambda: reader_of([unit] * 5000, client)) < 0.1
