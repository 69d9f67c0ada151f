"""What a manifest names and its repository must have, before the manifest is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from typing import Protocol

from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema1, Schema2
from backends.model.names import RepositoryName
from backends.registry.validation import Validation
from backends.registry.yielding import yielding

NAMED_IN_A_SENTENCE = 3
MOST_NAMED = 100
"""Nobody asks for more than this: a manifest of 4 MiB can name tens of thousands."""

MAY_BE_ELSEWHERE = (
    "application/vnd.docker.image.rootfs.foreign.",
    "application/vnd.oci.image.layer.nondistributable.",
)


class Holdings(Protocol):
    """What a repository has."""

    name: RepositoryName

    async def has_blob(self, digest: Digest) -> bool: ...

    async def has_manifest(self, digest: Digest) -> bool: ...


async def require_references(holdings: Holdings, manifest: Manifest, validation: Validation) -> None:
    """Requires that a repository has what a manifest names, as far as `validation` asks for it.

    Raises:
        RegistryError: MANIFEST_BLOB_UNKNOWN, naming what is missing.
    """
    missing: list[str] = []
    async with aclosing(_missing(holdings, manifest, validation)) as found:
        async for digest in found:
            missing.append(str(digest))
            if len(missing) > MOST_NAMED:
                break
    if not missing:
        return
    named = ", ".join(missing[:NAMED_IN_A_SENTENCE])
    rest = len(missing) - NAMED_IN_A_SENTENCE
    more = f" and more than {rest - 1} more" if len(missing) > MOST_NAMED else f" and {rest} more" if rest > 0 else ""
    raise RegistryError(
        ErrorCode.MANIFEST_BLOB_UNKNOWN,
        f"the manifest names what {holdings.name} does not have: {named}{more}; push that first",
        each=missing,
    )


def referenced(manifest: Manifest) -> Collection[Digest]:
    """Returns all that a manifest names, here or elsewhere, each once."""
    match manifest:
        case Schema1():
            return dict.fromkeys(manifest.layers)
        case Schema2() | OciManifest():
            return dict.fromkeys([manifest.config.digest, *(layer.digest for layer in manifest.layers)])
        case Index():
            return dict.fromkeys(entry.digest for entry in manifest.manifests)


async def _missing(holdings: Holdings, manifest: Manifest, validation: Validation) -> AsyncGenerator[Digest, None]:
    async for digest, has in yielding(_needed(holdings, manifest, validation)):
        if not await has(digest):
            yield digest


def _needed(
    holdings: Holdings, manifest: Manifest, validation: Validation
) -> Iterable[tuple[Digest, Callable[[Digest], Awaitable[bool]]]]:
    """Yields each thing that must be there: its digest, and how to ask for it."""

    async def has_either(digest: Digest) -> bool:
        # BuildKit up to 0.20 exports its cache as an index whose entries are blobs.
        return await holdings.has_manifest(digest) or await holdings.has_blob(digest)

    match manifest:
        case Schema1() | Schema2() | OciManifest() if not validation.layers:
            return
        case Schema1():
            for digest in dict.fromkeys(manifest.layers):
                yield digest, holdings.has_blob
        case Schema2() | OciManifest():
            yield manifest.config.digest, holdings.has_blob
            for digest in dict.fromkeys(layer.digest for layer in manifest.layers if not _may_be_elsewhere(layer)):
                yield digest, holdings.has_blob
        case Index():
            for digest in dict.fromkeys(entry.digest for entry in manifest.manifests if validation.requires(entry)):
                yield digest, has_either


def _may_be_elsewhere(layer: Descriptor) -> bool:
    """Whether clients get a layer from an address that it names; one that names none can be had only here."""
    return bool(layer.urls) and layer.media_type.startswith(MAY_BE_ELSEWHERE)
