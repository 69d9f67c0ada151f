"""A volume that comes from strangers: whatever stands in the place of a part of it, it is answered and passed over.

No symbolic link leads out of it, and no file that is not what it should be ends a listing, a purge or the index.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from backends.model.digest import parse_digest
from backends.registry.abandoned_uploads import AbandonedUploads
from backends.registry.index_pass import IndexPass
from backends.registry.purge_settings import PurgeSettings
from backends.registry.purging import Purger
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from tests.support.limits import Place
from tests.support.serving_here import (
    OCI_MANIFEST,
    OCTETS,
    blob_file,
    describe,
    digest_of,
    make_manifest,
    serving_here,
)
from tests.support.trees import write_tree
from tests.support.v1server import make_pushed

REPOSITORY = "docker/registry/v2/repositories/app"
IMAGE = make_manifest(b"image config", b"image layer")
SUBJECT = digest_of(IMAGE)
REFERRER = make_manifest(b"image config", b"image layer", subject=describe(IMAGE, OCI_MANIFEST))
UPLOAD = "0ff71b58-9f1e-4a5c-8a9d-0123456789ab"


def blob(digest: str) -> str:
    return str(blob_file(Path(), digest))


def hexes(digest: str) -> str:
    return digest.replace(":", "/")


PLACES: dict[str, str] = {
    "the blob": blob(digest_of(b"image layer")),
    "the blob's folder": str(Path(blob(digest_of(b"image layer"))).parent),
    "the manifest": blob(SUBJECT),
    "all blobs": "docker/registry/v2/blobs",
    "the link of a blob": f"{REPOSITORY}/_layers/{hexes(digest_of(b'image layer'))}/link",
    "links of blobs": f"{REPOSITORY}/_layers",
    "the link of a manifest": f"{REPOSITORY}/_manifests/revisions/{hexes(SUBJECT)}/link",
    "links of manifests": f"{REPOSITORY}/_manifests/revisions",
    "the link of a tag": f"{REPOSITORY}/_manifests/tags/latest/current/link",
    "a tag": f"{REPOSITORY}/_manifests/tags/latest",
    "tags": f"{REPOSITORY}/_manifests/tags",
    "what is of manifests": f"{REPOSITORY}/_manifests",
    "an upload": f"{REPOSITORY}/_uploads/{UPLOAD}",
    "an upload's data": f"{REPOSITORY}/_uploads/{UPLOAD}/data",
    "uploads": f"{REPOSITORY}/_uploads",
    "the repository": REPOSITORY,
    "all repositories": "docker/registry/v2/repositories",
    "referrers": "docker/registry/portside/index/referrers",
    "the subject's referrers": f"docker/registry/portside/index/referrers/app/_subjects/{hexes(SUBJECT)}",
    "our own folder": "docker/registry/portside/index",
}
FILES: dict[str, str] = {
    **{what: PLACES[what] for what in PLACES if PLACES[what].endswith(("/link", "/data"))},
    "when an upload began": f"{REPOSITORY}/_uploads/{UPLOAD}/startedat",
    "how far an upload is": f"{REPOSITORY}/_uploads/{UPLOAD}/progress",
    "a referrer": PLACES["the subject's referrers"] + "/" + digest_of(REFERRER).replace(":", "-"),
    "a hint": layout.holder_hint(parse_digest(digest_of(b"image layer")))[1:],
    "when a pass was made": layout.REFERRERS_BUILT[1:],
}
KINDS = ["large", "empty", "junk", "binary", "folder", "pipe", "loop"]


async def make_volume(root: Path) -> None:
    """A registry with an image, what refers to it, and an upload that was not touched for long."""
    storage = open_folder(root)
    async with serving_here(Registry(Store(storage), V2Settings()).handle) as client:
        await client.push_image("app", "latest")
        assert (await client.put_manifest("app", digest_of(REFERRER), REFERRER)).status == 201
    await storage.close()
    write_tree(
        root,
        {
            f"{REPOSITORY}/_uploads/{UPLOAD}/data": b"half",
            f"{REPOSITORY}/_uploads/{UPLOAD}/startedat": "2001-01-01T00:00:00Z",
        },
    )
    for path in (root / REPOSITORY / "_uploads").rglob("*"):
        os.utime(path, (10**9, 10**9))


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "root"
    asyncio.run(make_volume(folder))
    return folder


@pytest.fixture
def outside(tmp_path: Path, volume: Path) -> Path:
    """A whole volume of its own, so that whoever follows a link finds what it looks for."""
    folder = tmp_path / "outside"
    shutil.copytree(volume, folder)
    write_tree(folder, {"secret": b"never read", f"{REPOSITORY}/_manifests/tags/elsewhere/current/link": SUBJECT})
    return folder


@pytest.fixture
def root(tmp_path: Path, volume: Path) -> Path:
    shutil.copytree(volume, tmp_path / "root")
    return tmp_path / "root"


def lead_out(place: Place, path: str, *, relative: bool) -> None:
    """Puts a symbolic link in the place of a part of the volume."""
    inside, elsewhere = place.root / path, place.outside / path
    inside.parent.mkdir(parents=True, exist_ok=True)
    if inside.is_dir():
        shutil.rmtree(inside)
    else:
        inside.unlink(missing_ok=True)
    inside.symlink_to(os.path.relpath(elsewhere, inside.parent) if relative else elsewhere)


async def ask_everything(place: Place) -> None:
    """Asks for every operation, and has the volume purged and indexed."""
    layer = digest_of(b"image layer")
    upload = f"/v2/app/blobs/uploads/{UPLOAD}"
    for method, path, body in (
        ("GET", "/v2/_catalog", None), ("GET", "/v2/app/tags/list", None), ("GET", "/v2/app/manifests/latest", None),
        ("GET", "/v2/app/manifests/elsewhere", None), ("HEAD", f"/v2/app/manifests/{SUBJECT}", None),
        ("GET", f"/v2/app/manifests/{SUBJECT}", None), ("GET", f"/v2/app/blobs/{layer}", None),
        ("HEAD", f"/v2/app/blobs/{layer}", None), ("GET", f"/v2/app/referrers/{SUBJECT}", None), ("GET", upload, None),
        ("PATCH", upload, b"more"), ("PUT", f"{upload}?digest={digest_of(b'half')}", b""),
        ("POST", f"/v2/other/blobs/uploads/?mount={layer}&from=app", None),
        ("POST", f"/v2/other/blobs/uploads/?mount={layer}", None),
        ("POST", f"/v2/app/blobs/uploads/?digest={digest_of(b'new')}", b"new"),
        ("PUT", "/v2/app/manifests/again", IMAGE), ("PUT", f"/v2/app/manifests/{digest_of(REFERRER)}", REFERRER),
        ("DELETE", upload, None), ("DELETE", "/v2/app/manifests/latest", None),
        ("DELETE", f"/v2/app/manifests/{SUBJECT}", None), ("DELETE", f"/v2/app/blobs/{layer}", None),
    ):  # fmt: skip
        answer = await place.v2.ask(method, path, OCTETS if method != "PUT" or "uploads" in path else (), body=body)
        assert answer.status < 500, (method, path, answer)
        assert "elsewhere" not in path or answer.status >= 400
    assert (await place.v1.ask("GET", "/v1/search?q=")).status == 200
    assert (await place.v2.ask("GET", "/v2/_catalog")).status == 200
    storage = open_folder(place.root)
    settings = PurgeSettings(age_seconds=60)
    await Purger(storage, lambda: [AbandonedUploads(storage)], settings).purge()
    await IndexPass(storage).run()
    await storage.close()


@pytest.mark.parametrize("place", ["alone"], indirect=True)
@pytest.mark.parametrize("how", ["absolute", "relative"])
@pytest.mark.parametrize("what", PLACES)
async def test_a_link_that_leads_out_is_not_followed_by_any_operation(place: Place, what: str, how: str) -> None:
    lead_out(place, PLACES[what], relative=how == "relative")
    await ask_everything(place)


@pytest.mark.parametrize("place", ["alone"], indirect=True)
@pytest.mark.parametrize("what", ["links of blobs", "links of manifests", "tags", "uploads"])
async def test_a_repository_of_which_a_part_leads_out_can_be_deleted(place: Place, what: str) -> None:
    lead_out(place, PLACES[what], relative=False)
    storage = open_folder(place.root)
    assert (await Store(storage).deletions.look("app")).is_there
    await storage.close()
    assert (await place.v2.ask("DELETE", "/v2/app/_portside/repository")).status == 202
    assert (await place.v2.ask("GET", "/v2/app/manifests/latest")).status == 404


def put_in_place(path: Path, kind: str) -> None:
    """Puts something in the place of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    match kind:
        case "large":
            path.touch()
            os.truncate(path, 9 << 20)
        case "folder":
            (path / "data").mkdir(parents=True)
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case _:
            path.write_bytes({"empty": b"", "junk": b"no such thing\n" * 9, "binary": bytes(range(256))}[kind])


@pytest.mark.parametrize("place", ["alone"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", FILES)
async def test_a_file_that_is_not_what_it_should_be_is_passed_over(place: Place, what: str, kind: str) -> None:
    put_in_place(place.root / FILES[what], kind)
    async with asyncio.timeout(30):
        await ask_everything(place)


@pytest.mark.parametrize("place", ["alone"], indirect=True)
async def test_an_upload_whose_data_leads_out_is_purged_and_the_next_one_too(place: Place) -> None:
    lead_out(place, f"{REPOSITORY}/_uploads/{UPLOAD}/data", relative=False)
    uploads = place.root / REPOSITORY / "_uploads"
    shutil.copytree(place.root / REPOSITORY / "_uploads" / UPLOAD, uploads / UPLOAD.replace("0f", "ff"), symlinks=True)
    for path in uploads.rglob("*"):
        os.utime(path, (10**9, 10**9), follow_symlinks=False)
    storage = open_folder(place.root)
    await Purger(storage, lambda: [AbandonedUploads(storage)], PurgeSettings(age_seconds=60)).purge()
    await storage.close()
    assert list(uploads.iterdir()) == []


V1_IMAGE = make_pushed("a")
V1 = {
    "json": f"images/{V1_IMAGE.id}/json",
    "layer": f"images/{V1_IMAGE.id}/layer",
    "ancestry": f"images/{V1_IMAGE.id}/ancestry",
    "checksum": f"images/{V1_IMAGE.id}/_checksum",
    "tag": "repositories/team/app/tag_latest",
    "what is kept with a tag": "repositories/team/app/taglatest_json",
    "images": "repositories/team/app/_index_images",
}


@pytest.mark.parametrize("place", ["alone"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", V1)
async def test_a_file_of_v1_that_is_not_what_it_should_be_is_passed_over(place: Place, what: str, kind: str) -> None:
    image, ask = f"/v1/images/{V1_IMAGE.id}", place.v1.ask
    steps: list[tuple[str, str, bytes | None, dict[str, str]]] = [
        ("PUT", "/v1/repositories/team/app/", json.dumps([{"id": V1_IMAGE.id}]).encode(), {}),
        ("PUT", f"{image}/json", V1_IMAGE.json, {}),
        ("PUT", f"{image}/layer", V1_IMAGE.layer, {}),
        ("PUT", f"{image}/checksum", b"", {"X-Docker-Checksum-Payload": V1_IMAGE.payload}),
        ("PUT", "/v1/repositories/team/app/tags/latest", json.dumps(V1_IMAGE.id).encode(), {}),
    ]
    for method, path, body, headers in steps:
        assert (await ask(method, path, headers, body=body)).status == 200
    (found,) = place.root.rglob(V1[what])
    put_in_place(found, kind)
    for part in ("json", "layer", "ancestry"):
        assert (await ask("GET", f"{image}/{part}")).status < 500, part
    for rest in ("images", "tags", "tags/latest", "tags/latest/json", "json", "properties"):
        assert (await ask("GET", f"/v1/repositories/team/app/{rest}")).status < 500, rest
    assert (await ask("GET", "/v1/search?q=")).status == 200
    for method, path, body, headers in steps:
        answer = await ask(method, path, headers, body=body)
        assert answer.status < 500, (method, path, answer)
    for rest in ("tags/latest", "tags"):
        assert (await ask("DELETE", f"/v1/repositories/team/app/{rest}")).status < 500, rest
