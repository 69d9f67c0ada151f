"""What is told of pulls, GET and HEAD alike, as distribution tells them; only asked for where events are wanted."""

from __future__ import annotations

from contextlib import suppress

from aiohttp.web import BaseRequest

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.events import Conversion, blob_target, manifest_target, references_of
from backends.model.manifests import parse_stored_manifest
from backends.model.names import RepositoryName
from backends.registry.events import note_pull
from backends.registry.found_manifests import ConvertedManifest, ManifestInfo
from backends.registry.manifests import parse_off_loop
from backends.registry.repository import Repository
from backends.v2.parts import Parts


def tell_blob(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest, size: int) -> None:
    """Tells that a blob is pulled: all of it, whatever part is asked for, and also what the client has already."""
    actor = parts.actor(request)
    note_pull(parts.store.events, blob_target(name, digest, size, origin=actor.origin), actor=actor)


async def tell_manifest(
    parts: Parts, request: BaseRequest, repository: Repository, manifest: ManifestInfo, *, tag: str
) -> None:
    """Tells that a manifest is pulled, with the tag that it was asked for by, and what it was converted from."""
    events = parts.store.events
    actor = parts.actor(request)
    named = None
    converted = manifest if isinstance(manifest, ConvertedManifest) else None
    if events.includes_references:
        with suppress(RegistryError):  # deleted meanwhile, or damaged: its bytes go out all the same
            if converted is not None:
                named = await parse_off_loop(converted.content, parse_stored_manifest)
            else:
                named = await repository.parse_manifest(manifest.digest)
    target = manifest_target(
        repository.name,
        manifest.digest,
        manifest.size,
        media_type=manifest.media_type,
        tag=tag,
        references=() if named is None else references_of(named),
        conversion=None if converted is None else Conversion(converted.source, converted.source_type, converted.rule),
        origin=actor.origin,
    )
    note_pull(events, target, actor=actor)
