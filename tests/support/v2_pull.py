"""Pulls from a v2 registry: manifests of every kind that a release reads, and their blobs (WIRE section 5).

Checks what the real clients check: digests of everything, the signature of schema 1 (1.6 and 1.7), sizes and the
layers' diff ids (1.10 and later).
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.support import schema1
from tests.support.fallback import Kind, RefusedError, refusal
from tests.support.images import Pulled, digest_of
from tests.support.layers import UnreadableLayerError, unpack
from tests.support.profiles import Finding, V2Format
from tests.support.v1_calls import CommandError
from tests.support.v2_calls import SCHEMA2, V2Calls, V2Store
from tests.support.wire import Response

_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_SCHEMA1_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
_CONFIG_TYPES: Final = frozenset(
    {
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/octet-stream",
    }
)
_DOWNLOADS_AT_ONCE: Final = 3


class V2Pull:
    """One pull; `store` has the blobs that the daemon has, and gets those that it fetches."""

    def __init__(self, calls: V2Calls, store: V2Store) -> None:
        self._calls = calls
        self._store = store

    def pull(self, reference: str | None) -> list[Pulled]:
        """Pull a tag, a digest, or all tags when `reference` is None.

        Raises:
            CommandError: What was pulled is not what its digest says.
            RefusedError: The registry has it not; the client may go elsewhere.
        """
        references = [reference] if reference is not None else self._list_tags()
        return [self._pull_one(one) for one in references]

    def _list_tags(self) -> list[str]:
        response = self._calls.send("GET", self._calls.url("tags/list"))
        if response.status != 200:
            raise refusal(response)
        # 1.5 and 1.6 read the list into fields that JSON cannot reach, and find no tags.
        if self._calls.profile.version in {"1.5.0", "1.6.2"}:
            raise RefusedError(Kind.NONSENSE, "No tags found")
        tags: list[str] = _parsed(response)["tags"]
        return tags

    def _pull_one(self, reference: str) -> Pulled:
        response = self._get_manifest(reference)
        manifest = response
        if _media_type(response) in {_MANIFEST_LIST, _OCI_INDEX} and self._takes(response):
            manifest = self._get_manifest(_choose(_parsed(response)["manifests"]))
        if self._calls.profile.v2_format is not V2Format.SCHEMA2 or _media_type(manifest) in _SCHEMA1_TYPES:
            return self._pull_schema1(reference, manifest)
        if _media_type(manifest) not in {SCHEMA2, _OCI_MANIFEST} or not self._takes(manifest):
            raise RefusedError(Kind.NONSENSE, f"unsupported manifest media type {_media_type(manifest)!r}")
        pulled = self._pull_schema2(reference, manifest.body)
        return Pulled(pulled.tag, pulled.metadata, pulled.layers, digest_of(response.body))

    def _takes(self, response: Response) -> bool:
        return _media_type(response) in self._calls.profile.accepts

    def _get_manifest(self, reference: str) -> Response:
        if self._calls.profile.heads_manifest and not reference.startswith("sha256:"):
            response = self._calls.send("HEAD", self._calls.url(f"manifests/{reference}"), fields=self._accept())
            digest = response.value("Docker-Content-Digest")
            if response.status == 200 and digest:
                reference = digest
        response = self._calls.send("GET", self._calls.url(f"manifests/{reference}"), fields=self._accept())
        if response.status != 200:
            raise refusal(response)
        if reference.startswith("sha256:"):
            self._check_reference(reference, response)
        return response

    def _check_reference(self, reference: str, response: Response) -> None:
        found = digest_of(response.body)
        if found != reference and _looks_signed(response.body):
            found = schema1.read_unverified(response.body).digest
        if found != reference:
            raise CommandError(f"manifest verification failed for digest {reference}")

    def _pull_schema1(self, reference: str, response: Response) -> Pulled:
        if not self._calls.profile.reads_schema1:
            raise CommandError("[DEPRECATION NOTICE] Docker Image manifest version 2, schema 1 is no longer supported")
        try:
            if self._calls.profile.finding is Finding.ONE_PING:
                manifest = schema1.verify(response.body)
                told = response.value("Docker-Content-Digest")
                if told is not None and told != manifest.digest:
                    raise CommandError(f"remote digest {told} does not match provided digest {manifest.digest}")
            else:
                manifest = schema1.read_unverified(response.body)
        except (schema1.SignatureError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RefusedError(Kind.NONSENSE, f"unusable manifest: {error}") from error
        entries: dict[str, schema1.Entry] = {}
        for entry in reversed(manifest.entries):
            entries.setdefault(json.loads(entry.v1_json)["id"], entry)
        preview = self._calls.profile.v2_format is V2Format.PREVIEW
        wanted = dict.fromkeys(entry.blob for entry in entries.values())
        blobs = self._fetch_all(wanted, V2Store() if preview else self._store)
        if preview:
            # Blobs named by sha256 are of no use to 1.5, which checks a tarsum: it turns to v1 (WIRE section 5).
            raise RefusedError(Kind.NONSENSE, "verification of the layers failed")
        for blob in blobs.values():
            self._unpack(blob)
        return Pulled(
            reference,
            tuple(entry.v1_json.encode() for entry in entries.values()),
            tuple(blobs[entry.blob] for entry in entries.values()),
            manifest.digest,
        )

    def _pull_schema2(self, reference: str, document: bytes) -> Pulled:
        manifest: dict[str, Any] = json.loads(document)
        config_digest: str = manifest["config"]["digest"]
        digests: list[str] = [layer["digest"] for layer in manifest["layers"]]
        blobs = self._fetch_all(dict.fromkeys([config_digest, *digests]), self._store)
        for described in [manifest["config"], *manifest["layers"]]:
            if len(blobs[described["digest"]]) != described["size"]:
                raise CommandError(f"{described['digest']} has not the size that its manifest says")
        diff_ids = _diff_ids(manifest["config"]["mediaType"], blobs[config_digest])
        found = [digest_of(self._unpack(blobs[digest])) for digest in digests]
        if diff_ids != found:
            raise CommandError("layers from manifest don't match image configuration")
        return Pulled(reference, (blobs[config_digest],), tuple(blobs[digest] for digest in digests))

    def _fetch_all(self, digests: Mapping[str, None], store: V2Store) -> dict[str, bytes]:
        missing = [digest for digest in digests if digest not in store.blobs]
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for digest, blob in zip(missing, pool.map(self._fetch, missing), strict=True):
                store.blobs[digest] = blob
                store.remember(self._calls.name, digest)
        return {digest: store.blobs[digest] for digest in digests}

    def _fetch(self, digest: str) -> bytes:
        url = self._calls.url(f"blobs/{digest}")
        if self._calls.profile.v2_format is V2Format.SCHEMA1_PATCHED:
            response = self._calls.send("HEAD", url)
            if response.status != 200:
                raise RefusedError(Kind.CODED, f"unknown blob {digest}", "BLOB_UNKNOWN")
        response = self._calls.send("GET", url)
        if response.status != 200:
            raise refusal(response)
        if digest_of(response.body) != digest:
            raise CommandError(f"filesystem layer verification failed for digest {digest}")
        return response.body

    def _unpack(self, layer: bytes) -> bytes:
        try:
            return unpack(layer, self._calls.profile.layers_read)
        except UnreadableLayerError as error:
            raise CommandError(f"failed to register layer: {error}") from error

    def _accept(self) -> list[tuple[str, str]]:
        """One line a type, in another order each time."""
        types = list(self._calls.profile.accepts)
        random.shuffle(types)
        return [("Accept", media_type) for media_type in types]


def _media_type(response: Response) -> str:
    return (response.value("Content-Type") or "").partition(";")[0].strip()


def _diff_ids(media_type: str, config: bytes) -> list[str]:
    """Those of an image's configuration; what is none is refused."""
    if media_type not in _CONFIG_TYPES:
        raise CommandError(f"unsupported media type {media_type}")
    try:
        found: list[str] = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"invalid configuration: {error}") from error
    return found


def _choose(entries: Sequence[Mapping[str, Any]]) -> str:
    """The digest of the entry for this machine, linux/amd64."""
    for entry in entries:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == "amd64":
            digest: str = entry["digest"]
            return digest
    raise CommandError("no matching manifest for linux/amd64 in the manifest list entries")


def _parsed(response: Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(response.body)
    except ValueError as error:
        raise RefusedError(Kind.NONSENSE, f"invalid JSON: {error}") from error
    return document


def _looks_signed(document: bytes) -> bool:
    return b'"signatures"' in document
