"""Names of repositories, tags, uploads and v1 images: the grammars that guard the disk.

Everything that becomes part of a path passes here first. The grammars are distribution's reference package
(`reference/regexp.go`) and docker-registry 0.9.1's image ids, written so that no input makes them slow: length is
bounded first and no optional separator stands inside a repeated group (PERFORMANCE section 4, rule 6).
"""

from __future__ import annotations

import re
from typing import NewType

from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError

RepositoryName = NewType("RepositoryName", str)
TagName = NewType("TagName", str)
UploadId = NewType("UploadId", str)
ImageId = NewType("ImageId", str)

LIBRARY = "library"
"""v1's namespace of names without one."""

MAX_REPOSITORY_NAME = 255
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_IMAGE_ID = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{16})", re.ASCII)


def parse_repository_name(text: str) -> RepositoryName:
    """Parses a repository name such as `library/busybox`.

    Raises:
        RegistryError: NAME_INVALID; nothing that fails here ever reaches storage.
    """
    if len(text) > MAX_REPOSITORY_NAME:
        raise RegistryError(
            ErrorCode.NAME_INVALID,
            f"the repository name has {len(text)} characters; {MAX_REPOSITORY_NAME} are allowed",
        )
    return _repository_names[text]


def _parse_repository_name(text: str) -> RepositoryName:
    if not all(_COMPONENT.fullmatch(component) for component in text.split("/")):
        raise RegistryError(
            ErrorCode.NAME_INVALID,
            f"{text!r} is not a valid repository name; use lower-case letters and digits, separated by . _ __ - or /",
        )
    return RepositoryName(text)


_repository_names = Cache(_parse_repository_name, bound=2048)


def canonical_name(name: str) -> str:
    """Returns the one name of a repository that v1 calls `library/busybox` or `busybox`, and v2 `busybox`."""
    namespace, _, rest = name.partition("/")
    return rest if rest and namespace == LIBRARY and "/" not in rest else name


def parse_tag(text: str) -> TagName:
    """Parses a tag.

    Raises:
        RegistryError: TAG_INVALID.
    """
    if _TAG.fullmatch(text) is None:
        what = f"{text[:140]!r} is not a valid tag"
        raise RegistryError(
            ErrorCode.TAG_INVALID,
            f"{what}; use up to 128 letters, digits, _ . and -, not beginning with . or -",
            message=what,
        )
    return TagName(text)


def is_tag(text: str) -> bool:
    """Whether this could be a tag of v2's; docker-registry took anything."""
    return _TAG.fullmatch(text) is not None


def parse_upload_id(text: str) -> UploadId:
    """Parses the name of an upload, a UUID as distribution writes it.

    Raises:
        RegistryError: BLOB_UPLOAD_UNKNOWN: such an upload cannot exist.
    """
    if _UUID.fullmatch(text) is None:
        raise RegistryError(
            ErrorCode.BLOB_UPLOAD_UNKNOWN,
            f"there is no upload {text[:80]!r}; begin one with POST /v2/<name>/blobs/uploads/",
        )
    return UploadId(text)


def is_image_id(text: str) -> bool:
    """Whether this is a v1 image id: 64 or 16 lower-case hex digits (V1API section 0)."""
    return _IMAGE_ID.fullmatch(text) is not None
