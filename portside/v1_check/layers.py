"""The bytes of layers, compared with the checksums that are recorded of them."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from backends.model.digest import Digest, Hash, parse_digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImagePlace
from backends.model.tarsum import NotATar, TarSums, Version
from backends.model.v1images import parse_payload_checksum
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings
from backends.storage import layout
from portside.v1_check.findings import Evidence, Finding, Kind
from portside.v1_check.image_checks import stored_checksums
from portside.v1_check.images import Images, State
from portside.v1_check.reading import Pace, read_pieces
from portside.v1_check.volume import Gone, Unreadable, Volume, evidence_of

ATTEMPTS = 3
"""So often a layer is read whose files change meanwhile."""

QUIET_SECONDS = 1.0
"""What was changed so lately may still be written to: it is read again after so long."""

_VERSIONS = {version.value: version for version in Version}


@dataclass(frozen=True, slots=True)
class Layer:
    """A file, and the images whose layer it is: a hard link may give it several names.

    Attributes:
        size: in bytes.
        places: the images.
    """

    size: int
    places: tuple[ImagePlace, ...]

    @property
    def path(self) -> str:
        return layout.v1_image_layer(self.places[0])


@dataclass(frozen=True, slots=True)
class _Expected:
    """What is recorded of an image, and the files as they were."""

    json: bytes
    checksums: Sequence[str]
    evidence: tuple[Evidence, ...]

    @property
    def payloads(self) -> Sequence[str]:
        return list(filter(None, map(parse_payload_checksum, self.checksums)))

    @property
    def tarsums(self) -> Mapping[str, Version]:
        found = {each: _VERSIONS.get(each.partition("+sha256:")[0]) for each in self.checksums if "+sha256:" in each}
        return {text: version for text, version in found.items() if version is not None}


def find_layers(volume: Volume, places: Sequence[ImagePlace]) -> Sequence[Layer]:
    """Returns the files of images' layers, in the order of the images."""
    found: dict[tuple[int, int], tuple[int, list[ImagePlace]]] = {}
    for place in places:
        try:
            info = volume.stat(layout.v1_image_layer(place))
        except (Gone, Unreadable):
            continue
        if stat.S_ISREG(info.st_mode):
            found.setdefault((info.st_dev, info.st_ino), (info.st_size, []))[1].append(place)
    return [Layer(size, tuple(some)) for size, some in found.values()]


def check_layer(volume: Volume, layer: Layer, pace: Pace, passed: Callable[[int], None]) -> Sequence[Finding]:
    """Reads a layer, and returns what is wrong with it.

    Raises:
        Stopped: it was told to.
    """
    for _ in range(ATTEMPTS):
        before = {place: _expected(volume, place) for place in layer.places}
        try:
            findings = list(_compare(volume, layer, before, pace, passed))
        except Gone:
            return ()
        except Unreadable as error:
            findings = [error.finding]
        if not findings:
            return ()
        if all(_expected(volume, place) == before[place] for place in layer.places) and not _is_young(before):
            return findings
        pace.rest(QUIET_SECONDS)
        passed = _ignore
    return ()  # it is being changed all the time


def _ignore(size: int) -> None:
    """Counts bytes that are read again for nobody."""


def _is_young(expected: Mapping[ImagePlace, _Expected | None]) -> bool:
    files = [each for some in expected.values() if some is not None for each in some.evidence if each is not None]
    return time.time_ns() - max((modified for _, modified, _ in files), default=0) < QUIET_SECONDS * 1e9


def _expected(volume: Volume, place: ImagePlace) -> _Expected | None:
    """Returns what is recorded of an image; None where it is not complete, or not readable."""
    images = Images(volume)
    known = images.known(place)
    if known.state is not State.COMPLETE or known.evidence is None:
        return None
    try:
        text = volume.read(layout.v1_image_json(place))
    except (Gone, Unreadable):
        return None
    evidence = [text.evidence]
    for path in (layout.v1_image_checksum(place), layout.v1_image_layer(place)):
        try:
            evidence.append(evidence_of(volume.stat(path)))
        except (Gone, Unreadable):
            evidence.append(None)
    return _Expected(text.content, stored_checksums(images, place), tuple(evidence))


def _compare(
    volume: Volume,
    layer: Layer,
    expected: Mapping[ImagePlace, _Expected | None],
    pace: Pace,
    passed: Callable[[int], None],
) -> Iterator[Finding]:
    wanted = {place: each for place, each in expected.items() if each is not None}
    by_json = {each.json: sha256(each.json + b"\n") for each in wanted.values()}
    blobs = {place: _blob(volume, each) for place, each in wanted.items()}
    apart = {place: blob for place, blob in blobs.items() if blob is not None and not _is_same(volume, layer, blob)}
    plain = sha256() if apart else None
    sums = _Sums(sorted({v for each in wanted.values() for v in each.tarsums.values()}, key=lambda v: v.value))
    try:
        for piece in read_pieces(volume, layer.path, pace, passed):
            for running in by_json.values():
                running.update(piece)
            if plain is not None:
                plain.update(piece)
            sums.take(piece)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        yield Finding(Kind.LAYER_UNREADABLE, layer.path.lstrip("/"), what)
        return
    sums.finish()
    for place, each in wanted.items():
        where = layout.v1_image_layer(place).lstrip("/")
        payload = by_json[each.json].hexdigest()
        is_right = payload in each.payloads
        if each.payloads and not is_right:
            what = f"does not have the recorded checksum sha256:{each.payloads[0]}, but sha256:{payload}"
            yield Finding(
                Kind.CHECKSUM_WRONG, where, what, mend=_mend_by_blob(volume, place, each, pace, apart.get(place))
            )
        yield from _compare_tarsums(where, each, sums, is_right=is_right)
        if is_right and plain is not None and place in apart:
            yield from _compare_blob(volume, where, plain.hexdigest(), apart[place], pace)


class _Sums:
    """The tarsums of a layer, where they are wanted, and it can be read as a tar."""

    def __init__(self, versions: Sequence[Version]) -> None:
        self._sums = TarSums(versions) if versions else None
        self._meter = Meter(RunningHash(), LayerSettings()) if versions else None
        self.problem: str | None = None

    def take(self, piece: bytes) -> None:
        if self._sums is None or self._meter is None or self.problem is not None:
            return
        try:
            for raw in self._meter.inflate(piece):
                self._sums.take(raw)
        except (UnreadableLayer, NotATar) as error:
            self.problem = str(error)

    def finish(self) -> None:
        if self._sums is None or self._meter is None or self.problem is not None:
            return
        try:
            for raw in self._meter.end():
                self._sums.take(raw)
            self._sums.finish()
        except (UnreadableLayer, NotATar) as error:
            self.problem = str(error)

    def sum(self, version: Version, extra: bytes) -> str:
        assert self._sums is not None
        return self._sums.sum(version, extra)


def _compare_tarsums(where: str, expected: _Expected, sums: _Sums, *, is_right: bool) -> Iterator[Finding]:
    for recorded, version in expected.tarsums.items():
        if sums.problem is not None:
            what = f"cannot be compared with the recorded {recorded}: {sums.problem}"
        elif (found := sums.sum(version, expected.json)) != recorded:
            what = f"does not have the recorded checksum {recorded}, but {found}"
        else:
            continue
        if expected.payloads:  # which says more: it is over the very bytes
            if is_right:
                yield Finding(Kind.TARSUM_DIFFERS, where, what)
        else:
            yield Finding(Kind.CHECKSUM_WRONG, where, what)


def _blob(volume: Volume, expected: _Expected) -> Digest | None:
    """Returns the blob that is noted of an image's layer, if it is there."""
    for payload in expected.payloads:
        try:
            noted = volume.read(layout.v1_layer_blob(payload)).content.decode("ascii").split(" ")[0]
            digest = parse_digest(noted)
        except (Gone, Unreadable, RegistryError, ValueError):
            continue
        if volume.is_there(layout.blob_data(digest)):
            return digest
    return None


def _is_same(volume: Volume, layer: Layer, blob: Digest) -> bool:
    try:
        first, second = volume.stat(layer.path), volume.stat(layout.blob_data(blob))
    except (Gone, Unreadable):
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _compare_blob(volume: Volume, where: str, found: str, blob: Digest, pace: Pace) -> Iterator[Finding]:
    """Compares a layer that is right with the blob that it should be another name of."""
    path = layout.blob_data(blob).lstrip("/")
    if found != blob.hex:
        yield Finding(Kind.NOTE_WRONG, where, f"is sha256:{found}, and noted as {blob}")
    elif _hash(volume, layout.blob_data(blob), sha256(), pace) == blob.hex:
        yield Finding(
            Kind.BLOB_APART, where, f"has the same bytes as {path} and is another file: they take their room twice"
        )
    else:
        yield Finding(Kind.BLOB_DIFFERS, path, f"is not what its name says; {where} is")


def _mend_by_blob(
    volume: Volume, place: ImagePlace, expected: _Expected, pace: Pace, blob: Digest | None
) -> str | None:
    """Says how a damaged layer is mended by the blob that it should be another name of, where that one is sound."""
    if blob is None:
        return None
    path = layout.blob_data(blob)
    if _hash(volume, path, sha256(expected.json + b"\n"), pace) not in expected.payloads:
        return None
    return f"The blob still has the right bytes: ln -f {path.lstrip('/')} {layout.v1_image_layer(place).lstrip('/')}"


def _hash(volume: Volume, path: str, running: Hash, pace: Pace) -> str | None:
    try:
        for piece in read_pieces(volume, path, pace, _ignore):
            running.update(piece)
    except (Gone, Unreadable, OSError):
        return None
    return running.hexdigest()
