"""Pushes of anything to a v2 registry: blobs in one PUT, manifests of any type, as BuildKit and oras do it."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.support.http_calls import Caller
from tests.support.images import digest_of
from tests.support.media_types import SIGNED_SCHEMA1
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
