"""Where docker-registry 0.9.1 keeps what: names become paths as it escapes them, and never leave their folder."""

from __future__ import annotations

import pytest

from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.storage import layout


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("busybox", "/repositories/library/busybox"),
        ("n s/r", "/repositories/n+s/r"),
        ("a/b/c", "/repositories/a/b%252Fc"),
        ("ns/r x", "/repositories/ns/r%2Bx"),
        ("ns/r+x", "/repositories/ns/r%252Bx"),
        ("n~s/r~x", "/repositories/n%7Es/r%257Ex"),
        ("../r", "/repositories/%252E%252E/r"),
        ("./r", "/repositories/%252E/r"),
        ("ns/..", "/repositories/ns/%252E%252E"),
        ("ns/1.2_x-y", "/repositories/ns/1.2_x-y"),
    ],
)
def test_a_repository_has_the_folder_that_docker_registry_gives_it(path: str, folder: str) -> None:
    name = parse_v1_name(path)
    assert layout.v1_repository(name.namespace, name.stored) == folder


@pytest.mark.parametrize(
    ("tag", "file"),
    [
        ("latest", "tag_latest"),
        ("1.2_x-y", "tag_1.2_x-y"),
        ("a b", "tag_a+b"),
        ("a+b", "tag_a%2Bb"),
        ("a~b", "tag_a%7Eb"),
        ("..", "tag_%252E%252E"),
        (".", "tag_%252E"),
    ],
)
def test_a_tag_has_the_file_that_docker_registry_gives_it(tag: str, file: str) -> None:
    assert layout.v1_tag("ns", "r", tag) == f"/repositories/ns/r/{file}"
    assert layout.v1_tag_of(file) == tag


def test_what_describes_a_tag_lies_beside_it() -> None:
    assert layout.v1_tag_json("ns", "r", "latest") == "/repositories/ns/r/taglatest_json"
    assert layout.v1_repository_json("ns", "r") == "/repositories/ns/r/json"
    assert layout.v1_index_images("ns", "r") == "/repositories/ns/r/_index_images"
    assert layout.v1_private("ns", "r") == "/repositories/ns/r/_private"


@pytest.mark.parametrize(
    "entry",
    ["json", "taglatest_json", "_index_images", "_private", "tag", "tag_\u00e4", "tag_\udcff", "tag_a%2bb", "tag_a~b"],
)
def test_other_files_are_no_tags(entry: str) -> None:
    assert layout.v1_tag_of(entry) is None


def test_an_image_has_the_files_that_docker_registry_gives_it() -> None:
    image = ImageId("a" * 64)
    folder = f"/images/{image}"
    assert layout.v1_image_json(image) == f"{folder}/json"
    assert layout.v1_image_layer(image) == f"{folder}/layer"
    assert layout.v1_image_ancestry(image) == f"{folder}/ancestry"
    assert layout.v1_image_checksum(image) == f"{folder}/_checksum"
    assert layout.v1_image_mark(image) == f"{folder}/_inprogress"
