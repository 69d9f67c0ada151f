from __future__ import annotations

import pytest

from backends.model.errors import ErrorCode, RegistryError

# OCI distribution specification 1.1, "Error Codes", and distribution's registry/api/errcode
CANONICAL = {
    "BLOB_UNKNOWN": (404, "blob unknown to registry"),
    "BLOB_UPLOAD_INVALID": (400, "blob upload invalid"),
    "BLOB_UPLOAD_UNKNOWN": (404, "blob upload unknown to registry"),
    "DENIED": (403, "requested access to the resource is denied"),
    "DIGEST_INVALID": (400, "provided digest did not match uploaded content"),
    "MANIFEST_BLOB_UNKNOWN": (400, "blob unknown to registry"),
    "MANIFEST_INVALID": (400, "manifest invalid"),
    "MANIFEST_UNKNOWN": (404, "manifest unknown"),
    "MANIFEST_UNVERIFIED": (400, "manifest failed signature verification"),
    "NAME_INVALID": (400, "invalid repository name"),
    "NAME_UNKNOWN": (404, "repository name not known to registry"),
    "PAGINATION_NUMBER_INVALID": (400, "invalid number of results requested"),
    "RANGE_INVALID": (416, "invalid content range"),
    "SIZE_INVALID": (400, "provided length did not match content length"),
    "TAG_INVALID": (400, "manifest tag did not match URI"),
    "TOOMANYREQUESTS": (429, "too many requests"),
    "UNAUTHORIZED": (401, "authentication required"),
    "UNAVAILABLE": (503, "service unavailable"),
    "UNKNOWN": (500, "unknown error"),
    "UNSUPPORTED": (405, "The operation is unsupported."),
}


@pytest.mark.parametrize("name", CANONICAL)
def test_messages_are_canonical_to_the_letter(name: str) -> None:
    code = ErrorCode[name]
    assert (code.status, code.message) == CANONICAL[name]


def test_codes_are_different_values_though_two_have_one_message() -> None:
    assert len(ErrorCode.__members__) == len(list(ErrorCode)), "one is another's alias"
    assert all(400 <= code.status < 600 for code in ErrorCode)


def test_an_error_has_its_codes_status_unless_told_otherwise() -> None:
    assert RegistryError(ErrorCode.RANGE_INVALID, "x").status == 416
    error = RegistryError(ErrorCode.RANGE_INVALID, "not a range", status=400, headers={"Allow": "GET"})
    assert (error.status, error.headers, str(error)) == (400, {"Allow": "GET"}, "RANGE_INVALID: not a range")
