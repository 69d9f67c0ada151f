"""From bytes and a Content-Type to a manifest that no two clients can understand differently.

The type is what the document says of itself; a Content-Type that says otherwise, and a document that is several things
at once, are refused (OCI GHSA-mc8v-mgrf-8f4m).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.model import media_types
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests.images import OciManifest, Schema2, parse_oci_manifest, parse_schema2
from backends.model.manifests.indexes import Index, parse_index
from backends.model.manifests.schema1 import Schema1, parse_schema1, require_names
from backends.model.strict_json import parse_json, refuse_lookalikes, spellings

# docker 1.6 and 1.7 send no Content-Type; 1.8 and 1.9 none or application/json
_SAYS_NOTHING = frozenset({"", media_types.JSON, media_types.OCTET_STREAM, "text/plain"})
_MARKS = {"fsLayers": "schema 1", "config": "an image", "layers": "an image", "manifests": "an index"}

_FIELDS = spellings(*_MARKS, "schemaVersion", "mediaType", "artifactType", "subject", "annotations", "history",
                    "signatures", "name", "tag", "architecture")  # fmt: skip


def parse_manifest(content: bytes, content_type: str) -> Schema1 | Schema2 | OciManifest | Index:
    """Parses a pushed manifest; of schema 1 it checks the signatures.

    Args:
        content: the body, to the byte.
        content_type: the header's value, or "".

    Raises:
        RegistryError: MANIFEST_INVALID or MANIFEST_UNVERIFIED, of schema 1 also NAME_INVALID or TAG_INVALID; the detail
            says what is wrong.
    """
    declared = content_type.partition(";")[0].strip().lower()
    if declared not in media_types.MANIFESTS and declared not in _SAYS_NOTHING:
        raise _invalid(f"Content-Type {declared[:100]!r} is not a type of manifest")
    try:
        document = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"the manifest cannot be read: {error}") from None
    if not isinstance(document, Mapping):
        raise _invalid("the manifest is not a JSON object")
    try:
        refuse_lookalikes(document, _FIELDS)
        media_type = _media_type(document)
        _refuse_contradiction(declared, media_type)
        if media_type == media_types.SCHEMA1_SIGNED:
            manifest = parse_schema1(document, content, _verified(document, content))
            require_names(document)
            return manifest
        return _read(document, content, media_type)
    except ValueError as error:
        raise _invalid(f"the manifest is malformed: {error}") from None


def parse_stored_manifest(content: bytes) -> Schema1 | Schema2 | OciManifest | Index:
    """Parses a manifest that is stored: it was verified when it came, and volumes keep schema 1 without signatures.

    Raises:
        ValueError: the content is not a manifest.
    """
    document = _object(content)
    media_type = _media_type(document)
    if media_type == media_types.SCHEMA1_SIGNED:
        return parse_schema1(document, content, content)
    return _read(document, content, media_type)


def sniff_media_type(content: bytes) -> str:
    """Returns the media type of a stored manifest, which volumes do not record anywhere else.

    Raises:
        ValueError: the content is not a manifest.
    """
    return _media_type(_object(content))


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        document = parse_json(content)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(document, Mapping):
        raise ValueError("not a JSON object")
    return document


def _media_type(document: Mapping[str, Any]) -> str:
    marks = list(dict.fromkeys(name for key, name in _MARKS.items() if key in document))
    if len(marks) > 1:
        raise ValueError(f"it is {' and '.join(marks)} at once")
    version = document.get("schemaVersion")
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValueError(f"schemaVersion must be 1 or 2, not {str(version)[:20]!r}")
    if version == 1:
        if marks and marks != ["schema 1"]:
            raise ValueError(f"schemaVersion is 1, but it is {marks[0]}")
        return media_types.SCHEMA1_SIGNED
    if version != 2:  # noqa: PLR2004 - the version's own number
        raise ValueError(f"schemaVersion must be 1 or 2, not {str(version)[:20]!r}")
    stated = document.get("mediaType", "")
    if stated == "":
        return media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST
    if not isinstance(stated, str) or stated not in media_types.IMAGES | media_types.INDEXES:
        raise ValueError(f"mediaType {str(stated)[:100]!r} is not a type of manifest")
    return stated


def _refuse_contradiction(declared: str, media_type: str) -> None:
    if declared in _SAYS_NOTHING or declared == media_type:
        return
    if declared in media_types.SCHEMA1_TYPES and media_type in media_types.SCHEMA1_TYPES:
        return
    raise ValueError(f"Content-Type says {declared}, the document is {media_type}")


def _verified(document: Mapping[str, Any], content: bytes) -> bytes:
    from backends.model import jws  # noqa: PLC0415 - cryptography is slow to import, and schema 1 is seldom

    if "signatures" not in document:
        raise ValueError("a schema 1 manifest must be signed, and it has no `signatures`")
    try:
        return jws.verify(content, document)
    except jws.Unverified as error:
        raise RegistryError(ErrorCode.MANIFEST_UNVERIFIED, str(error)) from None


def _read(document: Mapping[str, Any], content: bytes, media_type: str) -> Schema2 | OciManifest | Index:
    match media_type:
        case media_types.SCHEMA2:
            return parse_schema2(document, content)
        case media_types.OCI_MANIFEST:
            return parse_oci_manifest(document, content)
        case _:
            return parse_index(document, content, media_type)


def _invalid(detail: str) -> RegistryError:
    return RegistryError(ErrorCode.MANIFEST_INVALID, detail)
