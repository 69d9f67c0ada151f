"""A volume as docker-registry 0.9.1 leaves it, file by file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.storage import layout
from tests.support.formats import FORMATS
from tests.support.v1server import Pushed

DESCRIBED = {"last_update": 1431000000, "docker_version": "1.5.0", "docker_go_version": "go1.4.1", "os": "linux"}


def pushed_by(docker: str) -> list[Pushed]:
    """What a real Docker pushed, from the base up (FORMATS section 10)."""
    folder = FORMATS / f"v1-pushed-by-docker-{docker}"
    texts = [path.read_bytes() for path in sorted(folder.glob("[0-9]-*.json"))]
    layers = [path.read_bytes() for path in sorted(folder.glob("[0-9]-*.layer"))]
    return [Pushed(json.loads(text)["id"], text, layer) for text, layer in zip(texts, layers, strict=True)]


def write_images(root: Path, images: Sequence[Pushed]) -> None:
    """Writes a chain of images, given from the base up."""
    for number, image in enumerate(images):
        ancestry = [each.id for each in reversed(images[: number + 1])]
        image_id = ImageId(image.id)
        _write(root, layout.v1_image_json(image_id), image.json)
        _write(root, layout.v1_image_ancestry(image_id), json.dumps(ancestry).encode())
        _write(root, layout.v1_image_checksum(image_id), json.dumps([image.payload]).encode())
        _write(root, layout.v1_image_layer(image_id), image.layer)


def write_tags(root: Path, name: str, tags: Mapping[str, str]) -> None:
    """Writes a repository whose tags name images."""
    parsed = parse_v1_name(name)
    place = (parsed.namespace, parsed.stored)
    for tag, image_id in tags.items():
        _write(root, layout.v1_tag(*place, tag), image_id.encode())
        _write(root, layout.v1_tag_json(*place, tag), json.dumps(DESCRIBED).encode())
    _write(root, layout.v1_repository_json(*place), json.dumps(DESCRIBED).encode())
    _write(root, layout.v1_index_images(*place), json.dumps([{"id": each} for each in tags.values()]).encode())


def _write(root: Path, path: str, content: bytes) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
