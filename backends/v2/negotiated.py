"""What answers a request for a tag that cannot go out as it is stored: an image of an index, or a conversion.

What is stored, and what the client reads, decide (`backends/model/conversion/negotiation.py`). HEAD and GET get the
same, and whatever they name can be asked for by its digest (FORMATS section 0).
"""

from __future__ import annotations

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.negotiation import (
    Answer,
    AsStored,
    Converted,
    Refused,
    Stored,
    StoredImage,
    negotiate,
)
from backends.model.conversion.readers import Reader
from backends.model.errors import ErrorCode, RegistryError
from backends.model.targets import V1Target, V2Target, target_text
from backends.registry.found_manifests import StoredManifest, Tagged
from backends.registry.repository import Repository
from backends.registry.still_working import StillWorking
from backends.v2.describing import describe
from backends.v2.parts import Parts


async def find_answer(
    parts: Parts, repository: Repository, tagged: Tagged, reader: Reader, *, whole: bool
) -> StoredManifest:
    """Returns what a client gets for a tag.

    Args:
        parts: of the registry.
        repository: the tag's.
        tagged: the tag, and what it names.
        reader: the client.
        whole: whether it wants the content; else it asks what that is.

    Raises:
        RegistryError: MANIFEST_UNKNOWN: there is nothing for this client; the message says why.
        StillWorking: it takes longer than a client waits.
    """
    match await _answer(parts, repository, tagged, reader):
        case AsStored():
            return await _as_stored(repository, tagged)
        case Converted(plan, or_as_stored):
            try:
                return await repository.convert(
                    tagged.target, plan, tag=tagged.tag, patience=parts.settings.patience_seconds
                )
            except ImpossibleConversion as impossible:
                if or_as_stored:
                    return await _as_stored(repository, tagged)
                raise refused(str(impossible), tagged, reader) from None
            except StillWorking as working:
                # containerd compares the digest with what it is about to push, in vain where nobody has pulled this
                # yet. A 404 lets it push at once; a 503 in the end would fail its push.
                if whole or not reader.names_one_form:
                    raise
                sentence = f"this image is being prepared for clients that read this form: {working.progress}"
                raise refused(sentence, tagged, reader) from None
        case Refused(sentence):
            raise refused(sentence, tagged, reader)


def refused(sentence: str, tagged: Tagged, reader: Reader) -> RegistryError:
    """Returns the error for a client that cannot read what is stored.

    Docker shows the message, and no detail; so the message is the sentence, and the detail is for programs: the tag, as
    distribution says it, what it names, and what this client reads.
    """
    key = "id" if isinstance(tagged.target, V1Target) else "digest"
    facts = {
        "Tag": tagged.tag,
        "stored": {"mediaType": tagged.media_type, key: target_text(tagged.target)},
        "reads": sorted(reader.types),
    }
    return RegistryError(ErrorCode.MANIFEST_UNKNOWN, sentence, message=sentence, facts=facts)


async def _as_stored(repository: Repository, tagged: Tagged) -> StoredManifest:
    assert isinstance(tagged.target, V2Target)  # nobody reads v1 as it is stored: negotiation never says so
    return await repository.get_manifest(tagged.target.digest)


async def _answer(parts: Parts, repository: Repository, tagged: Tagged, reader: Reader) -> Answer:
    """Returns what a client gets; of a manifest, that is remembered, and what it says too, for other clients."""
    target = tagged.target
    asked = (tagged.media_type if isinstance(target, V1Target) else target.digest, reader)
    try:
        return parts.answers[asked]
    except KeyError:
        stored, is_final = await _describe(parts, repository, tagged, reader)
    answer = negotiate(reader, stored)
    if is_final:
        parts.answers.put(asked, answer)
    return answer


async def _describe(parts: Parts, repository: Repository, tagged: Tagged, reader: Reader) -> tuple[Stored, bool]:
    """Returns what a tag names, as far as negotiation depends on it, and whether that will always be so."""
    target = tagged.target
    if isinstance(target, V1Target):
        return StoredImage(tagged.media_type), True
    key = (target.digest, reader.platform, reader.reads_zstd)
    try:
        return parts.described[key], True
    except KeyError:
        stored, is_final = await describe(repository, target, tagged.media_type, reader)
    if is_final:
        parts.described.put(key, stored)
    return stored, is_final
