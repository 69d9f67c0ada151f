"""The v2 half of a Docker client: blobs, manifests, tags; push and pull in each format (WIRE section 5).

Checks what the real clients check: digests of everything pulled, ``Docker-Content-Digest`` after a push, the
signature of schema 1 (1.6 and 1.7), the layers' diff ids (1.10 and later).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from tests.support import schema1
from tests.support.docker_v1 import CommandError, Login, basic, unpacked
from tests.support.fallback import Kind, RefusedError, is_retried, refusal
from tests.support.images import Image, Layer, Pulled, digest_of
from tests.support.profiles import Finding, Profile, V2Format
from tests.support.tarsum import TarSumVersion, tarsum
from tests.support.wire import BrokenConnectionError, Call, HttpClient, Response

SCHEMA2: Final = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_SCHEMA1_TYPES: Final = frozenset({
    "", "application/json", "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
})  # fmt: skip
_LAYER_TYPE: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
_UPLOAD_TRIES: Final = 5
_UPLOADS_AT_ONCE: Final = 5
_DOWNLOADS_AT_ONCE: Final = 3

API_VERSION: Final = "Docker-Distribution-Api-Version"


@dataclass(slots=True)
class V2Store:
    """What a daemon keeps: blobs by digest, and in which repositories of the registry it knows them to be."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    repositories: dict[str, list[str]] = field(default_factory=dict)

    def remember(self, name: str, digest: str) -> None:
        names = self.repositories.setdefault(digest, [])
        if name not in names:
            names.append(name)

    def knows(self, name: str, digest: str) -> bool:
        return name in self.repositories.get(digest, [])


@dataclass(frozen=True, slots=True)
class Challenge:
    """``WWW-Authenticate`` of a ping: the scheme in lower case and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ping:
    """The answer to ``GET /v2/``."""

    status: int
    names_api: bool
    challenge: Challenge | None

    @property
    def accepted(self) -> bool:
        """Docker 1.5 to 1.7: 200 or 401, and the header that names the API."""
        return self.status in {200, 401} and self.names_api


def ping_v2(http: HttpClient, profile: Profile, base: str) -> Ping:
    """Ask ``GET /v2/`` with the agent that the release uses for it."""
    response = http.send(Call("GET", f"{base}/v2/", profile.ping_agent))
    names_api = any("registry/2.0" in value.split() for value in response.values(API_VERSION))
    return Ping(response.status, names_api, _challenge(response) if response.status == 401 else None)


def _challenge(response: Response) -> Challenge | None:
    for value in response.values("WWW-Authenticate"):
        scheme, _, rest = value.partition(" ")
        if scheme.lower() in {"basic", "bearer"}:
            return Challenge(scheme.lower(), dict(re.findall(r'(\w+)="([^"]*)"', rest)))
    return None


class V2Session:
    """One command's talk with a v2 registry at `base` (``scheme://netloc``) about one repository."""

    def __init__(
        self,
        http: HttpClient,
        profile: Profile,
        base: str,
        name: str,
        *,
        login: Login | None,
        challenge: Challenge | None,
        basic_everywhere: bool,
        actions: str,
        retry_delay: Callable[[], None],
    ) -> None:
        self._http = http
        self._profile = profile
        self._base = base
        self._name = name
        self._login = login
        self._challenge = challenge
        self._basic_everywhere = basic_everywhere
        self._actions = actions
        self._retry_delay = retry_delay
        self._bearer: str | None = None

    # -- push ---------------------------------------------------------------------------------------------------

    def push(self, images: Mapping[str, Image], store: V2Store) -> dict[str, str]:
        """Push images by tag and return the digest of each manifest.

        Raises:
            CommandError: Docker 1.5 to 1.7 end with this.
            RefusedError: Docker 1.9 and later may go elsewhere.
        """
        match self._profile.v2_format:
            case V2Format.PREVIEW:
                self._push_preview(next(iter(images.values())))
                return {}
            case V2Format.SCHEMA1:
                return {tag: self._push_schema1(tag, images[tag], store) for tag in sorted(images)}
            case V2Format.SCHEMA1_PATCHED:
                done: set[str] = set()
                return {tag: self._push_patched(tag, images[tag], store, done) for tag in sorted(images)}
            case V2Format.SCHEMA2:
                done = set()
                return {tag: self._push_schema2(tag, images[tag], store, done) for tag in sorted(images)}
            case V2Format.NONE:
                raise AssertionError("this release has no v2")

    def _push_preview(self, image: Image) -> None:
        base = image.v1_chain(final_newline=True, closing_blocks=True)[0]
        name = tarsum(unpacked(base.layer), base.json, version=TarSumVersion.V1)
        response = self._send("HEAD", self._url(f"blobs/{name}"))
        if response.status == 401:
            raise CommandError("Error pushing to registry: Authentication is required.")
        raise CommandError(f"Server error: {response.status} trying head request for {self._name} - {name}")

    def _push_schema1(self, tag: str, image: Image, store: V2Store) -> str:
        chain = image.v1_chain(final_newline=True, closing_blocks=True)
        # 1.6 and 1.7 list the top twice and so meet its blob again at once.
        images = [chain[-1], *reversed(chain)]
        for item in images:
            digest = digest_of(item.layer)
            if store.repositories.get(digest) and self._head_blob(digest):
                continue
            self._upload_in_one(item.layer, digest)
            store.remember(self._name, digest)
        entries = [schema1.Entry(digest_of(item.layer), item.json.decode()) for item in images]
        return self._put_schema1(tag, schema1.payload(self._name, tag, entries, version_first=False))

    def _head_blob(self, digest: str) -> bool:
        response = self._send("HEAD", self._url(f"blobs/{digest}"))
        if response.status not in {200, 404}:
            raise CommandError(f"Server error: {response.status} trying head request for {self._name} - {digest}")
        return response.status == 200

    def _upload_in_one(self, blob: bytes, digest: str) -> None:
        response = self._send("POST", self._url("blobs/uploads/"))
        if response.status == 401:
            raise CommandError("Please login prior to push:")
        if response.status != 202:
            raise CommandError(f"Server error: unexpected {response.status} trying to initiate upload of {self._name}")
        location = _with_digest(self._location(response), digest)
        response = self._send("PUT", location, body=blob, chunked=True)
        if response.status != 201:
            raise CommandError(f"Server error: {response.status} trying to push {self._name} blob - {digest}")

    def _put_schema1(self, tag: str, payload: bytes) -> str:
        signed = schema1.sign(payload, schema1.new_key())
        response = self._send("PUT", self._url(f"manifests/{tag}"), body=signed)
        if not 200 <= response.status < 300:
            if self._profile.finding is Finding.ONE_PING:
                raise CommandError(f"Server error: {response.status} trying to push {self._name}:{tag} manifest")
            raise refusal(response)
        digest = digest_of(payload)
        if response.value("Docker-Content-Digest") != digest:
            told = response.value("Docker-Content-Digest")
            raise CommandError(f"the registry calls the manifest {told}, its digest is {digest}")
        return digest

    def _push_patched(self, tag: str, image: Image, store: V2Store, done: set[str]) -> str:
        chain = image.v1_chain(final_newline=True, closing_blocks=True)
        for item in reversed(chain):
            digest = digest_of(item.layer)
            if digest in done:
                continue
            if not (store.repositories.get(digest) and self._is_there(digest)):
                self._upload(item.layer, digest)
            store.remember(self._name, digest)
            done.add(digest)
        entries = [schema1.Entry(digest_of(item.layer), item.json.decode()) for item in reversed(chain)]
        return self._put_schema1(tag, schema1.payload(self._name, tag, entries, version_first=True))

    def _push_schema2(self, tag: str, image: Image, store: V2Store, done: set[str]) -> str:
        blobs = {digest_of(layer.packed): layer.packed for layer in image.layers}
        missing = [digest for digest in blobs if digest not in done]
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            uploads = [pool.submit(self._push_layer, blobs[digest], digest, store) for digest in missing]
        refusals = [error for upload in uploads if (error := upload.exception())]
        if refusals:
            raise refusals[0]
        done.update(blobs)
        config = image.config()
        if not self._is_there(digest_of(config)):
            self._upload(config, digest_of(config))
        manifest = schema2_manifest(config, image.layers)
        response = self._send("PUT", self._url(f"manifests/{tag}"), body=manifest, fields=[("Content-Type", SCHEMA2)])
        # Real clients would try again with schema 1 here; that a registry takes schema 2 is the point.
        if not 200 <= response.status < 300:
            raise refusal(response)
        if response.value("Docker-Content-Digest") != digest_of(manifest):
            told = response.value("Docker-Content-Digest")
            raise CommandError(f"the registry calls the manifest {told}, its digest is {digest_of(manifest)}")
        return digest_of(manifest)

    def _push_layer(self, blob: bytes, digest: str, store: V2Store) -> None:
        tries = 0
        while True:
            tries += 1
            try:
                self._push_layer_once(blob, digest, store)
            except RefusedError as refused:
                if tries == _UPLOAD_TRIES or not is_retried(refused):
                    raise
                self._retry_delay()
            else:
                store.remember(self._name, digest)
                return

    def _push_layer_once(self, blob: bytes, digest: str, store: V2Store) -> None:
        if store.knows(self._name, digest) and self._is_there(digest):
            return
        others = [name for name in store.repositories.get(digest, []) if name != self._name]
        self._upload(blob, digest, mount_from=others[0] if others else None)

    def _is_there(self, digest: str) -> bool:
        return self._send("HEAD", self._url(f"blobs/{digest}")).status == 200

    def _upload(self, blob: bytes, digest: str, *, mount_from: str | None = None) -> None:
        """POST, PATCH, PUT and a look at the result; or a mount, when another repository has it."""
        query = f"?from={quote(mount_from, safe='')}&mount={quote(digest, safe='')}" if mount_from else ""
        fields = [("Content-Type", "")] if self._profile.empty_upload_type else []
        response = self._send("POST", self._url(f"blobs/uploads/{query}"), fields=fields)
        if response.status == 201 and mount_from:
            return
        if response.status != 202:
            raise refusal(response)
        response = self._send("PATCH", self._location(response), body=blob, chunked=True)
        if response.status != 202:
            raise refusal(response)
        response = self._send("PUT", _with_digest(self._location(response), digest))
        if response.status != 201:
            raise refusal(response)
        if not self._is_there(digest):
            raise RefusedError(Kind.NONSENSE, f"blob {digest} is unknown right after its upload")

    def _location(self, response: Response) -> str:
        location = response.value("Location")
        if not location:
            raise RefusedError(Kind.NONSENSE, "an upload without Location")
        return urljoin(f"{self._base}/v2/", location)

    # -- pull ---------------------------------------------------------------------------------------------------

    def pull(self, reference: str | None, store: V2Store) -> list[Pulled]:
        """Pull a tag, a digest, or all tags when `reference` is None.

        Raises:
            CommandError: What was pulled is not what its digest says.
            RefusedError: The registry has it not; the client may go elsewhere.
        """
        references = [reference] if reference is not None else self._list_tags()
        return [self._pull_one(one, store) for one in references]

    def _list_tags(self) -> list[str]:
        response = self._send("GET", self._url("tags/list"))
        if response.status != 200:
            raise refusal(response)
        # 1.5 and 1.6 read the list into fields that JSON cannot reach, and find no tags.
        if self._profile.version in {"1.5.0", "1.6.2"}:
            raise RefusedError(Kind.NONSENSE, "No tags found")
        tags: list[str] = _parsed(response)["tags"]
        return tags

    def _pull_one(self, reference: str, store: V2Store) -> Pulled:
        response = self._get_manifest(reference)
        media_type = (response.value("Content-Type") or "").partition(";")[0].strip()
        if self._profile.v2_format is not V2Format.SCHEMA2 or media_type in _SCHEMA1_TYPES:
            return self._pull_schema1(reference, response, store)
        document = response.body
        if media_type in {MANIFEST_LIST, OCI_INDEX} and media_type in self._profile.accepts:
            entry = next(
                item for item in _parsed(response)["manifests"]
                if item["platform"]["os"] == "linux" and item["platform"]["architecture"] == "amd64"
            )  # fmt: skip
            document = self._get_manifest(entry["digest"]).body
        elif media_type not in {SCHEMA2, OCI_MANIFEST} or media_type not in self._profile.accepts:
            raise RefusedError(Kind.NONSENSE, f"unsupported manifest media type {media_type!r}")
        pulled = self._pull_schema2(reference, document, store)
        return Pulled(pulled.tag, pulled.metadata, pulled.layers, digest_of(response.body))

    def _get_manifest(self, reference: str) -> Response:
        if self._profile.heads_manifest and not reference.startswith("sha256:"):
            response = self._send("HEAD", self._url(f"manifests/{reference}"), fields=self._accept())
            digest = response.value("Docker-Content-Digest")
            if response.status == 200 and digest:
                reference = digest
        response = self._send("GET", self._url(f"manifests/{reference}"), fields=self._accept())
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

    def _pull_schema1(self, reference: str, response: Response, store: V2Store) -> Pulled:
        try:
            if self._profile.finding is Finding.ONE_PING:
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
        preview = self._profile.v2_format is V2Format.PREVIEW
        wanted = dict.fromkeys(entry.blob for entry in entries.values())
        blobs = self._fetch_all(wanted, V2Store() if preview else store)
        if preview:
            # Blobs named by sha256 are of no use to 1.5, which checks a tarsum: it turns to v1 (WIRE section 5).
            raise RefusedError(Kind.NONSENSE, "verification of the layers failed")
        return Pulled(
            reference,
            tuple(entry.v1_json.encode() for entry in entries.values()),
            tuple(blobs[entry.blob] for entry in entries.values()),
            manifest.digest,
        )

    def _pull_schema2(self, reference: str, document: bytes, store: V2Store) -> Pulled:
        manifest: dict[str, Any] = json.loads(document)
        config_digest: str = manifest["config"]["digest"]
        digests: list[str] = [layer["digest"] for layer in manifest["layers"]]
        blobs = self._fetch_all(dict.fromkeys([config_digest, *digests]), store)
        for described in [manifest["config"], *manifest["layers"]]:
            if len(blobs[described["digest"]]) != described["size"]:
                raise CommandError(f"{described['digest']} has not the size that its manifest says")
        diff_ids = json.loads(blobs[config_digest])["rootfs"]["diff_ids"]
        found = [digest_of(unpacked(blobs[digest])) for digest in digests]
        if diff_ids != found:
            raise CommandError("layers from manifest don't match image configuration")
        return Pulled(reference, (blobs[config_digest],), tuple(blobs[digest] for digest in digests))

    def _fetch_all(self, digests: Mapping[str, None], store: V2Store) -> dict[str, bytes]:
        missing = [digest for digest in digests if digest not in store.blobs]
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for digest, blob in zip(missing, pool.map(self._fetch, missing), strict=True):
                store.blobs[digest] = blob
                store.remember(self._name, digest)
        return {digest: store.blobs[digest] for digest in digests}

    def _fetch(self, digest: str) -> bytes:
        url = self._url(f"blobs/{digest}")
        if self._profile.v2_format is V2Format.SCHEMA1_PATCHED:
            response = self._send("HEAD", url)
            if response.status != 200:
                raise RefusedError(Kind.CODED, f"unknown blob {digest}", "BLOB_UNKNOWN")
        response = self._send("GET", url)
        if response.status != 200:
            raise refusal(response)
        if digest_of(response.body) != digest:
            raise CommandError(f"filesystem layer verification failed for digest {digest}")
        return response.body

    # -- calls --------------------------------------------------------------------------------------------------

    def _accept(self) -> list[tuple[str, str]]:
        """One line a type, in another order each time."""
        types = list(self._profile.accepts)
        random.shuffle(types)
        return [("Accept", media_type) for media_type in types]

    def _url(self, path: str) -> str:
        return f"{self._base}/v2/{self._name}/{path}"

    def _send(
        self,
        method: str,
        url: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        chunked: bool = False,
    ) -> Response:
        try:
            authorization = self._authorization()
            lines = [*fields, *([("Authorization", authorization)] if authorization else [])]
            return self._http.send(Call(method, url, self._profile.agent, lines, body, chunked))
        except BrokenConnectionError as error:
            raise RefusedError(Kind.NONSENSE, str(error)) from error

    def _authorization(self) -> str | None:
        scheme = self._challenge.scheme if self._challenge else ""
        if scheme == "bearer":
            self._bearer = self._bearer or self._fetch_token()
            return f"Bearer {self._bearer}"
        if scheme == "basic" and self._login is None and self._profile.finding is not Finding.ONE_PING:
            raise RefusedError(Kind.NO_CREDENTIALS, "no basic auth credentials")
        if self._basic_everywhere or (scheme == "basic" and self._login):
            return self._login.basic if self._login else basic(":")
        return None

    def _fetch_token(self) -> str:
        parameters = self._challenge.parameters if self._challenge else {}
        query = urlencode(
            {
                "scope": f"repository:{self._name}:{self._actions}",
                "service": parameters.get("service", ""),
            }
        )
        fields = [("Authorization", self._login.basic)] if self._login else []
        response = self._http.send(Call("GET", f"{parameters['realm']}?{query}", self._profile.agent, fields))
        if response.status != 200:
            raise RefusedError(Kind.CODED, "the token server refused", "UNAUTHORIZED")
        token: str = json.loads(response.body)["token"]
        return token


def _with_digest(location: str, digest: str) -> str:
    """Add the digest to an upload's query, which Go then writes sorted."""
    parts = urlsplit(location)
    query = sorted([*parse_qsl(parts.query, keep_blank_values=True), ("digest", digest)])
    return parts._replace(query=urlencode(query)).geturl()


def schema2_manifest(config: bytes, layers: Sequence[Layer]) -> bytes:
    def described(media_type: str, blob: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "size": len(blob), "digest": digest_of(blob)}

    document = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": described(_CONFIG_TYPE, config),
        "layers": [described(_LAYER_TYPE, layer.packed) for layer in layers],
    }
    return schema1.go_json(document, indent=3).encode()


def _parsed(response: Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(response.body)
    except ValueError as error:
        raise RefusedError(Kind.NONSENSE, f"invalid JSON: {error}") from error
    return document


def _looks_signed(document: bytes) -> bool:
    return b'"signatures"' in document
