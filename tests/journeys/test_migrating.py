"""`portside migrate`: what v1 clients pushed becomes what any v2 registry serves, and nothing of v1 changes."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import os
import pty
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from backends.model import media_types
from backends.registry.store import Store
from backends.storage.factory import open_folder
from portside.migrating.names import NameMap
from portside.migrating.planning import State, plan_migration
from portside.migrating.progress import Lines
from portside.migrating.running import migrate as run_migration
from portside.migrating.verifying import Difference, Verifier
from tests.support.actors import ACTOR
from tests.support.commands import portside, running_command
from tests.support.formats import example, example_json
from tests.support.killed_migration import v2_root
from tests.support.mounts import fill_up, make_read_only, mounted_tmpfs
from tests.support.ports import free_port
from tests.support.programs import docker_registry
from tests.support.trees import read_stats, read_tree
from tests.support.v1_volumes import pushed_by, write_images, write_tags
from tests.support.v1server import make_pushed

NEW = pushed_by("1.5.0")
OLD = pushed_by("1.0.1")
V1 = ("images", "repositories")


def write_volume(root: Path) -> Path:
    """A volume of docker-registry 0.9.1."""
    write_images(root, NEW)
    write_images(root, OLD)
    write_tags(root, "team/app", {"1": NEW[-1].id, "base": NEW[0].id})
    write_tags(root, "library/busybox", {"latest": OLD[-1].id})
    return root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return write_volume(tmp_path / "data")


def migrate(what: str, root: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    done = portside("migrate", what, "--data", root, *more, folder=root.parent)
    assert "Traceback" not in done.stderr
    return done


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Store]:
    storage = open_folder(v2_root(root))
    v1_storage = storage if v2_root(root) == root else open_folder(root)
    store = Store(storage, v1_storage=v1_storage)
    try:
        yield store
    finally:
        await store.close()
        await storage.close()
        if v1_storage is not storage:
            await v1_storage.close()


async def migrate_here(root: Path) -> None:
    """As `portside migrate run`, in this process."""
    async with opened(root) as store:
        await run_migration(store, await plan_migration(store, NameMap()), actor=ACTOR, watcher=Lines(0, unheard))


async def differences(root: Path) -> list[Difference]:
    """As `portside migrate verify`, in this process."""
    async with opened(root) as store:
        found = await plan_migration(store, NameMap())
        sentences = [each async for each in Verifier(store, unread).verify(found)]
        impossible = [Difference(each, each.why) for each in found.of(State.IMPOSSIBLE)]
        return [*sentences, *impossible]


def unheard(line: str) -> None:
    """Nobody listens."""


def unread(size: int) -> None:
    """Nobody counts."""


def of_v1(root: Path) -> Any:
    """All that v1 has, with times and inodes."""
    stats = {path: each for path, each in read_stats(root).items() if path.startswith(V1)}
    times = {path: (each.st_mtime_ns, each.st_ino, each.st_mode, each.st_uid) for path, each in stats.items()}
    return times, {path: content for path, content in read_tree(root).items() if path.startswith(V1)}


def get(address: str, path: str, accept: str = media_types.SCHEMA2) -> tuple[str, bytes]:
    request = urllib.request.Request(f"http://{address}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


@contextmanager
def distribution(root: Path, folder: Path) -> Iterator[str]:
    """The original of v2 on a volume."""
    place = folder / "distribution"
    place.mkdir(exist_ok=True)
    link = place / "data"
    if not link.exists():
        link.symlink_to(root)
    with docker_registry(place) as address:
        yield f"{address.host}:{address.port}"


def pull(address: str, name: str, tag: str) -> tuple[bytes, dict[str, Any], list[bytes]]:
    """A manifest of schema 2, its configuration and its layers, as a client gets them that checks digests."""
    media_type, manifest = get(address, f"/v2/{name}/manifests/{tag}")
    assert media_type == media_types.SCHEMA2
    document = json.loads(manifest)
    blobs = []
    for each in (document["config"], *document["layers"]):
        _, content = get(address, f"/v2/{name}/blobs/{each['digest']}")
        assert each["digest"] == "sha256:" + sha256(content).hexdigest()
        assert each["size"] == len(content)
        blobs.append(content)
    return manifest, json.loads(blobs[0]), blobs[1:]


def test_a_plan_says_what_would_be_made_and_writes_nothing(volume: Path) -> None:
    write_tags(volume, "team/a..b", {"1": NEW[-1].id, "2": NEW[0].id})
    write_tags(volume, "team/tags", {"1+b": NEW[-1].id, "gone": "f" * 64})
    before, stats = read_tree(volume), read_stats(volume)
    done = migrate("plan", volume)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "library/busybox",
        "  latest  to migrate  7 images, 489 bytes",
        "team/a..b",
        "  2 tags  not possible  v2 cannot have the name team/a..b; give it another one: --map team/a..b=NEW",
        "team/app",
        "  1     to migrate  3 images, 496 bytes",
        "  base  to migrate  1 image, 219 bytes",
        "team/tags",
        "  1+b   not possible  v2 cannot have the tag 1+b; give it another one: --map team/tags:1+b=team/tags:NEW",
        "  gone  not possible  image ffffffffffff is not whole: a push was cut off, or it was deleted",
        "3 to migrate, 4 not possible; 10 layers of 985 bytes that are linked, not copied",
    ]
    assert read_tree(volume) == before
    assert {path: each.st_mtime_ns for path, each in read_stats(volume).items()} == {
        path: each.st_mtime_ns for path, each in stats.items()
    }


def test_a_plan_for_machines_says_the_same(volume: Path) -> None:
    write_tags(volume, "team/a..b", {"1": NEW[-1].id})
    assert migrate("run", volume, "--map", "busybox=tools").returncode == 1
    write_tags(volume, "team/new", {"1": NEW[-1].id})
    write_tags(volume, "team/old", {"1": OLD[-1].id})
    write_tags(volume, "team/a..c", {"1": OLD[-1].id})
    done = migrate("plan", volume, "--json", "--map", "busybox=tools", "--map", "team/old=team/app", "--map", "x=y")
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    top, old = NEW[-1].id, OLD[-1].id
    cannot = "v2 cannot have the name team/a..%s; give it another one: --map team/a..%s=NEW"
    keys = ("name", "tag", "id", "state", "to", "images", "size", "why")
    taken = "team/app:1 becomes team/app:1 too; give one of them another name with --map"
    assert [tuple(each[key] for key in keys) for each in plan.pop("tags")] == [
        ("busybox", "latest", old, "migrated", {"name": "tools", "tag": "latest"}, 7, 489, None),
        ("team/a..b", "1", top, "impossible", None, None, None, cannot % ("b", "b")),
        ("team/a..c", "1", old, "impossible", None, None, None, cannot % ("c", "c")),
        ("team/app", "1", top, "migrated", {"name": "team/app", "tag": "1"}, 3, 496, None),
        ("team/app", "base", NEW[0].id, "migrated", {"name": "team/app", "tag": "base"}, 1, 219, None),
        ("team/new", "1", top, "planned", {"name": "team/new", "tag": "1"}, 3, 496, None),
        ("team/old", "1", old, "impossible", None, None, None, taken),
    ]
    assert plan == {"layers": 3, "size": 496, "free": None, "notFound": ["x"]}


def test_the_original_of_v2_alone_serves_what_was_migrated(volume: Path, tmp_path: Path) -> None:
    before = of_v1(volume)
    done = migrate("run", volume)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "3 tags migrated; what v1 has is as it was"
    assert of_v1(volume) == before
    for folder in V1:
        shutil.rmtree(volume / folder)
    shutil.rmtree(volume / "docker/registry/portside")
    with distribution(volume, tmp_path) as address:
        manifest, config, layers = pull(address, "team/app", "1")
        assert manifest == example("v1-pushed-by-docker-1.5.0/expected-schema2.json")
        assert config == example_json("v1-pushed-by-docker-1.5.0/expected-config.json")
        assert set(layers) <= {image.layer for image in NEW}
        manifest, config, _ = pull(address, "busybox", "latest")
        assert manifest == example("v1-pushed-by-docker-1.0.1/expected-schema2.json")
        assert config == example_json("v1-pushed-by-docker-1.0.1/expected-config.json")
        pull(address, "team/app", "base")
        assert json.loads(get(address, "/v2/_catalog")[1]) == {"repositories": ["busybox", "team/app"]}


def test_layers_are_linked_within_a_root_and_copied_to_another_one(volume: Path, tmp_path: Path) -> None:
    layer = NEW[0]
    digest = sha256(layer.layer).hexdigest()
    settings = tmp_path / "two.yml"
    other = tmp_path / "v2"
    settings.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {other}\n"
        f"gateway:\n  v1:\n    storagepath: {volume}\n"
    )
    done = portside("migrate", "run", settings, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"; 10 layers of 985 bytes to copy to v2's root, where \d+\.\d [KMGTP]iB are free", done.stdout)
    data = f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    assert (other / data).read_bytes() == layer.layer
    assert (other / data).stat().st_ino != (volume / f"images/{layer.id}/layer").stat().st_ino
    assert not (volume / "docker/registry/v2").exists()
    assert portside("migrate", "verify", settings, folder=tmp_path).returncode == 0
    assert migrate("run", volume).returncode == 0
    assert (volume / data).stat().st_ino == (volume / f"images/{layer.id}/layer").stat().st_ino
    with distribution(other, tmp_path) as address:
        pull(address, "team/app", "1")


def test_a_second_run_has_nothing_to_do_and_changes_nothing(volume: Path) -> None:
    assert migrate("run", volume).returncode == 0
    before = read_tree(volume)
    done = migrate("run", volume)
    assert (done.returncode, done.stdout) == (0, "3 migrated\n0 tags migrated; what v1 has is as it was\n")
    assert read_tree(volume) == before
    done = migrate("verify", volume)
    assert (done.returncode, done.stdout) == (0, "3 migrated tags compared, no differences\n")
    assert read_tree(volume) == before


def test_names_that_v2_cannot_have_get_those_of_the_map(volume: Path, tmp_path: Path) -> None:
    write_tags(volume, "team/a..b", {"1": NEW[-1].id, "1+b": NEW[0].id})
    names = tmp_path / "names"
    names.write_text("# as agreed\nteam/a..b=team/ab\n\nteam/a..b:1+b = other:1-b\n")
    more = ("--names", names, "--map", "busybox=box", "--map", "none=x")
    done = migrate("run", volume, *more)
    assert done.returncode == 0, done.stdout
    assert "team/a..b:1 is team/ab:1@sha256:" in done.stdout
    assert "team/a..b:1+b is other:1-b@sha256:" in done.stdout
    assert "library/busybox:latest is box:latest@sha256:" in done.stdout
    misspelt = "none is in the map, and v1 has nothing of that name\n"
    assert misspelt in done.stdout
    assert misspelt in migrate("plan", volume, *more).stdout
    assert migrate("verify", volume, *more).stdout == "5 migrated tags compared, no differences\n"
    with distribution(volume, tmp_path) as address:
        assert json.loads(get(address, "/v2/_catalog")[1])["repositories"] == ["box", "other", "team/ab", "team/app"]
        pull(address, "box", "latest")
        pull(address, "team/ab", "1")


def test_a_volume_without_checksums_and_with_unfinished_images(volume: Path) -> None:
    for path in volume.glob("images/*/_checksum"):
        path.unlink()
    unfinished = make_pushed("c", parent=NEW[-1].id)
    write_images(volume, [*NEW, unfinished])
    (volume / f"images/{unfinished.id}/_inprogress").touch()
    lost = make_pushed("d", parent=NEW[-1].id)
    write_images(volume, [*NEW, lost])
    (volume / f"images/{lost.id}/layer").unlink()
    orphan = make_pushed("e", parent="f" * 64)
    write_images(volume, [make_pushed("f"), orphan])
    shutil.rmtree(volume / f"images/{'f' * 64}")
    damaged = make_pushed("b", layer=NEW[0].layer[:-3])
    write_images(volume, [damaged])
    tags = {"c": unfinished.id, "d": lost.id, "e": orphan.id, "b": damaged.id}
    write_tags(volume, "team/bad", tags)
    (volume / "repositories/team/bad/tag_x").write_text("not an id")
    for path in volume.glob("images/*/_checksum"):
        path.unlink()
    done = migrate("run", volume)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-1] == "3 tags migrated; what v1 has is as it was"
    for tag, why in {
        "c": "image cccccccccccc is not whole: a push was cut off, or it was deleted",
        "d": "image dddddddddddd has lost its layer; push it again with a client of its time",
        "e": "image ffffffffffff, on which eeeeeeeeeeee is built, is not stored here",
        "b": f"the layer of image {damaged.id} cannot be read: it ends in the middle of its gzip data; push the image",
    }.items():
        (line,) = [line for line in lines if line.startswith(f"team/bad:{tag} ")]
        assert why in line
    assert not any("team/bad:x" in line for line in lines)
    done = migrate("verify", volume)
    assert done.returncode == 1
    assert "3 migrated tags compared, 1 difference" in done.stdout  # of the damaged layer only reading it tells


def test_two_tags_never_become_one(volume: Path) -> None:
    write_tags(volume, "team/a..b", {"1": NEW[0].id})
    done = migrate("run", volume, "--map", "team/a..b=team/app")
    assert done.returncode == 1
    said = "team/app:1 is not possible: team/a..b:1 becomes team/app:1 too; give one of them another name with --map"
    assert said in done.stdout.splitlines()


def push_v2(root: Path, name: str, tag: str) -> str:
    """A schema 2 image, pushed with Portside's registry on the volume; returns its digest."""
    port = free_port()
    with running_command("v2", "--addr", f"127.0.0.1:{port}", "--data", root, folder=root.parent, port=port):

        def ask(method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", data=body, method=method, headers={"Content-Type": kind}
            )
            return urllib.request.urlopen(request, timeout=10)

        def put(content: bytes) -> dict[str, Any]:
            digest = "sha256:" + sha256(content).hexdigest()
            with ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content) as answer:
                assert answer.status == 201
            return {"digest": digest, "size": len(content)}

        layer = gzip.compress(b"of v2", mtime=0)
        config = put(b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": media_types.SCHEMA2,
                "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", **put(layer)}],
            }
        ).encode()
        with ask("PUT", f"/v2/{name}/manifests/{tag}", manifest, media_types.SCHEMA2) as answer:
            return str(answer.headers["Docker-Content-Digest"])


def test_what_v2_clients_pushed_later_stays(volume: Path, tmp_path: Path) -> None:
    digest = push_v2(volume, "team/app", "1")
    push_v2(volume, "taken", "latest")
    more = ("--map", "busybox=taken")
    done = migrate("run", volume, *more)
    assert done.returncode == 0, done.stdout
    assert "team/app:1 is skipped: team/app:1 was moved on or deleted by v2 clients since" in done.stdout
    assert "taken:latest names another image; give library/busybox:latest another name with --map" in done.stdout
    with distribution(volume, tmp_path) as address:
        assert "sha256:" + sha256(get(address, "/v2/team/app/manifests/1")[1]).hexdigest() == digest
    done = migrate("verify", volume, *more)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "1 migrated tag compared, no differences"


def test_what_v1_clients_pushed_later_takes_the_place_of_what_v2_has(volume: Path, tmp_path: Path) -> None:
    push_v2(volume, "team/app", "1")
    write_tags(volume, "team/app", {"1": NEW[-1].id})
    assert migrate("run", volume).stdout.splitlines()[-1] == "3 tags migrated; what v1 has is as it was"
    with distribution(volume, tmp_path) as address:
        manifest, _, _ = pull(address, "team/app", "1")
        assert manifest == example("v1-pushed-by-docker-1.5.0/expected-schema2.json")


def test_what_v1_clients_push_after_a_migration_is_migrated_by_the_next(volume: Path, tmp_path: Path) -> None:
    assert migrate("run", volume, "--map", "busybox=box").returncode == 0
    write_tags(volume, "team/app", {"1": OLD[-1].id})
    write_tags(volume, "library/busybox", {"latest": NEW[-1].id})
    assert migrate("verify", volume, "--map", "busybox=box").stdout.splitlines() == [
        "library/busybox:latest: it is not migrated; run portside migrate run",
        "team/app:1: it is not migrated; run portside migrate run",
        "1 migrated tag compared, 2 differences",
    ]
    done = migrate("run", volume, "--map", "busybox=box")
    assert done.stdout.splitlines()[-1] == "2 tags migrated; what v1 has is as it was"
    with distribution(volume, tmp_path) as address:
        manifest, _, _ = pull(address, "team/app", "1")
        assert manifest == example("v1-pushed-by-docker-1.0.1/expected-schema2.json")
        manifest, _, _ = pull(address, "box", "latest")
        assert manifest == example("v1-pushed-by-docker-1.5.0/expected-schema2.json")


@pytest.mark.parametrize(
    ("compress", "is_kept"), [(bz2.compress, False), (lzma.compress, False), (gzip.compress, True), (bytes, True)]
)
def test_a_layer_that_not_all_clients_can_unpack_becomes_gzip(
    tmp_path: Path,
    compress: Any,
    is_kept: bool,  # noqa: FBT001 - a row of the table
) -> None:
    raw = b"a file" + bytes(1018)
    image = make_pushed("a", layer=compress(raw), os="linux", created="2015-01-01T00:00:00Z")
    volume = tmp_path / "data"
    write_images(volume, [image])
    write_tags(volume, "team/app", {"1": image.id})
    asyncio.run(migrate_here(volume))
    assert asyncio.run(differences(volume)) == []
    with distribution(volume, tmp_path) as address:
        _, config, (layer,) = pull(address, "team/app", "1")
    assert config["rootfs"]["diff_ids"] == ["sha256:" + sha256(raw).hexdigest()]
    assert (layer == image.layer) is is_kept
    if not is_kept:
        assert gzip.decompress(layer) == raw


def test_an_image_of_nothing_but_empty_layers_is_whole(tmp_path: Path) -> None:
    image = make_pushed("a", layer=gzip.compress(bytes(1024)))
    volume = tmp_path / "data"
    write_images(volume, [image])
    write_tags(volume, "team/app", {"1": image.id})
    asyncio.run(migrate_here(volume))
    assert asyncio.run(differences(volume)) == []
    with distribution(volume, tmp_path) as address:
        pull(address, "team/app", "1")


def test_v1_clients_pull_what_was_migrated_under_its_own_ids_as_long_as_it_is_there(volume: Path) -> None:
    assert migrate("run", volume).returncode == 0
    port = free_port()
    with running_command("v1", "--addr", f"127.0.0.1:{port}", "--data", volume, folder=volume.parent, port=port):
        address = f"127.0.0.1:{port}"
        tags = json.loads(get(address, "/v1/repositories/team/app/tags")[1])
        assert tags == {"1": NEW[-1].id, "base": NEW[0].id}
        listed = json.loads(get(address, "/v1/repositories/team/app/images")[1])
        assert {each["id"] for each in listed} == {NEW[-1].id, NEW[0].id}
        ancestry = json.loads(get(address, f"/v1/images/{tags['1']}/ancestry")[1])
        assert ancestry == [image.id for image in reversed(NEW)]
        for image in NEW:
            assert get(address, f"/v1/images/{image.id}/json")[1] == image.json
            assert get(address, f"/v1/images/{image.id}/layer")[1] == image.layer
        for folder in V1:
            shutil.rmtree(volume / folder)
        tags = json.loads(get(address, "/v1/repositories/team/app/tags")[1])
        assert sorted(tags) == ["1", "base"]
        assert set(tags.values()).isdisjoint(ancestry)
        for image_id in json.loads(get(address, f"/v1/images/{tags['1']}/ancestry")[1]):
            assert json.loads(get(address, f"/v1/images/{image_id}/json")[1])["id"] == image_id
            assert get(address, f"/v1/images/{image_id}/layer")[1]


def test_a_migration_changes_nothing_for_clients_of_schema_2_and_digest_and_ids_for_those_of_schema_1(
    volume: Path,
) -> None:
    port = free_port()
    address, path = f"127.0.0.1:{port}", "/v2/team/app/manifests/"
    with running_command("v2", "--addr", address, "--data", volume, folder=volume.parent, port=port):

        def shown() -> tuple[bytes, bytes, list[str], list[str]]:
            (_, schema2), (_, schema1) = (
                get(address, path + "1", one) for one in (media_types.SCHEMA2, media_types.SCHEMA1_SIGNED)
            )
            document = json.loads(schema1)
            ids = [json.loads(each["v1Compatibility"])["id"] for each in document["history"]]
            return schema2, schema1, [each["blobSum"] for each in document["fsLayers"]], ids

        before = shown()
        request = urllib.request.Request(
            f"http://{address}{path}1", headers={"Accept": media_types.SCHEMA1_SIGNED}, method="HEAD"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            digest = answer.headers["Docker-Content-Digest"]
        assert migrate("run", volume).returncode == 0
        after = shown()
        assert after[0] == before[0]
        assert after[1] != before[1]
        assert after[2] == before[2]
        assert before[3] == [image.id for image in reversed(NEW)]
        assert after[3] != before[3]
        assert get(address, path + digest, media_types.SCHEMA1_SIGNED)[1] == before[1]


# what verify finds


def blob(root: Path, content: bytes) -> Path:
    digest = sha256(content).hexdigest()
    return root / f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"


def cut_blob(root: Path) -> str:
    path = blob(root, NEW[0].layer)
    path.unlink()  # the image's layer is the same file
    path.write_bytes(NEW[0].layer[:-1])
    return "cannot be read: it ends in the middle of its gzip data"


def change_blob(root: Path) -> str:
    path = blob(root, NEW[0].layer)
    path.unlink()
    path.write_bytes(gzip.compress(b"other"))
    return "is damaged on disk: its bytes have digest sha256:"


def remove_blob(root: Path) -> str:
    blob(root, NEW[0].layer).unlink()
    return "is not stored"


def remove_layer_link(root: Path) -> str:
    digest = sha256(NEW[0].layer).hexdigest()
    (root / f"docker/registry/v2/repositories/team/app/_layers/sha256/{digest}/link").unlink()
    return "_layers/sha256/"


def remove_config(root: Path) -> str:
    manifest = example_json("v1-pushed-by-docker-1.5.0/expected-schema2.json")
    digest = manifest["config"]["digest"].removeprefix("sha256:")
    (root / f"docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data").unlink()
    return f"blob sha256:{digest} is not stored"


def change_manifest(root: Path) -> str:
    path = blob(root, example("v1-pushed-by-docker-1.5.0/expected-schema2.json"))
    path.write_bytes(path.read_bytes() + b"\n")
    return "is damaged on disk: its bytes have another digest"


def change_v1_layer(root: Path) -> str:
    path = root / f"images/{NEW[0].id}/layer"
    path.unlink()
    path.write_bytes(gzip.compress(b"other"))
    return "layer 1, sha256:"


def change_v1_json(root: Path) -> str:
    path = root / f"images/{NEW[-1].id}/json"
    path.write_bytes(path.read_bytes().replace(b'"amd64"', b'"arm64"'))
    return "is not what the v1 images' JSON becomes"


def remove_v1_layer(root: Path) -> str:
    (root / f"images/{NEW[0].id}/layer").unlink()
    return "has lost its layer"


DAMAGES = [
    cut_blob, change_blob, remove_blob, remove_layer_link, remove_config, change_manifest, change_v1_layer,
    change_v1_json, remove_v1_layer,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_verify_finds_whatever_is_not_as_in_v1(volume: Path, damage: Any) -> None:
    (volume / "repositories/team/app/tag_base").unlink()
    asyncio.run(migrate_here(volume))
    assert asyncio.run(differences(volume)) == []
    said = damage(volume)
    found, *_ = asyncio.run(differences(volume))  # where a layer differs, so does the configuration that names it
    assert (found.plan.tag.name.text, found.plan.tag.text) == ("team/app", "1")
    assert said in found.sentence


# what may happen meanwhile


@pytest.mark.parametrize("roots", [1, 2])
def test_a_migration_that_is_killed_at_any_step_goes_on_from_there(tmp_path: Path, roots: int) -> None:
    original, whole = tmp_path / "original", tmp_path / "whole"
    images = NEW if roots == 1 else NEW[:1]
    for root in (original, whole):
        write_images(root, images)
        write_tags(root, "team/app", {"1": images[-1].id})
        if roots > 1:
            (root / "v2").mkdir()
    program = [sys.executable, "-m", "tests.support.killed_migration"]
    killed = 0
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def attempt(number: int, root: Path) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{number} {root}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        assert attempt(0, whole) == "done"
        for number in count(1):
            root = tmp_path / "data"
            shutil.copytree(original, root, copy_function=os.link)
            before = of_v1(root)
            outcome = attempt(number, root)
            if outcome == "killed":
                killed += 1
                assert_only_unmigrated(root)
                assert attempt(0, root) == "done"
            assert of_v1(root) == before
            assert read_v2(root) == read_v2(whole)
            assert asyncio.run(differences(root)) == []
            shutil.rmtree(root)
            if outcome == "done":
                break
        assert process.stdin is not None
        process.stdin.close()
    assert killed > 20


def read_v2(root: Path) -> dict[str, bytes | None]:
    """Distribution's tree, and no more."""
    return read_tree(v2_root(root) / "docker/registry/v2")


def assert_only_unmigrated(root: Path) -> None:
    """What is there is whole, and what is not is not there."""
    assert {each.sentence for each in asyncio.run(differences(root))} <= {
        "it is not migrated; run portside migrate run"
    }


def test_a_full_disk_ends_it_with_a_sentence_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "data") as root:
        write_volume(root)
        filler = fill_up(root)
        done = migrate("run", root)
        assert done.returncode == 1
        assert "run it again" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        filler.unlink()
        done = migrate("run", root)
        assert done.returncode == 0, done.stdout
        assert migrate("verify", root).returncode == 0


def test_plan_and_verify_work_on_a_volume_that_is_mounted_read_only(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "data") as root:
        write_volume(root)
        make_read_only(root)
        assert "3 to migrate" in migrate("plan", root).stdout
        assert "3 differences" in migrate("verify", root).stdout
        done = migrate("run", root)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_a_terminal_has_a_bar(volume: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "portside.cli", "migrate", "run", "--data", str(volume)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            said += piece
        process.wait()
    os.close(master)
    assert b"100%" in said
    assert b"3 tags migrated" in said
    assert b"@sha256" not in said


# what it refuses


def test_what_is_in_its_way_is_one_sentence(volume: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yml"
    root = f"storage:\n  filesystem:\n    rootdirectory: {volume}\n"
    settings.write_text(f"version: 0.1\n{root}  maintenance:\n    readonly:\n      enabled: true\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    attempts: list[tuple[list[str | Path], str]] = [
        (["run", settings], "read-only"),
        (["plan", "--data", empty], "has no repositories: name the data folder with --data"),
        (["plan", "--data", volume, "--map", "team/app"], "'team/app' is not a pair of names; write OLD=NEW"),
        (["plan", "--data", empty / "none"], "there is no folder"),
        (["plan", "--data", volume, "--names", empty / "none"], "none cannot be read: No such file or directory"),
    ]
    for arguments, said in attempts:
        done = portside("migrate", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert said in line


def test_settings_that_forbid_conversions_are_obeyed(volume: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yml"
    settings.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {volume}\n"
        "gateway:\n  conversions:\n    rules:\n"
        "      - repositories: team/*\n        convert: forbid\n      - repositories: '*'\n        convert: pinned\n"
    )
    done = portside("migrate", "run", settings, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 tags of team/app are skipped: the settings forbid conversions in team/app" in done.stdout
    assert "library/busybox:latest is busybox:latest@" in done.stdout


def test_files_of_another_user_are_not_mixed_with_root_s(volume: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can write to what belongs to others")
    os.chown(volume / "repositories", 5000, 5000)
    done = migrate("run", volume)
    assert done.returncode == 1
    assert "setpriv --reuid=5000 --clear-groups portside migrate run" in done.stderr


def test_it_may_run_beside_servers(volume: Path) -> None:
    port = free_port()
    with running_command("v2", "--addr", f"127.0.0.1:{port}", "--data", volume, folder=volume.parent, port=port):
        assert migrate("run", volume).returncode == 0
        manifest, _, _ = pull(f"127.0.0.1:{port}", "team/app", "1")
        assert manifest == example("v1-pushed-by-docker-1.5.0/expected-schema2.json")
