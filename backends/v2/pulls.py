"""What is told of pulls, GET and HEAD alike, as distribution tells them; only asked for where events are wanted."""

from __future__ import annotations

from contextlib import suppress

from aiohttp.web import BaseRequest

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.events import blob_target, manifest_target, references_of
from backends.model.names import RepositoryName, TagName
from backends.registry.events import note_pull
from backends.registry.repository import ManifestInfo
from backends.v2.parts import Parts


def tell_blob(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest, size: int) -> None:
    """Tells that a blob is pulled: all of it, whatever part is asked for, and also what the client has already."""
    actor = parts.actor(request)
    note_pull(parts.store.events, blob_target(name, digest, size, origin=actor.origin), actor=actor)


async def tell_manifest(
    parts: Parts,
    request: BaseRequest,
    name: RepositoryName,
    reference: Digest | TagName,
    manifest: ManifestInfo,
) -> None:
    """Tells that a manifest is pulled, with the tag that it was asked for by."""
    events = parts.store.events
    actor = parts.actor(request)
    named = None
    if events.includes_references:
        with suppress(RegistryError):  # deleted meanwhile, or damaged: its bytes go out all the same
            named = await parts.store.open(name).parse_manifest(manifest.digest)
    target = manifest_target(
        name,
        manifest.digest,
        manifest.size,
        media_type=manifest.media_type,
        tag="" if isinstance(reference, Digest) else reference,
        references=() if named is None else references_of(named),
        origin=actor.origin,
    )
    note_pull(events, target, actor=actor)
