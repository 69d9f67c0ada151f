"""Pushes of anything: v2 blobs in one PUT, manifests of any type, as BuildKit and oras do it; v1 images as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from tests.support.http_calls import Caller
from tests.support.images import V1Image, digest_of
from tests.support.media_types import SIGNED_SCHEMA1
from tests.support.tarsum import payload_checksum
from tests.support.wire import Address, Response

AGENT = "buildkit/v0.32"


class RawPush:
    """Pushes to one repository."""

    def __init__(self, address: Address, name: str, *, agent: str = AGENT) -> None:
        self._caller = Caller(address, agent)
        self._name = name

    def blob(self, content: bytes, media_type: str, **more: object) -> dict[str, object]:
        """Push a blob unless it is there, and return its descriptor."""
        digest = digest_of(content)
        if self._caller.send("HEAD", f"/v2/{self._name}/blobs/{digest}").status != 200:
            begun = self._expect(202, self._caller.send("POST", f"/v2/{self._name}/blobs/uploads/"))
            location = begun.value("Location") or ""
            joined = f"{location}{'&' if urlsplit(location).query else '?'}digest={digest}"
            octets = [("Content-Type", "application/octet-stream")]
            self._expect(201, self._caller.send("PUT", joined, octets, content))
        return {"mediaType": media_type, "digest": digest, "size": len(content), **more}

    def manifest(self, content: bytes, media_type: str, *, tag: str | None = None, **more: object) -> dict[str, object]:
        """Push a manifest by its digest, or by a tag, and return its descriptor."""
        digest = digest_of(content)
        fields = [("Content-Type", media_type)]
        answer = self._caller.send("PUT", f"/v2/{self._name}/manifests/{tag or digest}", fields, content)
        told = self._expect(201, answer).value("Docker-Content-Digest")
        assert told == digest, f"the registry calls it {told}, its digest is {digest}"
        return {"mediaType": media_type, "digest": digest, "size": len(content), **more}

    def manifest_of_payload(self, content: bytes, payload: bytes, *, tag: str) -> None:
        """Push a signed manifest, whose digest is that of its payload."""
        answer = self._caller.send(
            "PUT", f"/v2/{self._name}/manifests/{tag}", [("Content-Type", SIGNED_SCHEMA1)], content
        )
        told = self._expect(201, answer).value("Docker-Content-Digest")
        assert told == digest_of(payload), f"the registry calls it {told}, its digest is {digest_of(payload)}"

    def _expect(self, status: int, answer: Response) -> Response:
        assert answer.status == status, f"{answer.status} instead of {status}: {answer.body.decode(errors='replace')}"
        return answer


def push_v1_raw(address: Address, name: str, tag: str, chain: Sequence[V1Image]) -> None:
    """Push v1 images, base first, without unpacking their layers (the tarsum, which registries ignore, is left out)."""
    caller = Caller(address, "docker/1.3.3 go/go1.3.3 os/linux arch/amd64")
    typed = [("Content-Type", "application/json")]

    def put(path: str, content: bytes, *more: tuple[str, str]) -> None:
        answer = caller.send("PUT", path, [*typed, *more], content)
        assert answer.status in {200, 201, 204}, f"{path}: {answer.status} {answer.body.decode(errors='replace')}"

    put(f"/v1/repositories/{name}/", json.dumps([{"id": image.id} for image in chain]).encode())
    for image in chain:
        put(f"/v1/images/{image.id}/json", image.json)
        put(f"/v1/images/{image.id}/layer", image.layer)
        checksum = ("X-Docker-Checksum-Payload", payload_checksum(image.json, image.layer))
        put(f"/v1/images/{image.id}/checksum", b"", checksum)
    put(f"/v1/repositories/{name}/tags/{tag}", json.dumps(chain[-1].id).encode())
    put(f"/v1/repositories/{name}/images", b"[]")
