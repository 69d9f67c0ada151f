"""Pushes to a v1 registry (WIRE section 3, V1API section 12)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.support.images import V1Image
from tests.support.layers import unpack
from tests.support.profiles import Profile
from tests.support.tarsum import payload_checksum, tarsum
from tests.support.v1_calls import CommandError, V1Calls, compact
from tests.support.wire import Response

_LOOKS_AT_ONCE: Final = 3


def refuse_namespace(profile: Profile, name: str) -> None:
    """What old clients refuse before any traffic.

    Raises:
        CommandError: The namespace is shorter or longer than they allow.
    """
    namespace, separator, _ = name.partition("/")
    if profile.namespace_4_to_30 and separator and not 4 <= len(namespace) <= 30:
        raise CommandError(f"Invalid namespace name ({namespace}), size must be between 4 and 30")


class V1Push:
    """One push."""

    def __init__(self, calls: V1Calls) -> None:
        self._calls = calls

    def push(self, name: str, chains: Mapping[str, Sequence[V1Image]]) -> None:
        """Push the chains (base first) of the tags.

        Raises:
            CommandError: With the text that docker prints.
        """
        images: dict[str, V1Image] = {image.id: image for chain in chains.values() for image in chain}
        tags_of: dict[str, list[str]] = {image_id: [] for image_id in images}
        for tag in sorted(chains):
            tags_of[chains[tag][-1].id].append(tag)
        self._put_image_list(name, tags_of)
        if self._calls.profile.checks_all_first:
            self._push_checked_first(images)
            for image_id, tags in tags_of.items():
                for tag in tags:
                    self._put_tag(name, tag, image_id)
        else:
            for image in images.values():
                if not self._is_there(image):
                    self._push_image(image)
                for tag in tags_of[image.id]:
                    self._put_tag(name, tag, image.id)
        self._finish(name)

    def _put_image_list(self, name: str, tags_of: Mapping[str, Sequence[str]]) -> None:
        items = [
            {"id": image_id, **({"Tag": tag} if tag else {})}
            for image_id, tags in tags_of.items()
            for tag in (tags or [""])
        ]
        url = f"{self._calls.base}/v1/repositories/{name}/"
        authorization = self._calls.list_authorization(always=self._calls.profile.basic_on_push_lists)
        response = self._calls.put_list(url, compact(items), authorization, {})
        if response.status == 401:
            raise CommandError("Please login prior to push:")
        if response.status not in {200, 201}:
            text = response.body.decode(errors="replace")
            raise CommandError(f"Error: Status {response.status} trying to push repository {name}: {text}")
        self._calls.adopt(response, must_have_token=True, must_have_endpoints=True)

    def _finish(self, name: str) -> None:
        authorization = (
            self._calls.list_authorization(always=self._calls.profile.basic_on_push_lists) or self._calls.token_value()
        )
        url = f"{self._calls.base}/v1/repositories/{name}/images"
        response = self._calls.put_list(url, b"[]", authorization, {"X-Docker-Endpoints": self._calls.endpoint})
        if response.status != 204:
            text = response.body.decode(errors="replace")
            raise CommandError(f"Error: Status {response.status} trying to push checksums {name}: {text}")

    def _push_checked_first(self, images: Mapping[str, V1Image]) -> None:
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            there = dict(zip(images, pool.map(self._is_there, images.values()), strict=True))
        for image in images.values():
            if not there[image.id]:
                self._push_image(image)

    def _is_there(self, image: V1Image) -> bool:
        return self._calls.get(self._calls.image_url(image.id, "json")).status == 200

    def _push_image(self, image: V1Image) -> None:
        json_type = {"Content-Type": "application/json"}
        response = self._calls.put(self._calls.image_url(image.id, "json"), json_type, image.json)
        if response.status != 200:
            if _error_text(response) == "Image already exists":
                return
            self._refused(response, "uploading metadata")
        layer_type = {"Content-Type": self._calls.profile.layer_type} if self._calls.profile.layer_type else {}
        response = self._calls.put(self._calls.image_url(image.id, "layer"), layer_type, image.layer, chunked=True)
        if response.status != 200:
            self._refused(response, "uploading layer")
        checksums = {
            "X-Docker-Checksum": tarsum(unpack(image.layer), image.json),
            "X-Docker-Checksum-Payload": payload_checksum(image.json, image.layer),
        }
        response = self._calls.put(self._calls.image_url(image.id, "checksum"), checksums, None)
        if response.status != 200 and _error_text(response) != "Image already exists":
            self._refused(response, "uploading metadata")

    def _put_tag(self, name: str, tag: str, image_id: str) -> None:
        url = f"{self._calls.endpoint}repositories/{name}/tags/{tag}"
        response = self._calls.put(url, {"Content-Type": "application/json"}, compact(image_id))
        if response.status not in {200, 201}:
            raise CommandError(f"Internal server error: {response.status} trying to push tag {tag} on {name}")

    def _refused(self, response: Response, doing: str) -> None:
        text = response.body.decode(errors="replace")
        raise CommandError(f"Received HTTP code {response.status} while {doing}: {text}")


def _error_text(response: Response) -> str:
    try:
        return str(json.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""
