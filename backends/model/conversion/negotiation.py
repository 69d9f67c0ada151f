"""Which form of an image answers a request for a tag: by what its client can read (`readers`). PURE (FORMATS 5).

What a digest names is never converted: this is for tags alone. The rules:

1. What is stored goes out as it is where the client can read it: an index only where it can read the images in it
   (Docker 19.03 lists OCI's index, and not OCI's manifest).
2. A client that names no type, but `*/*`, takes whatever is stored; of v1 and schema 1 it gets schema 2.
3. A client without any `Accept` gets schema 1, as from distribution, or what is stored where that cannot become
   schema 1; Docker 1.6 to 1.9 get a 404 then that says why.
4. For a client that cannot unpack zstd, layers in zstd become gzip.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.model import media_types
from backends.model.conversion.plans import LINUX_AMD64, Form, Plan
from backends.model.conversion.readers import NOT_WITH_SCHEMA1, SINGLE, Reader

_OCI = frozenset({media_types.OCI_MANIFEST, media_types.OCI_INDEX})
_LISTED_IMAGE = {media_types.MANIFEST_LIST: media_types.SCHEMA2, media_types.OCI_INDEX: media_types.OCI_MANIFEST}
"""What the entries of an index become where it is made for a client."""

_WORDS = {
    media_types.V1_IMAGE: ("an image of the v1 protocol", "v1 images"),
    media_types.SCHEMA1_SIGNED: ("a schema 1 manifest", "schema 1 manifests"),
    media_types.SCHEMA2: ("a schema 2 manifest", "schema 2 manifests"),
    media_types.OCI_MANIFEST: ("an OCI manifest", "OCI manifests"),
    media_types.MANIFEST_LIST: ("a manifest list", "manifest lists"),
    media_types.OCI_INDEX: ("an OCI index", "OCI indexes"),
}


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A single image, as far as its form for a client depends on it.

    Attributes:
        media_type: `media_types.V1_IMAGE` or a manifest's.
        has_zstd: one of its layers is in zstd; need only be known for clients that cannot unpack that.
    """

    media_type: str
    has_zstd: bool = False


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """A manifest list or an OCI index, as far as its form for a client depends on it.

    Attributes:
        media_type: which of the two it is.
        images: the types of the manifests in it; attestations are not counted.
        choice: the type of the image for the client's platform; "" where that is not known.
        has_zstd: one of its images has a layer in zstd; as above.
    """

    media_type: str
    images: frozenset[str] = frozenset()
    choice: str = ""
    has_zstd: bool = False


Stored = StoredImage | StoredIndex


@dataclass(frozen=True, slots=True)
class AsStored:
    """The answer is what the tag names, to the byte."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The answer is made of what the tag names; of an index it may be one of its images, to the byte.

    Attributes:
        plan: what is to be made of it.
        or_as_stored: where that is impossible, the client takes what is stored.
    """

    plan: Plan
    or_as_stored: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no answer for this client.

    Attributes:
        sentence: what is stored, what the client can read, and what to do.
    """

    sentence: str


Answer = AsStored | Converted | Refused


def negotiate(reader: Reader, stored: Stored) -> Answer:
    """Decides what a client gets for a tag.

    Args:
        reader: what the client can read.
        stored: what the tag names.
    """
    match stored:
        case StoredImage():
            return _of_image(reader, stored)
        case StoredIndex():
            return _of_index(reader, stored)


def _of_image(reader: Reader, image: StoredImage) -> Answer:
    types, stored = reader.types, image.media_type
    if stored in types or (not types and stored in media_types.IMAGES):
        return _as_stored(reader, image)
    single = _single(reader)
    if single:
        return _converted(reader, image, single)
    if not reader.takes_anything:
        return _refused(reader, image)
    if stored in media_types.IMAGES:
        return _as_stored(reader, image)
    return _converted(reader, image, media_types.SCHEMA2)


def _of_index(reader: Reader, index: StoredIndex) -> Answer:
    types, stored = reader.types, index.media_type
    readable = types & SINGLE
    if not types or (stored in types and (not readable or index.images <= types)):
        return _as_stored(reader, index)
    for form in (stored, *sorted(_LISTED_IMAGE.keys() - {stored})):
        if form in types and (_LISTED_IMAGE[form] in readable or not readable):
            return _converted(reader, index, form)
    if stored in types and stored == media_types.MANIFEST_LIST:
        return _as_stored(reader, index)
    if readable:
        return _converted(reader, index, index.choice if index.choice in readable else _single(reader))
    return _as_stored(reader, index) if reader.takes_anything else _refused(reader, index)


def _as_stored(reader: Reader, stored: Stored) -> Answer:
    return _converted(reader, stored, stored.media_type) if _needs_gzip(reader, stored) else AsStored()


def _needs_gzip(reader: Reader, stored: Stored) -> bool:
    return stored.has_zstd and not reader.reads_zstd and stored.media_type != media_types.SCHEMA1_SIGNED


def _single(reader: Reader) -> str:
    """Returns the form of a single image that is made for a client; "" where it reads none."""
    for form in (media_types.SCHEMA2, media_types.OCI_MANIFEST, media_types.SCHEMA1_SIGNED):
        if form in reader.types:
            return form
    return ""


def _converted(reader: Reader, stored: Stored, form: str) -> Converted:
    chosen = isinstance(stored, StoredIndex) and form in SINGLE
    plan = Plan(
        Form(form), reader.platform if chosen else LINUX_AMD64, gzip_only=_reads_gzip_alone(reader, stored, form)
    )
    old = stored.media_type in {media_types.V1_IMAGE, media_types.SCHEMA1_SIGNED}
    refuses_old = stored.media_type == media_types.V1_IMAGE or not reader.types.isdisjoint(NOT_WITH_SCHEMA1)
    return Converted(plan, reader.takes_anything and not (old and refuses_old))


def _reads_gzip_alone(reader: Reader, stored: Stored, form: str) -> bool:
    if not reader.reads_zstd or form == media_types.SCHEMA1_SIGNED:
        return True
    # Schema 2 has no type for zstd that its old clients know: who reads nothing of OCI gets gzip for what was OCI.
    if form in _OCI or not reader.types or not reader.types.isdisjoint(_OCI):
        return False
    sources = stored.images if isinstance(stored, StoredIndex) and stored.images else {stored.media_type}
    return not sources.isdisjoint(_OCI)


def _refused(reader: Reader, stored: Stored) -> Refused:
    accepted = " and ".join(sorted(_WORDS[each][1] for each in reader.types)) or "no type of manifest"
    return Refused(
        f"this is {_WORDS[stored.media_type][0]}, and {reader.text} accepts {accepted};"
        f" ask with Accept: {stored.media_type}, or with */*"
    )
