"""An answer that is given again is what a handler would answer now, whatever changes, and whoever changes it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.same_heads import RACY_SECONDS, Site, Wire, get, running_site
from tests.support.serving_here import digest_of, make_manifest

OCI = "application/vnd.oci.image.manifest.v1+json"
ACCEPT = f"Accept: {OCI}"
BLOB, OTHER_BLOB = b"a layer" * 100, b"another" * 100
MANIFEST, OTHER = make_manifest(b"config", BLOB), make_manifest(b"config", OTHER_BLOB)


def v2(site_data: Path) -> Path:
    return site_data / "docker/registry/v2"


def put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def put_link(file: Path, digest: str) -> None:
    put(file, digest.encode())


def repository(data: Path, name: str) -> Path:
    return v2(data) / "repositories" / name


def tag_link(data: Path, name: str) -> Path:
    return repository(data, name) / "_manifests/tags/latest/current/link"


def revision_link(data: Path, name: str, content: bytes = MANIFEST) -> Path:
    return repository(data, name) / "_manifests/revisions/sha256" / digest_of(content)[7:] / "link"


def layer_link(data: Path, name: str, content: bytes) -> Path:
    return repository(data, name) / "_layers/sha256" / digest_of(content)[7:] / "link"


def blob_file(data: Path, content: bytes) -> Path:
    text = digest_of(content)[7:]
    return v2(data) / "blobs/sha256" / text[:2] / text / "data"


def layer_of(name: str) -> bytes:
    """A blob that only one repository has."""
    return f"the layer of {name}".encode() * 50


def fill(data: Path, name: str) -> None:
    """Writes a repository with two manifests, a tag and a layer, as distribution lays it out."""
    for content in (MANIFEST, OTHER):
        put(blob_file(data, content), content)
        put_link(revision_link(data, name, content), digest_of(content))
    put_link(tag_link(data, name), digest_of(MANIFEST))
    layer = layer_of(name)
    put(blob_file(data, layer), layer)
    put_link(layer_link(data, name, layer), digest_of(layer))


def tag(name: str, *lines: str, method: str = "GET") -> bytes:
    return get(f"/v2/{name}/manifests/latest", ACCEPT, *lines, method=method)


def by_digest(name: str, *lines: str) -> bytes:
    return get(f"/v2/{name}/manifests/{digest_of(MANIFEST)}", ACCEPT, *lines)


def blob(name: str, *lines: str) -> bytes:
    return get(f"/v2/{name}/blobs/{digest_of(layer_of(name))}", *lines)


def head_of_blob(name: str, *lines: str) -> bytes:
    return get(f"/v2/{name}/blobs/{digest_of(layer_of(name))}", *lines, method="HEAD")


def head_of_tag(name: str, *lines: str) -> bytes:
    return tag(name, *lines, method="HEAD")


def send(site: Site, method: str, path: str, body: bytes = b"") -> None:
    """Sends a request over a connection of its own."""
    lines = [f"Content-Length: {len(body)}", f"Content-Type: {OCI}"] if body else []
    with site.connection() as wire:
        answer = wire.ask(get(path, *lines, method=method) + body)
        assert answer.status in {201, 202}, answer


def move_by_rename(site: Site, name: str) -> None:
    link = tag_link(site.data, name)
    put_link(link.with_name("new"), digest_of(OTHER))
    link.with_name("new").rename(link)


def move_in_place(site: Site, name: str) -> None:
    put_link(tag_link(site.data, name), digest_of(OTHER))


def move_by_a_push(site: Site, name: str) -> None:
    send(site, "PUT", f"/v2/{name}/manifests/latest", OTHER)


def delete_the_tag(site: Site, name: str) -> None:
    send(site, "DELETE", f"/v2/{name}/manifests/latest")


def delete_the_manifest(site: Site, name: str) -> None:
    send(site, "DELETE", f"/v2/{name}/manifests/{digest_of(MANIFEST)}")


def delete_the_layer(site: Site, name: str) -> None:
    send(site, "DELETE", f"/v2/{name}/blobs/{digest_of(layer_of(name))}")


def delete_the_repository(site: Site, name: str) -> None:
    send(site, "DELETE", f"/v2/{name}/_portside/repository")


def remove_the_tag(site: Site, name: str) -> None:
    shutil.rmtree(tag_link(site.data, name).parents[1])


def remove_the_revision(site: Site, name: str) -> None:
    revision_link(site.data, name).unlink()


def remove_the_link_of_the_layer(site: Site, name: str) -> None:
    layer_link(site.data, name, layer_of(name)).unlink()


def remove_the_blob(site: Site, name: str) -> None:
    blob_file(site.data, layer_of(name)).unlink()


def write_over_the_blob(site: Site, name: str) -> None:
    file = blob_file(site.data, layer_of(name))
    file.write_bytes(b"X" * file.stat().st_size)


def write_over_the_blob_and_set_its_time_back(site: Site, name: str) -> None:
    import os  # noqa: PLC0415 - only here

    file = blob_file(site.data, layer_of(name))
    before = file.stat()
    write_over_the_blob(site, name)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def point_the_link_of_the_layer_elsewhere(site: Site, name: str) -> None:
    put_link(layer_link(site.data, name, layer_of(name)), digest_of(MANIFEST))


def have_v1_write_the_tag(site: Site, name: str) -> None:
    image = "ab" * 32
    put(site.data / f"images/{image}/json", json.dumps({"id": image}).encode())
    put(site.data / f"repositories/library/{name}/tag_latest", image.encode())


def write_a_record(site: Site, name: str) -> None:
    put(repository(site.data, name) / "_portside/tags/latest", b"not a record")


def move_the_repository_away(site: Site, name: str) -> None:
    repository(site.data, name).rename(repository(site.data, f"{name}-moved"))
    time.sleep(1.2)  # who renames a folder above is seen when the path is looked up again


def move_the_folder_of_the_blob_away(site: Site, name: str) -> None:
    folder = blob_file(site.data, layer_of(name)).parent
    folder.rename(folder.with_name(f"{folder.name}-moved"))


CHANGES: list[tuple[Callable[..., bytes], Callable[[Site, str], None]]] = [
    *(
        (ask, change)
        for ask in (tag, head_of_tag)
        for change in (
            move_by_rename,
            move_in_place,
            move_by_a_push,
            delete_the_tag,
            delete_the_manifest,
            delete_the_repository,
            remove_the_tag,
            remove_the_revision,
            have_v1_write_the_tag,
            move_the_repository_away,
        )
    ),
    (by_digest, delete_the_manifest),
    (by_digest, remove_the_revision),
    (by_digest, delete_the_repository),
    (by_digest, move_the_repository_away),
    (blob, move_the_folder_of_the_blob_away),
    *(
        (ask, change)
        for ask in (blob, head_of_blob)
        for change in (
            delete_the_layer,
            remove_the_link_of_the_layer,
            remove_the_blob,
            write_over_the_blob,
            write_over_the_blob_and_set_its_time_back,
            point_the_link_of_the_layer_elsewhere,
            delete_the_repository,
            move_the_repository_away,
        )
    ),
]
NAMES = [f"app{number}" for number in range(len(CHANGES))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept")
    for name in [*NAMES, "same"]:
        fill(folder / "data", name)
    put(folder / "data/repositories/library/some/tag_latest", b"cd" * 32)
    with running_site(folder, requirelayers=False) as running:
        time.sleep(RACY_SECONDS)
        yield running


@pytest.mark.parametrize(
    ("name", "ask", "change"),
    [(name, *each) for name, each in zip(NAMES, CHANGES, strict=True)],
    ids=[f"{ask.__name__}-{change.__name__}" for ask, change in CHANGES],
)
def test_the_request_after_a_change_is_answered_by_what_is_there(
    site: Site, name: str, ask: Callable[..., bytes], change: Callable[[Site, str], None]
) -> None:
    with site.connection() as wire, site.connection() as other:
        before = site.learn(wire, ask(name))
        assert before == other.ask(ask(name, "X-Never-Seen: 1"))
        change(site, name)
        after = wire.ask(ask(name))
        assert after == other.ask(ask(name, "X-Never-Seen: 2"))


REQUESTS = {
    "base": get("/v2/"),
    "base, by HEAD": get("/v2/", method="HEAD"),
    "tag": tag("same"),
    "tag, by HEAD": head_of_tag("same"),
    "digest": by_digest("same"),
    "blob": blob("same"),
    "blob, by HEAD": head_of_blob("same"),
    "not changed": tag("same", f'If-None-Match: "{digest_of(MANIFEST)}"'),
    "kept alive": tag("same", "Connection: keep-alive"),
    "with a query": get("/v2/?account=somebody"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_that_is_given_again_is_the_same_to_the_byte(site: Site, name: str) -> None:
    with site.connection() as wire:
        first = wire.ask(REQUESTS[name])
        assert site.learn(wire, REQUESTS[name]) == first


NEVER = {
    "a part": blob("same", "Range: bytes=0-9"),
    "what is not there": get("/v2/same/manifests/none", ACCEPT),
    "two minds about its connection": tag("same", "Connection: close, keep-alive"),
    "HTTP/1.0": tag("same", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a body of no bytes": tag("same", "Content-Length: 0"),
    "a list": get("/v2/same/tags/list"),
    "the catalog": get("/v2/_catalog"),
    "what nobody answers": get("/v2/nothing"),
    "an upgrade": tag("same", "Connection: upgrade", "Upgrade: h2c"),
    "OPTIONS": get("/v2/", method="OPTIONS"),
}


@pytest.mark.parametrize("name", NEVER)
def test_some_answers_are_never_given_again(site: Site, name: str) -> None:
    others, deadline = 0, time.monotonic() + 20
    with site.connection() as wire:
        site.learn(wire, tag("same"))
    while not others:
        assert site.insist(NEVER[name]) == 0
        others = site.insist(tag("same", f"X-Beside: {name}"))
        assert time.monotonic() < deadline


def test_the_last_of_a_connection_is_given_again_and_is_the_last(site: Site) -> None:
    last, before = tag("same", "Connection: close"), site.again()
    answers, deadline = set(), time.monotonic() + 20
    while site.again() < before + 3:
        with site.connection() as wire:
            answers.add(wire.ask(last))
            with pytest.raises(EOFError):
                wire.read()
        assert time.monotonic() < deadline
    with site.connection() as wire:
        site.learn(wire, tag("same"))
        answers.add(wire.ask(last))
        with pytest.raises(EOFError):
            wire.read()
    (answer,) = answers
    assert b"\r\nConnection: close" in answer.head


def test_the_first_of_a_connection_is_given_again(site: Site) -> None:
    known = tag("same", "User-Agent: first/1.0")
    deadline = time.monotonic() + 20
    while True:  # on a busy machine it may have to be learnt anew in between
        with site.connection() as wire:
            answer = site.learn(wire, known)
        before = site.again()
        with site.connection() as wire:
            given = [wire.ask(piece) for piece in (known, known, get("/v2/?never=before"), known)]
        assert [given[0], given[1], given[3]] == [answer] * 3
        if site.again() == before + 3:
            break
        assert time.monotonic() < deadline
    with site.connection() as wire:
        wire.socket.sendall(known[:-1])
        wire.socket.sendall(known[-1:] + known)
        assert [wire.read(), wire.read()] == [answer, answer]
    assert site.again() == before + 3


def test_what_was_written_a_moment_ago_is_not_given_again(site: Site) -> None:
    fill(site.data, "young")
    with site.connection() as wire:
        before = site.again()
        for _ in range(8):
            assert wire.ask(tag("young")).status == 200
        assert site.again() == before
        time.sleep(RACY_SECONDS)
        site.learn(wire, tag("young"))


def test_each_request_leaves_its_line_and_its_counts(site: Site) -> None:
    head = tag("same", "User-Agent: counts/1.0")
    requests = 'registry_http_requests_total{backend="v2",code="200",handler="manifest",listener="v2",method="get"}'
    sent = 'registry_http_response_size_bytes_sum{backend="v2",handler="manifest",listener="v2"}'
    with site.connection() as wire:
        site.learn(wire, head)
        before = site.counted()
        for _ in range(5):
            wire.ask(head)
        after = site.counted()
    assert after["portside_answered_again_total"] - before["portside_answered_again_total"] == 5
    assert after[requests] - before[requests] == 5
    assert after[sent] - before[sent] == 5 * len(MANIFEST)
    lines = site.lines("counts/1.0", wire)
    assert len(lines) == wire.asked
    assert len(lines) >= 10
    shapes = {
        line.partition("[")[0] + line.partition("]")[2].rpartition('" ')[0].partition('counts/1.0"')[0]
        for line in lines
    }
    assert len(shapes) == 1, shapes
    assert lines[-1].startswith("127.0.0.1 - - [")
    told = f'"GET /v2/same/manifests/latest HTTP/1.1" 200 {len(MANIFEST)} "-" "counts/1.0" 0.00'
    assert any(told in line for line in lines[-5:]), "some of them take as little as they should"


def test_the_line_has_the_address_of_the_client_that_asks(site: Site) -> None:
    head = tag("same", "User-Agent: address/1.0")
    with site.connection() as wire:
        site.learn(wire, head)
    with site.connection(source="127.0.0.7") as other:
        site.learn(other, head)
    lines = site.lines("address/1.0", wire, other)
    assert lines[-1].startswith("127.0.0.7 - - [")
    assert lines[0].startswith("127.0.0.1 - - [")


def test_nothing_is_kept_where_the_settings_say_so(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    with running_site(tmp_path, kept="0") as site:
        time.sleep(RACY_SECONDS)
        with site.connection() as wire:
            for _ in range(10):
                assert wire.ask(tag("same")).status == 200
        assert site.again() == 0


def test_the_proxy_gives_answers_again_by_what_it_decided(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    with running_site(tmp_path, role="serve") as site:
        time.sleep(RACY_SECONDS)
        route = 'portside_route_total{backend="v2",generation="unknown",why="speaks_v2"}'
        with site.connection() as wire:
            head = tag("same", "User-Agent: docker/24.0.7 go/go1.20.10")
            first = wire.ask(head)
            assert b"\r\nX-Portside-Route: v2; docker 24.0.7 speaks v2" in first.head
            assert site.learn(wire, head) == first
            before = {name: value for name, value in site.counted().items() if name.startswith("portside_route_total")}
            wire.ask(head)
            after = {name: value for name, value in site.counted().items() if name.startswith("portside_route_total")}
            assert sum(after.values()) - sum(before.values()) == 1, (route, before, after)
            old = get("/v2/", "User-Agent: docker/1.5.0 go/go1.3.3")
            refused = wire.ask(old)
            assert refused.status == 404
            assert all(wire.ask(old) == refused for _ in range(6))


def test_new_tls_connections_are_answered_again_from_their_first_request(tmp_path: Path) -> None:
    fill(tmp_path / "data", "same")
    with running_site(tmp_path, role="serve") as site:
        time.sleep(RACY_SECONDS)
        ports = re.findall(r'msg="listening on [^"]*?:(\d+)[^"]*" listener=proxy\b', site.running.err.read_text())
        (port,) = {int(each) for each in ports} - {site.port}
        trust = ssl.create_default_context(cafile=str(next(tmp_path.rglob("ca.crt"))))

        @contextmanager
        def connection() -> Iterator[Wire]:
            raw = socket.create_connection(("127.0.0.1", port), timeout=20)
            with trust.wrap_socket(raw, server_hostname="localhost") as opened:
                yield Wire(opened)

        for known in (tag("same"), tag("same", "Connection: close")):
            answers = []
            before = site.again()
            while site.again() < before + 5:
                with connection() as wire:
                    answers.append(wire.ask(known))
                    if b"close" in known:
                        with pytest.raises(EOFError):
                            wire.read()
                    else:
                        answers.append(wire.ask(known))
                        assert wire.ask(get("/v2/same/tags/list")).body == b'{"name":"same","tags":["latest"]}\n'
                assert len(answers) < 200
            assert all(answer == answers[0] for answer in answers)
