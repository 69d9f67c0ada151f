"""Pulls from a v1 registry (WIRE section 4, V1API section 12)."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from tests.support.images import Pulled, V1Image
from tests.support.layers import Compression, UnreadableLayerError, unpack
from tests.support.v1_calls import CommandError, V1Calls
from tests.support.wire import BrokenConnectionError, Response

_JSON_TRIES: Final = 5
_LAYER_TRIES: Final = 5
_LAYERS_AT_ONCE: Final = 3


@dataclass(slots=True)
class V1Store:
    """What a daemon keeps of v1 images, by id."""

    images: dict[str, V1Image] = field(default_factory=dict)


class V1Pull:
    """One pull; `store` has the images that the daemon has, and gets those that it fetches."""

    def __init__(self, calls: V1Calls, store: V1Store) -> None:
        self._calls = calls
        self._store = store

    def pull(self, name: str, tag: str | None) -> list[Pulled]:
        """Pull one tag, or all of them when `tag` is None; images that are in the store are not fetched.

        Raises:
            CommandError: With the text that docker prints.
        """
        self._get_image_list(name, tag)
        wanted = self._tags(name, tag)
        if self._calls.profile.digest_ids:
            return [self._pull_images_of(one, image_id) for one, image_id in wanted.items()]
        ancestries = {image_id: self._ancestry(image_id) for image_id in dict.fromkeys(wanted.values())}
        for ancestry in ancestries.values():
            for image_id in reversed(ancestry):
                if image_id not in self._store.images:
                    self._store.images[image_id] = self._fetch(image_id)
        return [
            _pulled(one, [self._store.images[item] for item in reversed(ancestries[image_id])])
            for one, image_id in wanted.items()
        ]

    def _pull_images_of(self, tag: str, top: str) -> Pulled:
        """Docker 1.10 and later read all JSON of a tag, then the layers that are missing, in parallel."""
        ids = [*reversed(self._ancestry(top))]
        texts = {image_id: self._json(image_id) for image_id in ids}
        missing = [image_id for image_id in ids if image_id not in self._store.images]
        with ThreadPoolExecutor(_LAYERS_AT_ONCE) as pool:
            layers = pool.map(lambda image_id: self._layer(image_id, texts[image_id][1]), missing)
            for image_id, layer in zip(missing, layers, strict=True):
                self._store.images[image_id] = V1Image(image_id, texts[image_id][0], layer)
        return _pulled(tag, [self._store.images[image_id] for image_id in ids])

    def _get_image_list(self, name: str, tag: str | None) -> None:
        url = f"{self._calls.base}/v1/repositories/{name}/images"
        authorization = self._calls.list_authorization(always=self._calls.profile.basic_on_pull_list)
        response = self._calls.send("GET", url, authorization, {"X-Docker-Token": "true"})
        if response.status == 401:
            raise CommandError("Please login prior to pull:")
        if response.status == 404:
            raise CommandError(f"Error: image {name}:{tag or ''} not found")
        if response.status != 200:
            raise CommandError(f"HTTP code: {response.status}")
        self._calls.adopt(response, must_have_token=False, must_have_endpoints=False)
        listed = json.loads(response.body)
        if not all(isinstance(item["id"], str) for item in listed):
            raise CommandError("json: cannot unmarshal the list of images")

    def _tags(self, name: str, tag: str | None) -> dict[str, str]:
        # A name without namespace grows one here, and here only.
        full = name if "/" in name else f"library/{name}"
        url = f"{self._calls.endpoint}repositories/{full}/tags"
        if tag is not None and self._calls.profile.reads_one_tag:
            response = self._calls.get(f"{url}/{tag}")
            if response.status == 404:
                raise CommandError(f"Tag {tag} not found in repository {name}")
            if response.status != 200:
                raise CommandError(f"Server error: {response.status} trying to fetch tag {tag} of {name}")
            return {tag: _text(response)}
        response = self._calls.get(url)
        if response.status == 404:
            raise CommandError("Repository not found")
        if response.status != 200:
            raise CommandError("Could not reach any registry endpoint")
        tags: dict[str, str] = json.loads(response.body)
        if tag is None:
            return tags
        if tag not in tags:
            raise CommandError(f"Tag {tag} not found in repository {name}")
        return {tag: tags[tag]}

    def _ancestry(self, image_id: str) -> list[str]:
        response = self._calls.get(self._calls.image_url(image_id, "ancestry"))
        if response.status != 200:
            raise CommandError(f"Server error: {response.status} trying to fetch remote history for {image_id}")
        ids: list[str] = json.loads(response.body)
        return ids

    def _fetch(self, image_id: str) -> V1Image:
        text, size = self._json(image_id)
        if self._calls.profile.asks_layer_head:
            self._calls.send("HEAD", self._calls.image_url(image_id, "layer"), self._calls.registry_authorization(), {})
        return V1Image(image_id, text, self._layer(image_id, size))

    def _json(self, image_id: str) -> tuple[bytes, int]:
        """The JSON and the announced size of the layer, -1 if none; five tries, whatever the answer is."""
        status = 0
        for _ in range(_JSON_TRIES):
            response = self._calls.get(self._calls.image_url(image_id, "json"))
            if response.status == 200:
                return self._check_json(image_id, response)
            status = response.status
        raise CommandError(f"Error pulling image: HTTP code {status}")

    def _check_json(self, image_id: str, response: Response) -> tuple[bytes, int]:
        if json.loads(response.body)["id"] != image_id:
            raise CommandError(f"the JSON of image {image_id} names another id")
        size = response.value("X-Docker-Size")
        return response.body, int(size) if size else -1

    def _layer(self, image_id: str, size: int) -> bytes:
        broken: Exception | None = None
        for _ in range(_LAYER_TRIES):
            try:
                response = self._calls.get(self._calls.image_url(image_id, "layer"))
            except BrokenConnectionError as error:
                broken = error
                continue
            if response.status != 200:
                raise CommandError(f"Server error: Status {response.status} while fetching image layer ({image_id})")
            if size >= 0 and len(response.body) != size:
                raise CommandError(f"layer {image_id} has {len(response.body)} bytes, X-Docker-Size said {size}")
            _check_layer(response.body, self._calls.profile.layers_read)
            return response.body
        raise CommandError(f"Error pulling dependent layers: {broken}")


def _pulled(tag: str, images: Sequence[V1Image]) -> Pulled:
    return Pulled(tag, tuple(image.json for image in images), tuple(image.layer for image in images))


def _text(response: Response) -> str:
    value = json.loads(response.body)
    if not isinstance(value, str):
        raise CommandError("json: cannot unmarshal the id of a tag")
    return value


def _check_layer(layer: bytes, readable: frozenset[Compression]) -> None:
    """Unpack the layer as the daemon does; a broken stream fails the pull."""
    if not layer:
        raise CommandError("Error pulling image: EOF")  # it looks at the first ten bytes
    try:
        tar = unpack(layer, readable)
    except UnreadableLayerError as error:
        raise CommandError(f"Error pulling image: {error}") from error
    if tar.strip(b"\0"):
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            archive.getmembers()
