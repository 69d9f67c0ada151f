"""What is said of a blob, a manifest or a tag that a repository does not have."""

from __future__ import annotations

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, TagName


def blob_unknown(name: RepositoryName, digest: Digest) -> RegistryError:
    return RegistryError(ErrorCode.BLOB_UNKNOWN, f"{name} has no blob {digest}")


def manifest_unknown(name: RepositoryName, reference: Digest | TagName) -> RegistryError:
    kind = "manifest" if isinstance(reference, Digest) else "tag"
    return RegistryError(
        ErrorCode.MANIFEST_UNKNOWN,
        f"{name} has no {kind} {reference}; GET /v2/{name}/tags/list lists its tags",
    )
