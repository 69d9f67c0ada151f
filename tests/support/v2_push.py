"""Pushes to a v2 registry in each format that Docker has had (WIRE section 5).

Checks what the real clients check: that the registry calls the manifest by the digest that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from tests.support import schema1
from tests.support.fallback import Kind, RefusedError, is_retried, refusal
from tests.support.images import Image, Layer, digest_of
from tests.support.layers import unpack
from tests.support.profiles import CONFIG_TYPE, Finding, V2Format
from tests.support.tarsum import TarSumVersion, tarsum
from tests.support.v1_calls import CommandError
from tests.support.v2_calls import SCHEMA2, V2Calls, V2Store
from tests.support.wire import Response

_LAYER_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_UPLOAD_TRIES: Final = 5
_UPLOADS_AT_ONCE: Final = 5


class V2Push:
    """One push; `store` is what the daemon knows of the registry's blobs and learns of them."""

    def __init__(self, calls: V2Calls, store: V2Store, *, retry_delay: Callable[[], None]) -> None:
        self._calls = calls
        self._store = store
        self._retry_delay = retry_delay

    def push(self, images: Mapping[str, Image]) -> dict[str, str]:
        """Push images by tag and return the digest of each manifest.

        Raises:
            CommandError: Docker 1.5 to 1.7 end with this.
            RefusedError: Docker 1.9 and later may go elsewhere.
        """
        match self._calls.profile.v2_format:
            case V2Format.PREVIEW:
                self._push_preview(next(iter(images.values())))
                return {}
            case V2Format.SCHEMA1:
                return {tag: self._push_schema1(tag, images[tag]) for tag in sorted(images)}
            case V2Format.SCHEMA1_PATCHED:
                done: set[str] = set()
                return {tag: self._push_patched(tag, images[tag], done) for tag in sorted(images)}
            case V2Format.SCHEMA2:
                done = set()
                return {tag: self._push_schema2(tag, images[tag], done) for tag in sorted(images)}
            case V2Format.NONE:
                raise AssertionError("this release has no v2")

    def _push_preview(self, image: Image) -> None:
        base = image.v1_chain(final_newline=True, closing_blocks=True)[0]
        name = tarsum(unpack(base.layer), base.json, version=TarSumVersion.V1)
        response = self._calls.send("HEAD", self._calls.url(f"blobs/{name}"))
        if response.status == 401:
            raise CommandError("Error pushing to registry: Authentication is required.")
        raise CommandError(f"Server error: {response.status} trying head request for {self._calls.name} - {name}")

    def _push_schema1(self, tag: str, image: Image) -> str:
        chain = image.v1_chain(final_newline=True, closing_blocks=True)
        # 1.6 and 1.7 list the top twice and so meet its blob again at once.
        images = [chain[-1], *reversed(chain)]
        for item in images:
            digest = digest_of(item.layer)
            if self._store.repositories.get(digest) and self._head_blob(digest):
                continue
            self._upload_in_one(item.layer, digest)
            self._store.remember(self._calls.name, digest)
        entries = [schema1.Entry(digest_of(item.layer), item.json.decode()) for item in images]
        return self._put_schema1(tag, schema1.payload(self._calls.name, tag, entries, version_first=False))

    def _head_blob(self, digest: str) -> bool:
        response = self._calls.send("HEAD", self._calls.url(f"blobs/{digest}"))
        if response.status not in {200, 404}:
            raise CommandError(f"Server error: {response.status} trying head request for {self._calls.name} - {digest}")
        return response.status == 200

    def _upload_in_one(self, blob: bytes, digest: str) -> None:
        response = self._calls.send("POST", self._calls.url("blobs/uploads/"))
        if response.status == 401:
            raise CommandError("Please login prior to push:")
        if response.status != 202:
            raise CommandError(
                f"Server error: unexpected {response.status} trying to initiate upload of {self._calls.name}"
            )
        location = _with_digest(self._location(response), digest)
        response = self._calls.send("PUT", location, body=blob, chunked=True)
        if response.status != 201:
            raise CommandError(f"Server error: {response.status} trying to push {self._calls.name} blob - {digest}")

    def _put_schema1(self, tag: str, payload: bytes) -> str:
        signed = schema1.sign(payload, schema1.new_key())
        response = self._calls.send("PUT", self._calls.url(f"manifests/{tag}"), body=signed)
        if not 200 <= response.status < 300:
            if self._calls.profile.finding is Finding.ONE_PING:
                raise CommandError(f"Server error: {response.status} trying to push {self._calls.name}:{tag} manifest")
            raise refusal(response)
        digest = digest_of(payload)
        if response.value("Docker-Content-Digest") != digest:
            told = response.value("Docker-Content-Digest")
            raise CommandError(f"the registry calls the manifest {told}, its digest is {digest}")
        return digest

    def _push_patched(self, tag: str, image: Image, done: set[str]) -> str:
        chain = image.v1_chain(final_newline=True, closing_blocks=True)
        for item in reversed(chain):
            digest = digest_of(item.layer)
            if digest in done:
                continue
            if not (self._store.repositories.get(digest) and self._calls.has_blob(digest)):
                self._upload(item.layer, digest)
            self._store.remember(self._calls.name, digest)
            done.add(digest)
        entries = [schema1.Entry(digest_of(item.layer), item.json.decode()) for item in reversed(chain)]
        return self._put_schema1(tag, schema1.payload(self._calls.name, tag, entries, version_first=True))

    def _push_schema2(self, tag: str, image: Image, done: set[str]) -> str:
        blobs = {digest_of(layer.packed): layer.packed for layer in image.stored_layers}
        missing = [digest for digest in blobs if digest not in done]
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            uploads = [pool.submit(self._push_layer, blobs[digest], digest) for digest in missing]
        refusals = [error for upload in uploads if (error := upload.exception())]
        if refusals:
            raise refusals[0]
        done.update(blobs)
        config = image.config()
        if not self._calls.has_blob(digest_of(config)):
            self._upload(config, digest_of(config))
        manifest = schema2_manifest(config, image.stored_layers, config_type=self._calls.profile.config_type)
        response = self._calls.send(
            "PUT", self._calls.url(f"manifests/{tag}"), body=manifest, fields=[("Content-Type", SCHEMA2)]
        )
        # Real clients would try again with schema 1 here; that a registry takes schema 2 is the point.
        if not 200 <= response.status < 300:
            raise refusal(response)
        if response.value("Docker-Content-Digest") != digest_of(manifest):
            told = response.value("Docker-Content-Digest")
            raise CommandError(f"the registry calls the manifest {told}, its digest is {digest_of(manifest)}")
        return digest_of(manifest)

    def _push_layer(self, blob: bytes, digest: str) -> None:
        tries = 0
        while True:
            tries += 1
            try:
                self._push_layer_once(blob, digest)
            except RefusedError as refused:
                if tries == _UPLOAD_TRIES or not is_retried(refused):
                    raise
                self._retry_delay()
            else:
                self._store.remember(self._calls.name, digest)
                return

    def _push_layer_once(self, blob: bytes, digest: str) -> None:
        if self._store.knows(self._calls.name, digest) and self._calls.has_blob(digest):
            return
        others = [name for name in self._store.repositories.get(digest, []) if name != self._calls.name]
        self._upload(blob, digest, mount_from=others[0] if others else None)

    def _upload(self, blob: bytes, digest: str, *, mount_from: str | None = None) -> None:
        """POST, PATCH, PUT and a look at the result; or a mount, when another repository has it."""
        query = f"?from={quote(mount_from, safe='')}&mount={quote(digest, safe='')}" if mount_from else ""
        fields = [("Content-Type", "")] if self._calls.profile.empty_upload_type else []
        response = self._calls.send("POST", self._calls.url(f"blobs/uploads/{query}"), fields=fields)
        if response.status == 201 and mount_from:
            return
        if response.status != 202:
            raise refusal(response)
        response = self._calls.send("PATCH", self._location(response), body=blob, chunked=True)
        if response.status != 202:
            raise refusal(response)
        response = self._calls.send("PUT", _with_digest(self._location(response), digest))
        if response.status != 201:
            raise refusal(response)
        if not self._calls.has_blob(digest):
            raise RefusedError(Kind.NONSENSE, f"blob {digest} is unknown right after its upload")

    def _location(self, response: Response) -> str:
        location = response.value("Location")
        if not location:
            raise RefusedError(Kind.NONSENSE, "an upload without Location")
        return urljoin(f"{self._calls.base}/v2/", location)


def _with_digest(location: str, digest: str) -> str:
    """Add the digest to an upload's query, which Go then writes sorted."""
    parts = urlsplit(location)
    query = sorted([*parse_qsl(parts.query, keep_blank_values=True), ("digest", digest)])
    return parts._replace(query=urlencode(query)).geturl()


def schema2_manifest(config: bytes, layers: Sequence[Layer], *, config_type: str = CONFIG_TYPE) -> bytes:
    """The manifest of an image, as docker 1.10 and later write it."""

    def described(media_type: str, blob: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "size": len(blob), "digest": digest_of(blob)}

    document = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": described(config_type, config),
        "layers": [described(_LAYER_TYPE, layer.packed) for layer in layers],
    }
    return schema1.go_json(document, indent=3).encode()
