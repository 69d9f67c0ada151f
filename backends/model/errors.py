"""What can go wrong, as values: one exception, one table of codes.

Codes, statuses and canonical messages are those of the distribution specification (OCI 1.1, "Error Codes")
and of distribution's `registry/api/errcode`. How an error looks on the wire is decided by each protocol's own
`errors` module; nothing else builds an error response.

Invariant: `ErrorCode.message` is the canonical message to the letter. Docker 1.9-1.13 decide by the body of an
error whether they fall back to v1: an entry with a canonical message *and no detail* is not recognised by them,
so every error carries a detail (`WIRE` section 2a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from typing_extensions import override


class ErrorCode(Enum):
    """An error of the distribution protocol: (HTTP status, canonical message)."""

    BLOB_UNKNOWN = (404, "blob unknown to registry")
    BLOB_UPLOAD_INVALID = (400, "blob upload invalid")
    BLOB_UPLOAD_UNKNOWN = (404, "blob upload unknown to registry")
    DENIED = (403, "requested access to the resource is denied")
    DIGEST_INVALID = (400, "provided digest did not match uploaded content")
    INSUFFICIENT_STORAGE = (507, "the registry's storage is full")
    MANIFEST_BLOB_UNKNOWN = (400, "blob unknown to registry")
    MANIFEST_INVALID = (400, "manifest invalid")
    MANIFEST_UNKNOWN = (404, "manifest unknown")
    MANIFEST_UNVERIFIED = (400, "manifest failed signature verification")
    NAME_INVALID = (400, "invalid repository name")
    NAME_UNKNOWN = (404, "repository name not known to registry")
    NOT_FOUND = (404, "not found")
    PAGINATION_NUMBER_INVALID = (400, "invalid number of results requested")
    PRECONDITION_FAILED = (412, "precondition failed")
    RANGE_INVALID = (416, "invalid content range")
    SIZE_INVALID = (400, "provided length did not match content length")
    TAG_INVALID = (400, "manifest tag did not match URI")
    TOOMANYREQUESTS = (429, "too many requests")
    UNAUTHORIZED = (401, "authentication required")
    UNAVAILABLE = (503, "service unavailable")
    UNKNOWN = (500, "unknown error")
    UNSUPPORTED = (405, "The operation is unsupported.")

    # The v1 protocol has no codes; these name its outcomes. Its clients read the detail, in docker-registry's words.
    CHECKSUM_MISMATCH = (400, "Checksum mismatch")
    CHECKSUM_MISSING = (412, "X-Docker-Checksum-Payload not set.")
    IMAGE_EXISTS = (409, "Image already exists")
    IMAGE_INVALID = (400, "Invalid JSON")
    IMAGE_UNKNOWN = (404, "Image not found")
    IMAGE_UPLOADING = (400, "Image is being uploaded, retry later")

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message


class RegistryError(Exception):
    """An outcome that is not a success, to be sent to the client.

    Attributes:
        code: what went wrong, by the specification's name.
        detail: a sentence for a person: what is wrong, with what, and what to do.
        headers: headers that belong to the answer (`Range`, `Location`, `Allow`).
        message: instead of the code's canonical one, where that says something else or distribution has another: many
            clients show nothing else.
        facts: what is known of it, which v2 sends as the detail where the message is the sentence; of nothing, null.
        challenges: each the value of a `WWW-Authenticate` line of its own: old clients do not take them apart.
        each: what is wrong by itself, such as missing digests: v2 sends an error for each, with it as the detail.
        status: the HTTP status; the code's own unless the protocol asks for another here.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        each: Sequence[str] = (),
        challenges: Sequence[str] = (),
        facts: Mapping[str, object] | Sequence[object] | None = None,
        headers: Mapping[str, str] | None = None,
        message: str = "",
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.each = each
        self.facts = facts
        self.challenges = challenges
        self.headers = dict(headers or {})
        self.message = message or code.message
        self.status = code.status if status is None else status

    @override
    def __str__(self) -> str:
        return f"{self.code.name}: {self.detail}"
