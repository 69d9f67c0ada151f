"""Which image of a list or an index a client gets that cannot read these (FORMATS section 3.7). PURE.

Candidates are the images in it: no attestations, artifacts or caches. Of them, the one for the client's platform; else,
where there is just one for its operating system, that. An image that asks for features of the operating system (EROFS
layers, for one) is never chosen: who cannot read an index has none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from backends.model import media_types
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.descriptors import Descriptor, Platform

MAX_NESTING = 3
"""Indexes within indexes, at most, counted with the outermost."""

REFERENCE_TYPE = "vnd.docker.reference.type"
"""The annotation with which BuildKit marks an attestation of another entry."""

_NOT_SAID = Platform("", "")
_IMAGES = media_types.IMAGES | media_types.SCHEMA1_TYPES
_UNKNOWN = "unknown"
_WINDOWS = "windows"
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "i386": "386", "i686": "386", "aarch64": "arm64", "armhf": "arm"}
_VARIANTS = {
    "amd64": ("", "v1"),
    "arm": ("", "v6", "v7", "v5"),  # what runs on more machines first: the client does not say which it is
    "arm64": ("", "v8"),
}
_MAX_NAMED = 8
_NOT_SAFE = re.compile(r"[^A-Za-z0-9._+~-]")


def image_entries(entries: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Returns those entries of an index that are images, in their order."""
    return tuple([entry for entry in entries if entry.media_type in _IMAGES and not _is_attached(entry)])


def nested_indexes(entries: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    """Returns those entries of an index that are indexes themselves."""
    return tuple([entry for entry in entries if entry.media_type in media_types.INDEXES and not _is_attached(entry)])


def says_platform(entry: Descriptor) -> bool:
    """Whether an entry of an index says what its image runs on."""
    return entry.platform is not None and bool(entry.platform.os or entry.platform.architecture)


def _is_attached(entry: Descriptor) -> bool:
    platform = entry.platform
    return (
        bool(entry.artifact_type)
        or REFERENCE_TYPE in entry.annotations
        or (platform is not None and platform.os == platform.architecture == _UNKNOWN)
    )


def needs_features(platform: Platform) -> bool:
    """Whether an image asks for more than its platform's name says; on Windows all say `win32k`."""
    return bool(platform.os_features) and platform.os.lower() != _WINDOWS


def ranked(images: Sequence[Descriptor], wanted: Platform) -> tuple[Descriptor, ...]:
    """Returns the images that a client could get, the best first.

    Args:
        images: `image_entries` of an index and of those within it; where an entry does not say its platform, that of
            its configuration.
        wanted: the client's platform; without a variant where it does not say one.
    """
    candidates = [image for image in images if not needs_features(image.platform or _NOT_SAID)]
    rank = [(position, image) for image in candidates if (position := _position(image, wanted)) is not None]
    if rank:
        return tuple([image for _, image in sorted(rank, key=lambda pair: pair[0])])
    same_os = [image for image in candidates if _os(image.platform or _NOT_SAID) in {"", _os(wanted)}]
    return tuple(same_os) if len(same_os) == 1 else ()


def choose(images: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """Returns the image that a client gets.

    Args:
        images: as of `ranked`.
        wanted: as of `ranked`.

    Raises:
        ImpossibleConversion: there is none for it.
    """
    best = ranked(images, wanted)
    if best:
        return best[0]
    named = sorted({text for image in images if (text := _with_features(image.platform or _NOT_SAID))})
    there = ", ".join(named[:_MAX_NAMED]) + (" and others" if len(named) > _MAX_NAMED else "")
    if not images:
        raise ImpossibleConversion("none of the entries of this list is an image; pull it with the tool that pushed it")
    raise ImpossibleConversion(
        f"there is no {platform_text(wanted)} image in this list, only {there or 'images of no platform'};"
        f" pull it on such a machine, or push an image for {platform_text(wanted)}"
    )


def platform_text(platform: Platform) -> str:
    """Returns a platform as users write it, `linux/arm/v7`; in printable ASCII, for it goes into headers."""
    parts = (platform.os, platform.architecture, platform.variant)
    return "/".join([_NOT_SAFE.sub("?", part[:32]) for part in parts if part])


def _with_features(platform: Platform) -> str:
    """Returns a platform with what keeps an image of it from being chosen."""
    text = platform_text(platform)
    return f"{text} with features of its own" if text and needs_features(platform) else text


def _position(image: Descriptor, wanted: Platform) -> int | None:
    """Returns how well an image's platform fits, 0 the best; None where it does not."""
    platform, architecture = image.platform or _NOT_SAID, _architecture(wanted)
    if (_os(platform), _architecture(platform)) != (_os(wanted), architecture):
        return None
    acceptable = _VARIANTS.get(architecture, ("",))
    if wanted.variant:
        acceptable = (wanted.variant, *acceptable)
    variant = platform.variant.lower()
    return acceptable.index(variant) if variant in acceptable else None


def _os(platform: Platform) -> str:
    return platform.os.lower()


def _architecture(platform: Platform) -> str:
    name = platform.architecture.lower()
    return _ALIASES.get(name, name)
