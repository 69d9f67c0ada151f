"""The longest names that the protocol allows fit; what symbolic links make of a volume is answered, never a 500."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.model.digest import Digest
from tests.support.serving_here import OCI_MANIFEST, OCTETS, Client, blob_file, digest_of

LONGEST = ["a" * 255, "/".join(["a"] * 128), f"{'a' * 127}/{'b' * 127}"]


@pytest.mark.parametrize("name", LONGEST, ids=["one component", "128 components", "two components"])
async def test_the_longest_names_tags_and_digests_fit(registry: Client, name: str) -> None:
    tag = "T" * 128
    content = await registry.push_image(name, tag)
    assert (await registry.ask("GET", f"/v2/{name}/manifests/{tag}")).body == content
    assert (await registry.ask("GET", f"/v2/{name}/tags/list")).json == {"name": name, "tags": [tag]}
    assert name in (await registry.ask("GET", "/v2/_catalog")).json["repositories"]
    layer = b"layer of a long digest"
    digest = Digest.of(layer, "sha512")
    place = await registry.begin(name)
    assert (await registry.ask("PUT", f"{place}?digest={digest}", OCTETS, body=layer)).status == 201
    assert (await registry.ask("GET", f"/v2/{name}/blobs/{digest}")).body == layer
    assert (await registry.ask("DELETE", f"/v2/{name}/manifests/{digest_of(content)}")).status == 202


@pytest.mark.parametrize("to", ["loop", "outside"])
async def test_a_blob_behind_a_useless_link_is_absent_and_can_be_pushed_again(
    registry: Client, root: Path, tmp_path: Path, to: str
) -> None:
    await registry.push_image("app", "latest")
    layer = b"image layer"
    file = blob_file(root, digest_of(layer))
    (tmp_path / "elsewhere").write_bytes(b"not this")
    file.unlink()
    file.symlink_to(file if to == "loop" else tmp_path / "elsewhere")
    for method in ("GET", "HEAD"):
        assert (await registry.ask(method, f"/v2/app/blobs/{digest_of(layer)}")).status == 404
    await registry.push_blob("app", layer)
    assert (await registry.ask("GET", f"/v2/app/blobs/{digest_of(layer)}")).body == layer
    assert not file.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"not this"


@pytest.mark.parametrize("to", ["loop", "outside"])
async def test_a_repository_behind_a_useless_link_is_refused_with_a_sentence(
    registry: Client, root: Path, tmp_path: Path, to: str
) -> None:
    content = await registry.push_image("team/app", "latest")
    link = root / "docker/registry/v2/repositories/team/link"
    (tmp_path / "outside").mkdir()
    link.symlink_to(link if to == "loop" else tmp_path / "outside")
    for method, path in (
        ("GET", "manifests/latest"),
        ("GET", f"manifests/{digest_of(content)}"),
        ("GET", f"blobs/{digest_of(content)}"),
        ("GET", "tags/list"),
        ("DELETE", f"manifests/{digest_of(content)}"),
        ("DELETE", f"blobs/{digest_of(content)}"),
        ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?mount={digest_of(b'image layer')}&from=team/app"),
    ):
        answer = await registry.ask(method, f"/v2/team/link/{path}")
        assert answer.told == (400, "NAME_INVALID"), (method, path)
        assert "symbolic link" in answer.json["errors"][0]["detail"]["reason"]
    answer = await registry.ask("PUT", "/v2/team/link/manifests/latest", {"Content-Type": OCI_MANIFEST}, body=content)
    assert answer.status == 400
    assert not list((tmp_path / "outside").iterdir())
    assert (await registry.ask("GET", "/v2/_catalog")).json == {"repositories": ["team/app"]}
