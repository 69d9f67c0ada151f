"""The worked examples hold together, are what others make too, and are all used (FORMATS sections 9 and 10)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.support.downward_rules import distribution_entries, saved_ids
from tests.support.formats import FORMATS, digest_of, example, example_json, image_manifest, inflated
from tests.support.schema1 import Entry, payload, read_unverified
from tests.support.tarsum import TarSumVersion, payload_checksum, tarsum

TESTS = Path(__file__).parents[1]
V1_IMAGES = sorted(path.name for path in (FORMATS / "v1-image").glob("[0-9]-*"))
PUSHED = sorted(path.stem for path in (FORMATS / "v1-pushed-by-docker-1.5.0").glob("[0-9]-*.json"))


def entries_of(path: str) -> list[Entry]:
    document = example_json(path)
    return [
        Entry(layer["blobSum"], image["v1Compatibility"])
        for layer, image in zip(document["fsLayers"], document["history"], strict=True)
    ]


@pytest.mark.parametrize("folder", ["schema2-image", "oci-image"])
def test_distributions_rule_gives_what_distribution_and_skopeo_gave(folder: str) -> None:
    layers = [str(layer.digest) for layer in image_manifest(f"{folder}/manifest.json").layers]
    made = distribution_entries(example(f"{folder}/config.json"), layers)
    path = f"{folder}/expected-schema1/payload.json"
    assert made == entries_of(path)
    document = example_json(path)
    assert payload(document["name"], document["tag"], made, version_first=True) == example(path)


def test_what_both_signed_says_the_same() -> None:
    ours = entries_of("schema2-image/expected-schema1/payload.json")
    for name in ("signed-by-distribution-2.8.2.json", "signed-by-skopeo-via-distribution.json"):
        assert list(read_unverified(example(f"schema2-image/expected-schema1/{name}")).entries) == ours


def test_docker_saves_the_image_under_the_ids_of_the_example() -> None:
    base, top = saved_ids(example("schema2-image/config.json"))
    assert {"base": base, "top": top} == example_json("schema2-image/docker-save-v1-ids.json")


@pytest.mark.parametrize("name", V1_IMAGES)
def test_the_checksums_of_the_built_images_are_those_of_docker(name: str) -> None:
    text, layer = example(f"v1-image/{name}/json"), example(f"v1-image/{name}/layer.tar")
    v1_preview = "tarsum.v1 of layer alone (Docker 1.5 v2 preview blob digest)"
    assert example_json(f"v1-image/{name}/checksums.json") == {
        "X-Docker-Checksum (tarsum v0 over json+layer)": tarsum(layer, text),
        "X-Docker-Checksum-Payload": payload_checksum(text, layer),
        v1_preview: tarsum(layer, version=TarSumVersion.V1),
        "sha256 of raw layer (diff_id)": str(digest_of(layer)),
        "size": len(layer),
    }


def test_the_built_images_are_a_chain() -> None:
    ids = [example(f"v1-image/{name}/id").decode() for name in V1_IMAGES]
    images = [example_json(f"v1-image/{name}/json") for name in V1_IMAGES]
    assert [image["id"] for image in images] == ids
    assert [image.get("parent") for image in images] == [None, *ids[:-1]]
    assert example_json("v1-image/ancestry.json") == ids[::-1]


def test_docker_1_5_sent_the_checksums_of_what_it_sent() -> None:
    headers = example_json("v1-pushed-by-docker-1.5.0/checksum-headers.json")
    log = example("v1-pushed-by-docker-1.5.0/requests.txt").decode()
    assert len(headers) == len(PUSHED)
    for name in PUSHED:
        text, layer = (example(f"v1-pushed-by-docker-1.5.0/{name}.{kind}") for kind in ("json", "layer"))
        image_id = json.loads(text)["id"]
        said = {
            "X-Docker-Checksum": tarsum(inflated(layer)[1], text),
            "X-Docker-Checksum-Payload": payload_checksum(text, layer),
        }
        assert headers[image_id] == said
        assert f"/v1/images/{image_id}/checksum {said}" in log
        assert f"len={len(layer)} " in log


def test_docker_1_5_asked_for_each_image_and_sent_it_from_the_base_to_the_top() -> None:
    ids = [example_json(f"v1-pushed-by-docker-1.5.0/{name}.json")["id"] for name in PUSHED]
    sent = [(image_id, kind) for image_id in ids for kind in ("json", "layer", "checksum")]
    lines = example("v1-pushed-by-docker-1.5.0/requests.txt").decode().splitlines()
    assert [line.split(" ")[:2] for line in lines] == [
        ["GET", "/v2/"],
        ["GET", "/v1/_ping"],
        ["PUT", "/v1/repositories/push/x/"],
        *[["GET", f"/v1/images/{image_id}/json"] for image_id in ids],
        *[["PUT", f"/v1/images/{image_id}/{kind}"] for image_id, kind in sent],
        ["PUT", "/v1/repositories/push/x/tags/t1"],
        ["PUT", "/v1/repositories/push/x/images"],
    ]
    assert lines[-1].endswith(" b'[]'")
    for line, name in zip(lines[6::3], PUSHED, strict=False):
        text = example(f"v1-pushed-by-docker-1.5.0/{name}.json").decode()
        head, _, tail = line.partition(" b'")[2].partition("'...b'")
        assert text.startswith(head)
        assert text.endswith(tail.removesuffix("'").replace("\\n", "\n"))


def test_docker_1_0_1_sent_layers_of_no_bytes_and_tars_without_an_end() -> None:
    layers = [inflated(file.read_bytes())[1] for file in sorted(FORMATS.glob("v1-pushed-by-docker-1.0.1/*.layer"))]
    assert [bool(layer) for layer in layers] == [True, True, False, True, False, False, False]
    assert not any(layer.endswith(b"\0" * 1024) for layer in layers)


def test_every_example_is_used_by_a_test() -> None:
    patterns = {pattern for file in TESTS.rglob("*.py") for pattern in _paths_in(file)}
    files = [path.relative_to(FORMATS).as_posix() for path in FORMATS.rglob("*") if path.is_file()]
    assert [file for file in files if not any(fnmatchcase(file, pattern) for pattern in patterns)] == []
    assert len(files) > 100


def _paths_in(file: Path) -> Iterator[str]:
    """Returns the texts in a test's source that may name example files; what is put into one counts as `*`."""
    source = file.read_text()
    if "tests.support.formats" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        pattern = ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            pattern = node.value
        elif isinstance(node, ast.JoinedStr):
            pattern = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
        if "/" in pattern and pattern.strip("*/."):
            yield pattern
