"""What the requests of the differential tests push: small contents by name, the same for both registries."""

from __future__ import annotations

import hashlib
import json
from hashlib import sha256
from string import Template
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from backends.model import jws

SCHEMA1: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
UNSIGNED: Final = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA2: Final = "application/vnd.docker.distribution.manifest.v2+json"
LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CONFIG2: Final = "application/vnd.docker.container.image.v1+json"
LAYER2: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
FOREIGN2: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
NOWHERE: Final = b"nobody has ever pushed this"

_KEY: Final = ec.derive_private_key(7, ec.SECP256R1())


def _describe(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    digest = f"sha256:{sha256(content).hexdigest()}"
    return {"mediaType": media_type, "size": len(content), "digest": digest, **more}


def _json(**document: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **document}, indent=3).encode()


def _image(media_type: str, config: dict[str, Any], *layers: dict[str, Any], **more: Any) -> bytes:
    return _json(mediaType=media_type, config=config, layers=list(layers), **more)


def _index(media_type: str, *entries: dict[str, Any], **more: Any) -> bytes:
    return _json(mediaType=media_type, manifests=list(entries), **more)


def _schema1(*layers: bytes, name: str, tag: str) -> bytes:
    """An image of the first clients of v2, signed."""
    document = {
        "schemaVersion": 1,
        "name": name,
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": f"sha256:{sha256(layer).hexdigest()}"} for layer in layers],
        "history": [
            {"v1Compatibility": json.dumps({"id": f"{number + 1:064x}", "parent": f"{number + 2:064x}"})}
            for number in range(len(layers) - 1)
        ]
        + [{"v1Compatibility": json.dumps({"id": f"{len(layers):064x}"})}],
    }
    return jws.sign(json.dumps(document, indent=3).encode(), _KEY)


_layer, _other = b"a layer, of 29 bytes for sure", b"another layer"
_config = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(_layer).hexdigest()}"]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "/bin/sh -c true"}],
    }
).encode()
_amd64 = {"platform": {"architecture": "amd64", "os": "linux"}}
_arm64 = {"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}}
_schema2 = _image(SCHEMA2, _describe(_config, CONFIG2), _describe(_layer, LAYER2))
_oci = _image(OCI, _describe(_config, CONFIG), _describe(_layer, LAYER))
_missing = _describe(NOWHERE, LAYER)
_missing2 = _describe(NOWHERE + b" and this neither", LAYER)

NAMED: Final[dict[str, bytes]] = {
    "config": _config,
    "layer": _layer,
    "other": _other,
    "empty": b"",
    "big": b"0123456789abcdef" * 20_000,
    "nowhere": NOWHERE,
    "schema1": _schema1(_layer, _other, name="state/app", tag="schema1"),
    "schema1fresh": _schema1(_layer, name="put/schema1", tag="fresh"),
    "schema1elsewhere": _schema1(_layer, name="some/where", tag="else"),
    "schema1missing": _schema1(NOWHERE, name="put/schema1", tag="missing"),
    "schema2": _schema2,
    "oci": _oci,
    "ociuntyped": _json(config=_describe(_config, CONFIG), layers=[_describe(_layer, LAYER)]),
    "annotated": _image(OCI, _describe(_config, CONFIG), _describe(_layer, LAYER), annotations={"a": "b"}),
    "nolayers": _image(OCI, _describe(_config, CONFIG)),
    "list": _index(LIST, _describe(_schema2, SCHEMA2, **_amd64)),
    "index": _index(INDEX, _describe(_oci, OCI, **_amd64)),
    "indexuntyped": _json(manifests=[_describe(_oci, OCI, **_arm64)]),
    "indexempty": _index(INDEX),
    "signature": _image(
        OCI,
        _describe(_config, CONFIG),
        _describe(_layer, LAYER),
        subject=_describe(_oci, OCI),
        artifactType="application/x.signature",
        annotations={"who": "me"},
    ),
    "indexwithsubject": _index(INDEX, _describe(_oci, OCI), subject=_describe(_oci, OCI), artifactType="a/b"),
    "missinglayer": _image(OCI, _describe(_config, CONFIG), _missing),
    "missinglayers": _image(OCI, _describe(_config, CONFIG), _missing, _missing2),
    "missinglayer2": _image(SCHEMA2, _describe(_config, CONFIG2), {**_missing, "mediaType": LAYER2}),
    "missingconfig": _image(OCI, {**_missing, "mediaType": CONFIG}, _describe(_layer, LAYER)),
    "missingchild": _index(INDEX, {**_missing, "mediaType": OCI, **_amd64}),
    "missingsubject": _image(
        OCI, _describe(_config, CONFIG), _describe(_layer, LAYER), subject={**_missing, "mediaType": OCI}
    ),
    "blobinindex": _index(INDEX, _describe(_layer, LAYER), _describe(_config, "application/x.config")),
    "foreign": _image(
        SCHEMA2, _describe(_config, CONFIG2), _describe(NOWHERE, FOREIGN2, urls=["https://layers.example/1"])
    ),
    "foreignoci": _image(OCI, _describe(_config, CONFIG), {**_missing, "urls": ["https://layers.example/1"]}),
    "foreignwithouturls": _image(SCHEMA2, _describe(_config, CONFIG2), _describe(NOWHERE, FOREIGN2)),
    "wrongsize": _image(OCI, _describe(_config, CONFIG), {**_describe(_layer, LAYER), "size": 7}),
    "baddigest": _image(OCI, _describe(_config, CONFIG), {**_describe(_layer, LAYER), "digest": "sha256:short"}),
    "version3": json.dumps({"schemaVersion": 3, "mediaType": OCI}).encode(),
    "mismatched": _image(SCHEMA2, _describe(_config, CONFIG), _describe(_layer, LAYER)),
    "both": _json(
        mediaType=OCI, config=_describe(_config, CONFIG), layers=[], manifests=[_describe(_oci, OCI, **_amd64)]
    ),
    "notjson": b"this is not JSON",
    "list of nothing": b"[]",
    "object": b"{}",
    "large": _image(OCI, _describe(_config, CONFIG), _describe(_layer, LAYER), annotations={"a": "x" * 100_000}),
}


def digest_of(content: bytes) -> str:
    """The digest by which a registry knows what was pushed; of schema 1 it leaves the signatures out."""
    if b'"fsLayers"' in content:
        content = jws.verify(content)
    return f"sha256:{sha256(content).hexdigest()}"


WORDS: Final[dict[str, str]] = {
    **{name: digest_of(content) for name, content in NAMED.items() if name.isalnum()},
    **{f"{name}512": f"sha512:{hashlib.sha512(NAMED[name]).hexdigest()}" for name in ("layer", "other", "oci")},
    "hex": sha256(_layer).hexdigest(),
    "SCHEMA1": SCHEMA1,
    "UNSIGNED": UNSIGNED,
    "SCHEMA2": SCHEMA2,
    "LIST": LIST,
    "OCI": OCI,
    "INDEX": INDEX,
}


def fill(text: str) -> str:
    """Writes digests and media types where a text names them."""
    return Template(text).substitute(WORDS)
