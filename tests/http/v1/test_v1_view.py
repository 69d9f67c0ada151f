"""What v2 clients pushed is served to v1 clients: ids, JSON and layers as the worked examples have them."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target, V2Target
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.v1.settings import V1Settings
from tests.support.formats import digest_of, example, inflated
from tests.support.layers import Compression, pack
from tests.support.pushed_examples import (
    Layer,
    config_of,
    expected_v1,
    gzip_layer,
    image_of,
    index_of,
    push_example,
    push_image,
    put_manifest,
)
from tests.support.stores import everything
from tests.support.v1server import Answer, RunningRegistry, make_pushed, running_v1

NAME = RepositoryName("team/app")
REPOSITORY = f"/v1/repositories/{NAME}"
ARM = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.16.0-4 os/linux arch/arm64"
EMPTY = example("empty-layer/empty.tar.gz")
TAR = b"\0" * 511 + b"\1" + b"\0" * 1024


async def ids_of(registry: RunningRegistry, top: str) -> list[str]:
    """The ids of a chain, base first."""
    answer = await registry.ask("GET", f"/v1/images/{top}/ancestry")
    assert answer.status == 200, answer.body
    return [*reversed(answer.json)]


@pytest.mark.parametrize("folder", ["schema2-image", "oci-image", "oci-zstd-image"])
async def test_what_v2_clients_pushed_is_a_chain_of_v1_images(
    registry: RunningRegistry, store: Store, folder: str
) -> None:
    await push_example(store, NAME, "1.0", folder)
    expected = expected_v1(folder)
    top = expected[-1].image_id
    assert (await registry.ask("GET", f"{REPOSITORY}/images")).json == [{"id": top}]
    assert (await registry.ask("GET", f"{REPOSITORY}/tags")).json == {"1.0": top}
    assert (await registry.ask("GET", f"{REPOSITORY}/tags/1.0")).json == top
    assert await ids_of(registry, top) == [image.image_id for image in expected]
    contents = []
    for image in expected:
        described = await registry.ask("GET", f"/v1/images/{image.image_id}/json")
        assert (described.status, described.body) == (200, image.text)
        layer = await registry.ask("GET", f"/v1/images/{image.image_id}/layer")
        assert described.head.value("X-Docker-Size") == layer.head.value("Content-Length") == str(len(layer.body))
        assert layer.body.startswith(b"\x1f\x8b")
        contents.append(digest_of(gzip.decompress(layer.body)))
    stated = [each["layer"] for each in json.loads(example(f"{folder}/expected-v1/chain.json"))]
    empty = digest_of(bytes(1024))
    assert [str(content) for content in contents] == [each or str(empty) for each in stated]


async def test_the_empty_layer_is_never_without_bytes(registry: RunningRegistry, store: Store) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    base = expected_v1("schema2-image")[0].image_id
    top = (await registry.ask("GET", f"{REPOSITORY}/tags/1.0")).json
    await ids_of(registry, top)
    layer = await registry.ask("GET", f"/v1/images/{base}/layer")
    assert (layer.status, layer.body) == (200, EMPTY)
    rest = await registry.ask("GET", f"/v1/images/{base}/layer", "Range: bytes=10-32")
    assert (rest.status, rest.body) == (206, EMPTY[10:])
    end = await registry.ask("GET", f"/v1/images/{base}/layer", "Range: bytes=32-32")
    assert (end.status, end.body, end.head.value("Content-Length")) == (416, b"", "0")


async def test_a_client_gets_the_image_of_an_index_for_what_it_runs_on(registry: RunningRegistry, store: Store) -> None:
    layers = [gzip_layer(TAR)]
    contents = {}
    for architecture in ("arm64", "amd64"):
        config = config_of(layers, architecture=architecture)
        await push_image(store, NAME, None, layers, config=config)
        contents[f"linux/{architecture}"] = image_of(config, layers)
    attestation = {"unknown/unknown": image_of(b"{}", [])}
    await push_image(store, NAME, None, [], config=b"{}")
    await put_manifest(store, NAME, "1.0", index_of({**attestation, **contents}))
    seen = {}
    for agent in (ARM, None):
        top = (await registry.ask("GET", f"{REPOSITORY}/tags", agent=agent)).json["1.0"]
        assert (await registry.ask("GET", f"{REPOSITORY}/tags/1.0", agent=agent)).json == top
        assert (await registry.ask("GET", f"{REPOSITORY}/images", agent=agent)).json == [{"id": top}]
        assert len(await ids_of(registry, top)) == 1
        seen[agent] = (await registry.ask("GET", f"/v1/images/{top}/json")).json["architecture"]
    assert seen == {ARM: "arm64", None: "amd64"}


async def test_layers_that_old_clients_can_read_go_out_as_they_are(registry: RunningRegistry, store: Store) -> None:
    packed = [pack(TAR + bytes([number]), form) for number, form in enumerate([Compression.NONE, Compression.BZIP2])]
    packed.append(pack(TAR + b"\2", Compression.XZ))
    layers = [Layer(stored, digest_of(TAR + bytes([number]))) for number, stored in enumerate(packed)]
    await push_image(store, NAME, "1.0", layers)
    top = (await registry.ask("GET", f"{REPOSITORY}/tags/1.0")).json
    for image_id, layer in zip(await ids_of(registry, top), layers, strict=True):
        described = await registry.ask("GET", f"/v1/images/{image_id}/json")
        assert described.head.value("X-Docker-Size") == str(len(layer.stored))
        assert (await registry.ask("GET", f"/v1/images/{image_id}/layer")).body == layer.stored


async def test_zstd_in_a_gzip_becomes_a_gzip(registry: RunningRegistry, store: Store) -> None:
    stored = gzip.compress(pack(TAR, Compression.ZSTD), mtime=0)
    await push_image(store, NAME, "1.0", [Layer(stored, digest_of(TAR))])
    top = (await registry.ask("GET", f"{REPOSITORY}/tags/1.0")).json
    await ids_of(registry, top)
    described = await registry.ask("GET", f"/v1/images/{top}/json")
    layer = await registry.ask("GET", f"/v1/images/{top}/layer")
    assert inflated(layer.body)[1] == TAR
    assert described.head.value("X-Docker-Size") == str(len(layer.body))


# what they cannot have


async def refusal(registry: RunningRegistry, tag: str) -> str:
    """Why a tag is a 404; it is not in the list either."""
    answer = await registry.ask("GET", f"{REPOSITORY}/tags/{tag}")
    assert answer.status == 404
    assert tag not in (await registry.ask("GET", f"{REPOSITORY}/tags")).json
    return str(answer.json["error"])


async def test_what_is_no_image_is_left_out_and_says_why(registry: RunningRegistry, store: Store) -> None:
    await push_image(store, NAME, "config", [], config=b"{}")
    await push_image(store, NAME, "layer", [], config=b"\x1f\x8b not JSON at all")
    await push_image(store, NAME, "large", [], config=b" " * (5 << 20))
    chart = Layer(b"a chart", digest_of(b"a chart"), "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    await push_image(store, NAME, "chart", [chart])
    many = [gzip_layer(TAR + number.to_bytes(2)) for number in range(121)]
    await push_image(store, NAME, "many", many)
    await push_image(store, NAME, "count", [gzip_layer(TAR)], config=config_of([]))
    config = config_of([gzip_layer(TAR)], architecture="arm64")
    await push_image(store, NAME, None, [gzip_layer(TAR)], config=config)
    windows = {"windows/amd64": image_of(config, [gzip_layer(TAR)])}
    await put_manifest(store, NAME, "windows", index_of(windows))
    nothing = await registry.ask("GET", f"{REPOSITORY}/images")
    assert nothing.status == 404
    assert re.search(r"can pull none of the 7 tags of team/app; tag \w+: ", nothing.json["error"])
    await push_image(store, NAME, "good", [gzip_layer(TAR)])
    assert [*(await registry.ask("GET", f"{REPOSITORY}/tags")).json] == ["good"]
    for tag in ("config", "layer"):
        assert "not an image's configuration" in await refusal(registry, tag)
    assert "not a container image" in await refusal(registry, "large")
    assert "helm.chart" in await refusal(registry, "chart")
    assert "121 layers" in await refusal(registry, "many")
    assert "not whole" in await refusal(registry, "count")
    assert "linux/amd64" in await refusal(registry, "windows")
    assert (await registry.ask("GET", f"{REPOSITORY}/tags/none")).told == (404, "Tag not found")


async def test_a_layer_that_is_not_what_its_configuration_says_is_not_sent(
    registry: RunningRegistry, store: Store
) -> None:
    honest, lying = gzip_layer(TAR), Layer(gzip_layer(b"evil" * 200).stored, digest_of(TAR))
    attacker = RepositoryName("evil/app")
    await push_image(store, attacker, "1.0", [lying])
    top = (await registry.ask("GET", f"/v1/repositories/{attacker}/tags/1.0")).json
    await ids_of(registry, top)
    refused = await registry.ask("GET", f"/v1/images/{top}/json")
    assert refused.status == 404
    assert str(lying.diff_id) in refused.json["error"]
    assert (await registry.ask("GET", f"/v1/images/{top}/layer")).status == 404
    # Whoever pushes the image that really has this id is not shut out by it.
    await push_image(store, NAME, "1.0", [honest])
    assert (await registry.ask("GET", f"{REPOSITORY}/tags/1.0")).json == top
    assert await ids_of(registry, top) == [top]
    assert (await registry.ask("GET", f"/v1/images/{top}/layer")).body == honest.stored


# pushed back


async def pulled_top(registry: RunningRegistry, tag: str, *, name: str = NAME) -> str:
    """The image that a tag names, after a client has asked for its ancestry, as all do."""
    top = (await registry.ask("GET", f"/v1/repositories/{name}/tags/{tag}")).json
    await ids_of(registry, top)
    return str(top)


async def test_an_image_that_is_pushed_back_is_its_manifest_again(registry: RunningRegistry, store: Store) -> None:
    digest = await push_example(store, NAME, "1.0", "schema2-image")
    top = await pulled_top(registry, "1.0")
    for image in expected_v1("schema2-image"):
        assert (await registry.ask("GET", f"/v1/images/{image.image_id}/json")).status == 200  # so it is not sent
    assert (await registry.ask("PUT", f"{REPOSITORY}/tags/2.0", body=json.dumps(top).encode())).status == 200
    assert await store.tags.target(NAME, TagName("2.0")) == V2Target(digest)
    assert (await registry.ask("GET", f"{REPOSITORY}/tags")).json == {"1.0": top, "2.0": top}
    assert await files_below(store, "/images") == []


async def test_of_two_manifests_of_one_image_the_younger_is_restored(registry: RunningRegistry, store: Store) -> None:
    older = await push_example(store, NAME, "docker", "schema2-image")
    younger = await push_example(store, NAME, "zstd", "oci-zstd-image")
    assert older != younger
    top = await pulled_top(registry, "docker")
    assert await pulled_top(registry, "zstd") == top
    assert (await registry.ask("PUT", f"{REPOSITORY}/tags/back", body=json.dumps(top).encode())).status == 200
    assert await store.tags.target(NAME, TagName("back")) == V2Target(younger)


async def test_a_tag_that_names_the_index_of_an_image_stays(registry: RunningRegistry, store: Store) -> None:
    layers = [gzip_layer(TAR)]
    child = await push_image(store, NAME, None, layers)
    index = await put_manifest(store, NAME, "1.0", index_of({"linux/amd64": image_of(config_of(layers), layers)}))
    top = await pulled_top(registry, "1.0")
    for tag, named in (("1.0", index), ("2.0", child)):
        assert (await registry.ask("PUT", f"{REPOSITORY}/tags/{tag}", body=json.dumps(top).encode())).status == 200
        assert await store.tags.target(NAME, TagName(tag)) == V2Target(named)


@pytest.mark.parametrize("folder", ["schema2-image", "oci-zstd-image"])
async def test_in_another_repository_it_becomes_an_ordinary_image(
    registry: RunningRegistry, store: Store, folder: str
) -> None:
    await push_example(store, NAME, "1.0", folder)
    top = await pulled_top(registry, "1.0")
    served = {image.image_id: await bodies(registry, image.image_id) for image in expected_v1(folder)}
    assert (
        await registry.ask("PUT", "/v1/repositories/other/app/tags/1.0", body=json.dumps(top).encode())
    ).status == 200
    assert await store.tags.target(RepositoryName("other/app"), TagName("1.0")) == V1Target(ImageId(top))
    await require_ordinary(store, served, [image.image_id for image in expected_v1(folder)])
    # And it stays when everything of the view is gone.
    await store.storage.driver.delete(f"{layout.DERIVED}/v1")
    await store.storage.driver.delete(layout.manifests(NAME))
    assert await ids_of(registry, top) == [*served]
    assert {image_id: await bodies(registry, image_id) for image_id in served} == served


async def test_its_ancestors_become_ordinary_images_before_a_child(registry: RunningRegistry, store: Store) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    top = await pulled_top(registry, "1.0")
    ids = [image.image_id for image in expected_v1("schema2-image")]
    served = {image_id: await bodies(registry, image_id) for image_id in ids}
    child = make_pushed("c", parent=top, layer=gzip.compress(TAR))
    await registry.push(NAME, "child", [child])
    await require_ordinary(store, {**served, child.id: (child.json, child.layer)}, [*ids, child.id])
    assert (await registry.ask("GET", f"{REPOSITORY}/tags")).json == {"1.0": top, "child": child.id}
    assert (await registry.ask("GET", f"/v1/images/{child.id}/ancestry")).json == [child.id, *reversed(ids)]
    assert await store.tags.target(NAME, TagName("child")) == V1Target(ImageId(child.id))


async def test_nobody_else_can_push_an_image_that_was_made_of_a_manifest(
    registry: RunningRegistry, store: Store
) -> None:
    await push_example(store, NAME, "1.0", "schema2-image")
    top = await pulled_top(registry, "1.0")
    other = make_pushed(top, layer=b"something else")
    assert (await registry.put_json(other)).told == (409, "Image already exists")
    assert (await bodies(registry, top))[0] == expected_v1("schema2-image")[-1].text


async def test_an_image_that_copied_an_id_beforehand_does_not_take_its_place(
    registry: RunningRegistry, store: Store
) -> None:
    expected = expected_v1("schema2-image")
    fake = make_pushed(expected[-1].image_id, layer=b"something else")
    await registry.push("evil/app", "1.0", [fake])
    await push_example(store, NAME, "1.0", "schema2-image")
    top = await pulled_top(registry, "1.0")
    assert top == fake.id
    assert (await bodies(registry, top))[0] == expected[-1].text


async def bodies(registry: RunningRegistry, image_id: str) -> tuple[bytes, bytes]:
    """An image's JSON and layer."""
    described = await registry.ask("GET", f"/v1/images/{image_id}/json")
    layer = await registry.ask("GET", f"/v1/images/{image_id}/layer")
    assert (described.status, layer.status) == (200, 200), (described.body, layer.body)
    assert described.head.value("X-Docker-Size") == str(len(layer.body))
    return described.body, layer.body


async def files_below(store: Store, path: str) -> list[str]:
    """The files below a folder; none where there is none."""
    return [] if not await exists(store.storage.driver, path) else [*await everything(store.storage.driver, path)]


async def require_ordinary(store: Store, served: dict[str, tuple[bytes, bytes]], chain: Sequence[str]) -> None:
    """Images lie in docker-registry's files as it writes them (V1API section 11)."""
    driver = store.storage.driver
    for number, image_id in enumerate(chain):
        text, layer = served[image_id]
        folder = layout.v1_image(ImageId(image_id))
        assert [*await driver.list(folder)] == ["_checksum", "ancestry", "json", "layer"]
        assert await driver.read(f"{folder}/json") == text
        assert await driver.read(f"{folder}/layer") == layer
        assert json.loads(await driver.read(f"{folder}/ancestry")) == [*reversed(chain[: number + 1])]
        payload = sha256(text + b"\n" + layer).hexdigest()
        assert await driver.read(f"{folder}/_checksum") == json.dumps([f"sha256:{payload}"]).encode()


# what takes long


@pytest.fixture
async def hasty(root: Path) -> AsyncIterator[RunningRegistry]:
    """A registry that keeps nobody waiting."""
    storage = open_folder(root)
    async with running_v1(storage, V1Settings(patience_seconds=0.0)) as running:
        yield running
    await storage.close()


async def following(registry: RunningRegistry, target: str) -> tuple[Answer, int]:
    """An answer after all redirects, of which no client is sent more than it follows; and how many there were."""
    count, answer = 0, await registry.ask("GET", target)
    while answer.status in {307, 503}:
        count += 1
        if answer.status == 503:
            assert answer.head.value("Retry-After") == "1"
            assert "pull it again later" in answer.json["error"]
            await asyncio.sleep(0.2)
            answer = await registry.ask("GET", target)
            continue
        location = answer.head.value("Location")
        assert location is not None
        assert location.startswith(f"{target}?portside-wait=")
        answer = await registry.ask("GET", location)
    return answer, count


@pytest.mark.parametrize("form", [Compression.ZSTD, Compression.GZIP])
async def test_who_waits_for_a_layer_is_sent_to_the_same_address(
    hasty: RunningRegistry, store: Store, form: Compression
) -> None:
    tar = random.Random(form.value).randbytes(20 << 20)
    await push_image(store, NAME, "1.0", [Layer(pack(tar, form), digest_of(tar))])
    top = (await hasty.ask("GET", f"{REPOSITORY}/tags/1.0")).json
    await ids_of(hasty, top)
    described, count = await following(hasty, f"/v1/images/{top}/json")
    assert count > 0
    assert described.body == (await hasty.ask("GET", f"/v1/images/{top}/json")).body
    layer = await hasty.ask("GET", f"/v1/images/{top}/layer")
    assert described.head.value("X-Docker-Size") == str(len(layer.body))
    assert inflated(layer.body)[1] == tar


async def test_who_waits_for_many_tags_is_sent_to_the_same_address(
    hasty: RunningRegistry, registry: RunningRegistry, store: Store
) -> None:
    layers = [gzip_layer(TAR)]
    for number in range(5):
        await push_image(store, NAME, f"{number}", layers, config=config_of(layers, number=number))
    for target in (f"{REPOSITORY}/tags", f"{REPOSITORY}/images"):
        assert (await hasty.ask("GET", target)).head.value("Location") == f"{target}?portside-wait=1"
        late = await hasty.ask("GET", f"{target}?portside-wait=8")
        assert late.status == 503
        assert "of the 5 tags of team/app, 0 have been looked at" in late.json["error"]
        assert len((await registry.ask("GET", target)).json) == 5
