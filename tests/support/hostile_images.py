"""Images that nobody makes by accident: layers that grow without end, chains in circles, documents of any shape.

Each of them a registry takes (or refuses) when it is pushed; none may cost it much time or memory when somebody asks
for it in another form.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Mapping
from typing import Any, Final

from backports import zstd

from tests.support import schema1
from tests.support.bridge_pushes import Place, oci_config
from tests.support.images import V1Image, digest_of, make_built_image, make_image
from tests.support.media_types import (
    DOCKER_CONFIG,
    DOCKER_GZIP,
    INDEX,
    LIST,
    MANIFEST,
    OCI_CONFIG,
    OCI_GZIP,
    OCI_ZSTD,
    SCHEMA2,
)
from tests.support.raw_push import push_v1_raw

_MIB: Final = 1 << 20
_PART: Final = 16 * _MIB
_MANY: Final = 10_000


class RefusedAtPushError(Exception):
    """The registry did not take it."""


Attack = Callable[[Place], None]


# -- layers that grow ----------------------------------------------------------------------------------------------


def _grown(byte: bytes, gib: int, packing: Callable[[bytes], bytes]) -> bytes:
    """A layer of many GiB in few bytes: the same part again and again."""
    return packing(byte * _PART) * (gib * 1024 * _MIB // _PART)


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def huge_window() -> bytes:
    """A zstd frame that asks for a window of 2 GiB, and has one raw block of a kilobyte."""
    block = bytes(1024)
    return b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3]) + (1 | len(block) << 3).to_bytes(3, "little") + block


def _v1_layer(layer: Callable[[], bytes]) -> Attack:
    def push(place: Place) -> None:
        chain = make_built_image(place.name).v1_chain(final_newline=True, closing_blocks=True)
        base = V1Image(chain[0].id, chain[0].json, layer())
        try:
            push_v1_raw(place.address, place.name, place.tag, (base, *chain[1:]))
        except AssertionError as error:
            raise RefusedAtPushError(str(error)) from error

    return push


def _oci_layer(layer: Callable[[], bytes], media_type: str) -> Attack:
    """The configuration has the diff_ids of another layer, as a forger's would."""

    def push(place: Place) -> None:
        image = make_built_image(place.name)
        raw = place.raw()
        others = [raw.blob(each.packed, OCI_GZIP) for each in image.stored_layers[1:]]
        _put(place, MANIFEST, {
            "config": raw.blob(oci_config(image), OCI_CONFIG),
            "layers": [raw.blob(layer(), media_type), *others],
        })  # fmt: skip

    return push


# -- documents of any shape ------------------------------------------------------------------------------------------


def _put(place: Place, media_type: str, members: Mapping[str, Any]) -> None:
    content = schema1.go_json({"schemaVersion": 2, "mediaType": media_type, **members}).encode()
    try:
        place.raw().manifest(content, media_type, tag=place.tag)
    except AssertionError as error:
        raise RefusedAtPushError(str(error)) from error


def _config(config: Callable[[dict[str, Any]], bytes], *, layers: int = 1) -> Attack:
    """An image whose configuration is what `config` makes of a good one."""

    def push(place: Place) -> None:
        image = make_image(place.name, layers=1)
        raw = place.raw()
        layer = raw.blob(image.layers[0].packed, DOCKER_GZIP)
        content = config(json.loads(image.config()))
        _put(place, SCHEMA2, {"config": raw.blob(content, DOCKER_CONFIG), "layers": [layer] * layers})

    return push


def _changed(**members: Any) -> Attack:
    return _config(lambda good: json.dumps({**good, **members}).encode())


def _history_of(count: int) -> Attack:
    empty = {"created": "2015-01-01T00:00:00Z", "created_by": "x", "empty_layer": True}
    return _changed(history=[{"created_by": "y"}, *[empty] * count])


def _many_layers(place: Place) -> None:
    def many(good: dict[str, Any]) -> bytes:
        rootfs = {"type": "layers", "diff_ids": good["rootfs"]["diff_ids"] * _MANY}
        return json.dumps({**good, "rootfs": rootfs, "history": []}).encode()

    _config(many, layers=_MANY)(place)


def _schema1(entries: Callable[[str], list[dict[str, Any]]]) -> Attack:
    """Schema 1 with these v1 texts, base first, all of the same blob."""

    def push(place: Place) -> None:
        layer = make_image(place.name, layers=1).layers[0].packed
        raw = place.raw()
        raw.blob(layer, DOCKER_GZIP)
        texts = [schema1.go_json(entry) if entry else "[[[" for entry in entries(place.name)]
        listed = [schema1.Entry(digest_of(layer), text) for text in reversed(texts)]
        payload = schema1.payload(place.name, place.tag, listed, version_first=True)
        try:
            raw.manifest_of_payload(schema1.sign(payload, schema1.new_key()), payload, tag=place.tag)
        except AssertionError as error:
            raise RefusedAtPushError(str(error)) from error

    return push


def _ids(name: str, count: int) -> list[str]:
    return [digest_of(f"{name} {number}".encode())[7:] for number in range(count)]


def _chain(name: str, count: int) -> list[dict[str, Any]]:
    ids = _ids(name, count)
    return [{"id": each, **({"parent": ids[at - 1]} if at else {}), "created": "x"} for at, each in enumerate(ids)]


def _circle(name: str) -> list[dict[str, Any]]:
    first, second = _ids(name, 2)
    return [{"id": first, "parent": second}, {"id": second, "parent": first}]


def _same_id_again(name: str) -> list[dict[str, Any]]:
    first, second = _ids(name, 2)
    return [{"id": first}, {"id": second, "parent": first}, {"id": first, "parent": second}]


def _of_itself(name: str) -> list[dict[str, Any]]:
    (only,) = _ids(name, 1)
    return [{"id": only, "parent": only}]


def _entries_of_an_index(place: Place) -> None:
    """10 000 entries, all of the same image, each for another platform."""
    raw = place.raw()
    image = make_image(place.name, layers=1)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": raw.blob(oci_config(image), OCI_CONFIG),
        "layers": [raw.blob(image.layers[0].packed, OCI_GZIP)],
    }
    entry = raw.manifest(schema1.go_json(document).encode(), MANIFEST)
    listed = [{**entry, "platform": {"os": "linux", "architecture": f"a{number}"}} for number in range(_MANY)]
    _put(place, INDEX, {"manifests": listed})


def _nested(place: Place) -> None:
    """Indexes in indexes, fifty deep, an image at the end."""
    raw = place.raw()
    image = make_image(place.name, layers=1)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": raw.blob(image.config(), DOCKER_CONFIG),
        "layers": [raw.blob(image.layers[0].packed, DOCKER_GZIP)],
    }
    entry = raw.manifest(schema1.go_json(document).encode(), SCHEMA2)
    for depth in range(50):
        listed = [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}]
        media_type = INDEX if depth % 2 else LIST
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
        entry = raw.manifest(schema1.go_json(document).encode(), media_type)
    _put(place, INDEX, {"manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}]})


ATTACKS: Final[Mapping[str, Attack]] = {
    "v1: gzip of 2 GiB of x": _v1_layer(lambda: _grown(b"x", 2, _gzip)),
    "v1: gzip of 2 GiB of zeros": _v1_layer(lambda: _grown(b"\0", 2, _gzip)),
    "v1: bzip2 of 8 GiB": _v1_layer(lambda: _grown(b"x", 8, bz2.compress)),
    "v1: xz of 8 GiB": _v1_layer(lambda: _grown(b"x", 8, lzma.compress)),
    "v1: zstd of 8 GiB": _v1_layer(lambda: _grown(b"x", 8, zstd.compress)),
    "v1: zstd with a window of 2 GiB": _v1_layer(huge_window),
    "v1: half a gzip": _v1_layer(lambda: _gzip(bytes(range(256)) * 4000)[:-20]),
    "v1: gzip and then anything": _v1_layer(lambda: _gzip(b"x" * 1024) + b"junk"),
    "OCI: gzip of 2 GiB": _oci_layer(lambda: _grown(b"x", 2, _gzip), OCI_GZIP),
    "OCI: zstd of 8 GiB": _oci_layer(lambda: _grown(b"x", 8, zstd.compress), OCI_ZSTD),
    "OCI: zstd with a window of 2 GiB": _oci_layer(huge_window, OCI_ZSTD),
    "OCI: half a zstd": _oci_layer(lambda: zstd.compress(bytes(range(256)) * 4000)[:-20], OCI_ZSTD),
    "OCI: another layer than the configuration says, zstd": _oci_layer(lambda: zstd.compress(b"x" * 1024), OCI_ZSTD),
    "OCI: gzip that is called zstd": _oci_layer(lambda: _gzip(b"x" * 1024), OCI_ZSTD),
    "OCI: zstd that is called gzip": _oci_layer(lambda: zstd.compress(b"x" * 1024), OCI_GZIP),
    "schema 1: 10 000 images": _schema1(lambda name: _chain(name, _MANY)),
    "schema 1: 600 images": _schema1(lambda name: _chain(name, 600)),
    "schema 1: a circle": _schema1(_circle),
    "schema 1: an id again": _schema1(_same_id_again),
    "schema 1: its own parent": _schema1(_of_itself),
    "schema 1: a text that is no JSON": _schema1(lambda name: [*_chain(name, 1), {}]),
    "schema 1: ids that are none": _schema1(lambda _: [{"id": "../../etc/passwd"}, {"id": ["x"]}]),
    "schema 1: deep text": _schema1(lambda name: [{**_chain(name, 1)[0], "config": _deep(400)}]),
    "configuration: 10 000 steps": _history_of(_MANY),
    "configuration: 10 000 layers": _many_layers,
    "configuration: deep": _config(lambda _: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "configuration: 20 MiB": _config(lambda good: json.dumps({**good, "x": "y" * 20 * _MIB}).encode()),
    "configuration: no UTF-8": _config(lambda _: b'{"architecture":"\xff","rootfs":{"diff_ids":[]}}'),
    "configuration: a list": _config(lambda _: b"[1,2,3]"),
    "configuration: empty": _config(lambda _: b""),
    "configuration: the same member twice": _config(
        lambda good: json.dumps(good).encode()[:-1] + b',"rootfs":{"type":"layers","diff_ids":[]}}'
    ),
    "configuration: huge numbers": _changed(x=int("9" * 4000), config={"CpuShares": int("9" * 400)}),
    "configuration: lone surrogates": _config(lambda good: json.dumps({**good, "author": "\ud800"}).encode()),
    "configuration: diff_ids that are none": _changed(rootfs={"type": "layers", "diff_ids": [1, None]}),
    "configuration: history that is none": _changed(history={"a": 1}),
    "configuration: steps that are none": _changed(history=[1, "x", None]),
    "configuration: a step's text is a list": _changed(history=[{"created_by": ["x"], "created": 5}]),
    "configuration: members of other types": _changed(config=[], os=5, architecture={}, created=[], container_config=7),
    "configuration: more steps than layers": _changed(history=[{"created_by": "x"}] * 5),
    "configuration: times out of range": _changed(created="99999-99-99T99:99:99.9999999999999Z", history=[]),
    "index: 10 000 entries": _entries_of_an_index,
    "index: fifty deep": _nested,
}
"""All of them, by name."""


def _deep(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested
