"""Every kind of push there is, of images whose files and history are known (FORMATS section 6, its rows)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.support import schema1
from tests.support.docker import Docker, Outcome
from tests.support.images import EMPTY_LAYER, Image, V1Image, digest_of, make_built_image, make_image
from tests.support.layers import Compression, pack, pack_gzip_members, pack_zstd_frames
from tests.support.media_types import (
    DOCKER_CONFIG,
    DOCKER_FOREIGN,
    DOCKER_GZIP,
    DOCKER_TAR,
    INDEX,
    LIST,
    MANIFEST,
    OCI_CONFIG,
    OCI_GZIP,
    OCI_TAR,
    OCI_ZSTD,
    SCHEMA2,
    SHORT,
)
from tests.support.profiles import PROFILES
from tests.support.raw_push import RawPush
from tests.support.seen import Seen, seen_of
from tests.support.wire import Address

_LINUX: Final = {"os": "linux", "architecture": "amd64"}
_EMPTY_JSON: Final = b"{}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed under a tag.

    Attributes:
        form: ``v1``, or the short name of the manifest's type.
        content: The manifest as it was sent.
        digest: The manifest's digest; of schema 1 that of its payload.
        chain: The v1 images as they were sent, base first.
        image: What a client on linux/amd64 is to get; None where there is no image for it.
    """

    form: str
    content: bytes = b""
    digest: str = ""
    chain: tuple[V1Image, ...] = ()
    image: Seen | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where to push to, and a server that has the layers which the registry has not."""

    address: Address
    name: str
    tag: str
    elsewhere: str = ""
    kept_elsewhere: dict[str, bytes] = field(default_factory=dict)

    def raw(self) -> RawPush:
        return RawPush(self.address, self.name)


Push = Callable[[Place], Pushed]


def built(place: Place, what: str = "") -> Image:
    """The image that a repository gets; no other's shares a layer with it."""
    return make_built_image(f"{place.name}{what}")


# -- v1 and schema 1: as Docker pushed them -----------------------------------------------------------------------


def _by_docker(version: str) -> Push:
    def push(place: Place) -> Pushed:
        image = built(place)
        done = _done(Docker(version, place.address).push(place.name, place.tag, image))
        seen = seen_of(image)
        if done.digests:
            sent = next(each.request for each in reversed(done.exchanges) if "/manifests/" in each.request.url)
            form = SHORT[SCHEMA2] if sent.values("Content-Type") == [SCHEMA2] else "schema 1"
            return Pushed(form, sent.body, done.digests[place.tag], image=seen)
        profile = PROFILES[version]
        chain = image.v1_chain(final_newline=profile.json_newline, closing_blocks=profile.closing_blocks)
        return Pushed("v1", chain=chain, image=seen)

    return push


def _v1_packed_otherwise(place: Place) -> Pushed:
    """Layers as early Docker and tools of others pushed them: plain, bzip2, xz, and gzip in several members."""
    image = built(place)
    packed = iter([*_other_packings(image), *(layer.packed for layer in image.layers[-2:])])
    chain = image.v1_chain(final_newline=False, closing_blocks=True)
    chain = tuple(replace(item, layer=next(packed)) for item in chain)
    _done(Docker("1.3.3", place.address).push_chain(place.name, place.tag, chain))
    return Pushed("v1", chain=chain, image=seen_of(image))


def _other_packings(image: Image) -> list[bytes]:
    base, second, third, fourth = (layer.tar for layer in image.layers[:4])
    return [
        pack(base, Compression.NONE),
        pack(second, Compression.BZIP2),
        pack(third, Compression.XZ),
        pack_gzip_members(fourth),
    ]


def _v1_by_newer_docker(place: Place) -> Pushed:
    """Docker 1.10 to 17 pushed so where a registry spoke v1 only: ids made of digests, no history."""
    image = built(place)
    chain = image.digest_chain()
    _done(Docker("1.3.3", place.address).push_chain(place.name, place.tag, chain))
    seen = seen_of(image, with_steps=False)
    top = f"/bin/sh -c {image.layers[-1].command}"
    return Pushed("v1", chain=chain, image=replace(seen, steps=(*seen.steps[:-1], (top, True))))


def _schema1_by_skopeo(place: Place) -> Pushed:
    """The image library still writes schema 1: compact, keys in another order, steps marked as throwaway."""
    image = built(place)
    push = place.raw()
    entries: list[dict[str, str]] = []
    layers: list[dict[str, str]] = []
    for item, layer in zip(image.v1_chain(final_newline=False, closing_blocks=True), image.layers, strict=True):
        document = {**json.loads(item.json), **({"throwaway": True} if layer.is_empty else {})}
        entries.insert(0, {"v1Compatibility": schema1.go_json(dict(sorted(document.items())))})
        packed = EMPTY_LAYER if layer.is_empty else layer.packed
        push.blob(packed, DOCKER_GZIP)
        layers.insert(0, {"blobSum": digest_of(packed)})
    document = {
        "name": place.name, "tag": place.tag, "architecture": "amd64",
        "fsLayers": layers, "history": entries, "schemaVersion": 1,
    }  # fmt: skip
    payload = schema1.go_json(document).encode()
    signed = schema1.sign(payload, schema1.new_key(), indented=False)
    push.manifest_of_payload(signed, payload, tag=place.tag)
    return Pushed("schema 1", signed, digest_of(payload), image=seen_of(image))


# -- schema 2 and OCI ---------------------------------------------------------------------------------------------


def _manifest(
    push: RawPush, image: Image, media_type: str, layers: Sequence[Mapping[str, object]], **more: object
) -> bytes:
    oci = media_type == MANIFEST
    config = oci_config(image) if oci else image.config()
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": push.blob(config, OCI_CONFIG if oci else DOCKER_CONFIG),
        "layers": layers,
        **more,
    }
    return schema1.go_json(document, indent=2 if oci else 3).encode()


def oci_config(image: Image, *, architecture: str = "amd64") -> bytes:
    """A configuration as BuildKit writes it: without what Docker adds."""
    config = json.loads(image.config())
    kept = {name: config[name] for name in ("created", "config", "history", "os", "rootfs")}
    run = {name: config["config"][name] for name in ("Cmd", "Env", "WorkingDir")}
    return schema1.go_json(dict(sorted({**kept, "architecture": architecture, "config": run}.items()))).encode()


def _layers(push: RawPush, image: Image, media_type: str, packing: Callable[[bytes], bytes]) -> list[dict[str, object]]:
    return [push.blob(packing(layer.tar), media_type) for layer in image.stored_layers]


def _gzip(tar: bytes) -> bytes:
    return pack(tar, Compression.GZIP)


def _zstd(tar: bytes) -> bytes:
    return pack(tar, Compression.ZSTD)


def _plain(tar: bytes) -> bytes:
    return tar


def _image(media_type: str, layer_type: str, packing: Callable[[bytes], bytes]) -> Push:
    """An image pushed with one PUT a blob."""

    def push(place: Place) -> Pushed:
        image, raw = built(place), place.raw()
        content = _manifest(raw, image, media_type, _layers(raw, image, layer_type, packing))
        raw.manifest(content, media_type, tag=place.tag)
        return Pushed(SHORT[media_type], content, digest_of(content), image=seen_of(image))

    return push


def _without_history(place: Place) -> Pushed:
    """As tools write it that build no steps: history is optional in OCI."""
    image, raw = built(place), place.raw()
    config = {name: value for name, value in json.loads(oci_config(image)).items() if name != "history"}
    document = {
        "schemaVersion": 2,
        "config": raw.blob(schema1.go_json(config).encode(), OCI_CONFIG),
        "layers": _layers(raw, image, OCI_GZIP, _gzip),
        "annotations": {"org.opencontainers.image.source": "https://example.com/<a>"},
    }
    content = schema1.go_json(document).encode()
    raw.manifest(content, MANIFEST, tag=place.tag)
    return Pushed("OCI", content, digest_of(content), image=seen_of(image, with_steps=False))


def _several(list_type: str, layer_type: str, packing: Callable[[bytes], bytes], *, attested: bool) -> Push:
    """A list or index of linux/amd64 and linux/arm64, arm64 first, with attestations as BuildKit adds them."""

    def push(place: Place) -> Pushed:
        raw = place.raw()
        media_type = MANIFEST if list_type == INDEX and layer_type != DOCKER_GZIP else SCHEMA2
        listed: list[dict[str, object]] = []
        for architecture in ("arm64", "amd64"):
            image = built(place, f" {architecture}")
            content = _manifest(raw, image, media_type, _layers(raw, image, layer_type, packing))
            platform = {"os": "linux", "architecture": architecture}
            listed.append(raw.manifest(content, media_type, platform=platform))
        attestations = [_attestation(raw, each) for each in listed] if attested else []
        content = schema1.go_json(
            {"schemaVersion": 2, "mediaType": list_type, "manifests": [*listed, *attestations]}, indent=3
        ).encode()
        raw.manifest(content, list_type, tag=place.tag)
        return Pushed(SHORT[list_type], content, digest_of(content), image=seen_of(built(place, " amd64")))

    return push


def _attestation(push: RawPush, subject: Mapping[str, object]) -> dict[str, object]:
    statement = schema1.go_json({"_type": "https://in-toto.io/Statement/v0.1", "subject": [subject["digest"]]}).encode()
    layer = push.blob(statement, "application/vnd.in-toto+json")
    rootfs = {"type": "layers", "diff_ids": [digest_of(statement)]}
    config = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": push.blob(schema1.go_json(config).encode(), OCI_CONFIG),
        "layers": [layer],
    }
    content = schema1.go_json(document, indent=2).encode()
    return push.manifest(
        content,
        MANIFEST,
        annotations={
            "vnd.docker.reference.digest": subject["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
        platform={"architecture": "unknown", "os": "unknown"},
    )


def _many_layers(place: Place) -> Pushed:
    """124 layers: Docker 1.10 and later run it, older ones refuse more than 120."""
    image = make_image(place.name, layers=124)
    raw = place.raw()
    content = _manifest(raw, image, SCHEMA2, _layers(raw, image, DOCKER_GZIP, _gzip))
    raw.manifest(content, SCHEMA2, tag=place.tag)
    return Pushed("schema 2", content, digest_of(content), image=seen_of(image))


def _foreign_layer(place: Place) -> Pushed:
    """A base layer that the registry has not: its descriptor says where it is."""
    image, raw = built(place), place.raw()
    base, *others = image.stored_layers
    digest = digest_of(base.packed)
    place.kept_elsewhere[f"/{digest}"] = base.packed
    urls = [f"{place.elsewhere}/{digest}"]
    foreign = {"mediaType": DOCKER_FOREIGN, "size": len(base.packed), "digest": digest, "urls": urls}
    layers = [foreign, *_layers(raw, Image(tuple(others), image.seed), DOCKER_GZIP, _gzip)]
    content = _manifest(raw, image, SCHEMA2, layers)
    raw.manifest(content, SCHEMA2, tag=place.tag)
    return Pushed("schema 2", content, digest_of(content), image=seen_of(image))


def _windows_list(place: Place) -> Pushed:
    raw = place.raw()
    image = make_image(place.name)
    config = {**json.loads(image.config()), "os": "windows", "os.version": "10.0.17763.1"}
    document = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": raw.blob(schema1.go_json(config).encode(), DOCKER_CONFIG),
        "layers": _layers(raw, image, DOCKER_GZIP, _gzip),
    }
    platform = {"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}
    entry = raw.manifest(schema1.go_json(document, indent=3).encode(), SCHEMA2, platform=platform)
    content = schema1.go_json({"schemaVersion": 2, "mediaType": LIST, "manifests": [entry]}, indent=3).encode()
    raw.manifest(content, LIST, tag=place.tag)
    return Pushed("list", content, digest_of(content))


# -- what is no image ---------------------------------------------------------------------------------------------


def _artifact(config_type: str, config: bytes, layer_type: str, **more: object) -> Push:
    def push(place: Place) -> Pushed:
        raw = place.raw()
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            **more,
            "config": raw.blob(config, config_type),
            "layers": [raw.blob(f"of {place.name}".encode(), layer_type)],
        }
        content = schema1.go_json(document).encode()
        raw.manifest(content, MANIFEST, tag=place.tag)
        return Pushed("OCI", content, digest_of(content))

    return push


def _by_dxf(place: Place) -> Pushed:
    """python-dxf: schema 2 whose configuration is the file itself (FOUND 10)."""
    raw = place.raw()
    file = f"any bytes of {place.name} \0\xff".encode("latin-1")
    document = {
        "schemaVersion": 2,
        "mediaType": SCHEMA2,
        "config": raw.blob(file, "application/octet-stream"),
        "layers": [raw.blob(file, "application/octet-stream")],
    }
    content = schema1.go_json(document).encode()
    raw.manifest(content, SCHEMA2, tag=place.tag)
    return Pushed("schema 2", content, digest_of(content))


def _build_cache(place: Place) -> Pushed:
    """BuildKit's cache: an index whose entries are blobs (FOUND 11)."""
    raw = place.raw()
    entries = [
        raw.blob(_gzip(make_image(place.name, layers=1).layers[0].tar), OCI_GZIP),
        raw.blob(b'{"layers":[]}', "application/vnd.buildkit.cacheconfig.v0"),
    ]
    content = schema1.go_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    raw.manifest(content, INDEX, tag=place.tag)
    return Pushed("index", content, digest_of(content))


def _encrypted(place: Place) -> Pushed:
    raw = place.raw()
    image = make_image(place.name)
    layers = [raw.blob(bytes(reversed(layer.packed)), f"{OCI_GZIP}+encrypted") for layer in image.layers]
    content = _manifest(raw, image, MANIFEST, layers)
    raw.manifest(content, MANIFEST, tag=place.tag)
    return Pushed("OCI", content, digest_of(content))


def _done(outcome: Outcome) -> Outcome:
    assert outcome.ok, outcome.output
    return outcome


PUSHES: Final[Mapping[str, Push]] = {
    "v1 by Docker 1.0.1 (tars without end, empty layers of 23 bytes)": _by_docker("1.0.1"),
    "v1 by Docker 1.3.3": _by_docker("1.3.3"),
    "v1 by Docker 1.5.0": _by_docker("1.5.0"),
    "v1 by Docker 1.10 and later (ids of digests, no history)": _v1_by_newer_docker,
    "v1 with plain, bzip2 and xz layers, gzip in members": _v1_packed_otherwise,
    "schema 1 by Docker 1.6.2 (top twice)": _by_docker("1.6.2"),
    "schema 1 by Docker 1.7.1 (top twice)": _by_docker("1.7.1"),
    "schema 1 by Docker 1.9.1": _by_docker("1.9.1"),
    "schema 1 by skopeo (compact)": _schema1_by_skopeo,
    "schema 2 by Docker 1.10.3": _by_docker("1.10.3"),
    "schema 2 by Docker 1.13.1": _by_docker("1.13.1"),
    "schema 2 by Docker 20.10.24": _by_docker("20.10.24"),
    "schema 2 with plain layers": _image(SCHEMA2, DOCKER_TAR, _plain),
    "manifest list of amd64 and arm64": _several(LIST, DOCKER_GZIP, _gzip, attested=False),
    "OCI manifest": _image(MANIFEST, OCI_GZIP, _gzip),
    "OCI manifest, gzip in members": _image(MANIFEST, OCI_GZIP, pack_gzip_members),
    "OCI manifest with plain layers": _image(MANIFEST, OCI_TAR, _plain),
    "OCI manifest without history, with annotations": _without_history,
    "OCI manifest, zstd": _image(MANIFEST, OCI_ZSTD, _zstd),
    "OCI manifest, zstd with skippable frames, several frames": _image(MANIFEST, OCI_ZSTD, pack_zstd_frames),
    "OCI index of amd64 and arm64": _several(INDEX, OCI_GZIP, _gzip, attested=False),
    "OCI index of schema 2 images": _several(INDEX, DOCKER_GZIP, _gzip, attested=False),
    "OCI index with attestations": _several(INDEX, OCI_GZIP, _gzip, attested=True),
    "OCI index with attestations, zstd": _several(INDEX, OCI_ZSTD, _zstd, attested=True),
    "schema 2 of 124 layers": _many_layers,
    "schema 2 with a foreign layer": _foreign_layer,
    "manifest list of windows/amd64": _windows_list,
    "artifact": _artifact(
        "application/vnd.oci.empty.v1+json", _EMPTY_JSON, "text/plain", artifactType="application/vnd.example.thing"
    ),
    "Helm chart": _artifact(
        "application/vnd.cncf.helm.config.v1+json",
        b'{"name":"chart","version":"1.0.0"}',
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    ),
    "file by python-dxf": _by_dxf,
    "build cache of BuildKit": _build_cache,
    "OCI manifest with encrypted layers": _encrypted,
}
"""Every kind of push, by the name of its row."""
