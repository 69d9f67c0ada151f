"""A volume that docker-registry 0.9.1 wrote opens as it is (V1API section 11); one that cannot be written is read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trees import read_files, read_tree, write_tree
from tests.support.v1server import RunningRegistry, make_pushed

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
SHORT = "0123456789abcdef"
JSON_A = f'{{"id": "{A}", "created": "2014-01-01T00:00:00Z", "os": "linux", "architecture": "amd64"}}'
DESCRIBED = (
    '{"kernel": "3.16.0-4-amd64", "arch": "amd64", "docker_go_version": "go1.3.3", "last_update": 1795487392,'
    ' "docker_version": "1.5.0", "os": "linux"}'
)
VOLUME: dict[str, bytes | str] = {
    f"images/{A}/json": JSON_A,
    f"images/{A}/layer": b"base layer",
    f"images/{A}/ancestry": f'["{A}"]',
    f"images/{A}/_checksum": '["sha256:9e37c0a4f9c84d6e1344614f62760ea811ef4fc773a6b6780b305477ad97e3f5"]',
    f"images/{A}/_files": "[]",
    f"images/{B}/json": f'{{"id": "{B}", "parent": "{A}"}}\n',
    f"images/{B}/layer": b"top layer",
    f"images/{B}/ancestry": f'["{B}","{A}"]',  # any spacing
    f"images/{B}/_checksum": '["sha256:11", "tarsum+sha256:22"]',
    f"images/{C}/json": f'{{"id": "{C}"}}',  # as old as can be: no checksum
    f"images/{C}/layer": b"",
    f"images/{C}/ancestry": f'[\n  "{C}"\n]\n',
    f"images/{D}/json": f'{{"id": "{D}"}}',  # half pushed
    f"images/{D}/layer": b"half",
    f"images/{D}/ancestry": f'["{D}"]',
    f"images/{D}/_inprogress": "true",
    f"images/{SHORT}/json": f'{{"id": "{SHORT}"}}',
    f"images/{SHORT}/layer": b"short",
    f"images/{SHORT}/ancestry": f'["{SHORT}"]',
    f"images/{SHORT}/_checksum": "tarsum+sha256:33",
    "repositories/team/ml/_index_images": f'[{{"checksum": "tarsum+sha256:22", "id": "{B}"}}, {{"id": "{A}"}}]',
    "repositories/team/ml/tag_latest": B,
    "repositories/team/ml/taglatest_json": DESCRIBED,
    "repositories/team/ml/json": DESCRIBED,
    "repositories/team/ml/tag_a+b": A,
    "repositories/team/ml/tag_%252E%252E": A,
    "repositories/team/ml/_private": "",
    "repositories/n+s/r%2Bx/tag_UPPER": SHORT,
    "repositories/library/tagged/tag_1": C,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "root", VOLUME)
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (f"images/{A}/json", JSON_A),
        (f"images/{A}/layer", "base layer"),
        (f"images/{B}/layer", "top layer"),
        (f"images/{B}/ancestry", f'["{B}", "{A}"]'),
        (f"images/{C}/ancestry", f'["{C}"]'),
        (f"images/{C}/layer", ""),
        (f"images/{SHORT}/layer", "short"),
        ("repositories/team/ml/images", VOLUME["repositories/team/ml/_index_images"]),
        ("repositories/team/ml/tags", f'{{"..": "{A}", "a b": "{A}", "latest": "{B}"}}'),
        ("repositories/team/ml/tags/latest", f'"{B}"'),
        ("repositories/team/ml/tags/a%20b", f'"{A}"'),
        ("repositories/team/ml/tags/..", f'"{A}"'),
        ("repositories/team/ml/tags/latest/json", json.dumps(json.loads(DESCRIBED), sort_keys=True)),
        ("repositories/team/ml/json", json.dumps(json.loads(DESCRIBED), sort_keys=True)),
        ("repositories/team/ml/properties", '{"access": "private"}'),
        ("repositories/n%20s/r%20x/tags", f'{{"UPPER": "{SHORT}"}}'),
        ("repositories/tagged/tags", f'{{"1": "{C}"}}'),
        ("repositories/library/tagged/tags/1", f'"{C}"'),
    ],
)
async def test_everything_in_it_is_served_and_nothing_is_changed(
    registry: RunningRegistry, root: Path, target: str, body: str
) -> None:
    before = read_tree(root)
    told = await registry.ask("GET", f"/v1/{target}")
    assert (told.status, told.body.decode()) == (200, body)
    assert read_tree(root) == before


@pytest.mark.parametrize(
    ("image_id", "checksums", "size"),
    [
        (A, ["sha256:9e37c0a4f9c84d6e1344614f62760ea811ef4fc773a6b6780b305477ad97e3f5"], "10"),
        (B, ["sha256:11", "tarsum+sha256:22"], "9"),
        (C, [], "0"),
        (SHORT, ["tarsum+sha256:33"], "5"),
    ],
)
async def test_every_checksum_that_it_has_is_told(
    registry: RunningRegistry, image_id: str, checksums: list[str], size: str
) -> None:
    told = await registry.ask("GET", f"/v1/images/{image_id}/json")
    assert told.head.values("X-Docker-Checksum-Payload") == checksums
    assert told.value("X-Docker-Size") == size


async def test_what_was_half_pushed_is_pushed_again(registry: RunningRegistry, root: Path) -> None:
    image = make_pushed("d", parent=B, layer=b"the whole layer")
    told = await registry.ask("GET", f"/v1/images/{D}/json")
    assert told.told == (400, "Image is being uploaded, retry later")
    await registry.push_images([image])
    assert read_files(root / "images" / D) == {
        "json": image.json,
        "layer": image.layer,
        "ancestry": f'["{D}", "{B}", "{A}"]'.encode(),
        "_checksum": f'["{image.payload}"]'.encode(),
    }


async def test_it_can_be_pushed_to(registry: RunningRegistry, root: Path) -> None:
    before = read_files(root)
    image = make_pushed("e", parent=B, layer=b"a new layer")
    await registry.push("team/ml", "latest", [image])
    assert (await registry.ask("GET", "/v1/repositories/team/ml/tags/latest")).json == image.id
    listed = {entry["id"] for entry in (await registry.ask("GET", "/v1/repositories/team/ml/images")).json}
    assert listed == {A, B, image.id}
    changed = {path for path, content in read_files(root).items() if before.get(path) != content}
    assert {path for path in changed if path in before} == {
        "repositories/team/ml/_index_images",
        "repositories/team/ml/json",
        "repositories/team/ml/tag_latest",
        "repositories/team/ml/taglatest_json",
    }


async def test_a_repository_of_it_can_be_deleted(registry: RunningRegistry, root: Path) -> None:
    """docker-registry fails half-way where a tag has no description or an escaped name."""
    told = await registry.ask("DELETE", "/v1/repositories/team/ml/")
    assert (told.status, told.body) == (200, b"true")
    told = await registry.ask("DELETE", "/v1/repositories/n%20s/r%20x/tags/UPPER")
    assert (told.status, told.body) == (200, b"true")
    assert not [path for path in read_files(root) if path.startswith(("repositories/team", "repositories/n+s"))]
    assert f"images/{B}/json" in read_files(root)


@contextlib.contextmanager
def nobody_may_write(root: Path) -> Iterator[None]:
    """Takes the right to write from everybody, and root's privileges from this process."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


async def test_one_that_cannot_be_written_is_served_and_refuses_pushes(registry: RunningRegistry, root: Path) -> None:
    with nobody_may_write(root):
        assert (await registry.ask("GET", f"/v1/images/{A}/layer")).body == b"base layer"
        assert (await registry.ask("GET", "/v1/repositories/team/ml/tags/latest")).json == B
        told = await registry.put_json(make_pushed("e"))
        assert told.status == 503
        assert "may not read or write" in told.json["error"]
