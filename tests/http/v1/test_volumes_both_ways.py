"""A volume is read the same by docker-registry 0.9.1 and by Portside, whichever of them has written it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.v1_contents import NAMED
from tests.support.v1_differences import Received, Step, Table, compare, load_rules, load_tables, send
from tests.support.v1_known import serving
from tests.support.v1server import Pushed, make_pushed

pytestmark = pytest.mark.timeout(600)

TABLES: Final = tuple(table for table in load_tables() if table.name in {"images", "names", "ranges", "repositories"})
IMAGE_PARTS: Final = ("json", "layer", "ancestry", "files")
REPOSITORY_PARTS: Final = ("images", "tags", "json", "properties")
RULES: Final = load_rules("v1").keys()

# In which reads they differ, and why. Each must be shown.
IN_BOTH: Final[Mapping[str, str]] = {
    r"/layer: \['416 > 200'\]": "an empty layer can be pulled",
    r"/repositories/(//x|(team/)?%C3%BC|team/%FF)/": "a name that neither stores: 404 or 500, 400 here",
    r"/team/m{256}/": "likewise, one that fits on no disk",
    r"/tags/%(C3%BC|FF)": "likewise, a tag",
    r"/team/slash/tags/a%2Fb": "likewise, one with a slash",
    r"/team/dots/tags: ": "0.9.1 does not find the tags that it lists",
    r"/lists/(raw|unicode)/images: \['body'\]": "ids and checksums are shown, whatever else was sent",
}
LEFT_BY_0_9_1: Final[Mapping[str, str]] = {
    **IN_BOTH,
    r"/files: \['500 > 200'\]": "an empty layer has no files; 0.9.1 sees that once it is written down",
    r"/team/twins/tags(/x_json)?: ": "the description of the tag `_x` is no tag `x_json`",
    r"/team/blank/tags: \['404 > 200'\]": "an empty folder is no repository there, and one without tags here",
}
LEFT_BY_PORTSIDE: Final[Mapping[str, str]] = {
    **IN_BOTH,
    r"/team/twins/tags/_x/json: \['500 > 200'\]": "a tag `x_json` has the file that 0.9.1 takes for its description",
    r"'404 > 400'\]: 404 .*Image not found.*Image is being uploaded": "half pushed images are kept apart",
}


def reads() -> list[Step]:
    """Everything that can be read of what the tables' requests may have written."""
    images, repositories, tags = dict[str, None](), dict[str, None](), dict[str, None]()
    for step in (step for table in TABLES for step in table.steps if step.method == "PUT"):
        if found := re.match(r"(/v1/images/[0-9a-f]{16,64})/json$", step.target):
            images[found[1]] = None
        elif found := re.match(r"(/v1/repositories/.+?)(/tags/[^/]+|/images|/)$", step.target):
            repositories[found[1]] = None
            if found[2].startswith("/tags/"):
                tags[found[1] + found[2]] = None
    return [
        *(Step("GET", f"{image}/{part}") for image in images for part in IMAGE_PARTS),
        *(Step("GET", f"{name}/{part}") for name in repositories for part in REPOSITORY_PARTS),
        *(Step("GET", f"{tag}{part}") for tag in tags for part in ("", "/json")),
    ]


def ask(port: int, steps: Sequence[Step]) -> list[Received]:
    return [send(port, step) for step in steps]


def write_everything(port: int) -> None:
    for table in TABLES:
        ask(port, table.steps)


def differences(steps: Sequence[Step], theirs: Sequence[Received], ours: Sequence[Received]) -> Iterator[str]:
    for step, one, other in zip(steps, theirs, ours, strict=True):
        facets = compare(one, other) - RULES
        if facets:
            yield f"{step.title}: {sorted(facets)}: {one.status} {one.body[:80]!r}, {other.status} {other.body[:80]!r}"


def assert_only(found: Sequence[str], known: Mapping[str, str]) -> None:
    unknown = [each for each in found if not any(re.search(pattern, each) for pattern in known)]
    assert not unknown, "\n".join(unknown)
    unused = [pattern for pattern in known if not any(re.search(pattern, each) for each in found)]
    assert not unused, unused


def files_of(root: Path) -> dict[str, bytes]:
    """What docker-registry knows of: images and repositories, without the caches that reading makes."""
    below = [root / "images", root / "repositories"]
    files = [path for folder in below for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if path.name not in {"_files", "_diff"}}


def portside_table(root: Path) -> Table:
    return Table("volume", {}, {"storage": {"filesystem": {"rootdirectory": str(root)}}}, {})


def test_portside_reads_all_that_0_9_1_has_written(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    root, steps = tmp_path / "volume", reads()
    with docker_registry_0_9_1(tmp_path / "theirs", root=root) as registry:
        write_everything(registry.port)
        theirs = ask(registry.port, steps)
    written = files_of(root)
    (tmp_path / "ours").mkdir()
    with serving("v1", portside_table(root), tmp_path / "ours") as port:
        ours = ask(port, steps)
    assert files_of(root) == written, "reading has changed the volume"
    found = [*differences(steps, theirs, ours)]
    readable = sum(each.status == "200" for each in theirs)
    record_property(
        "shown at the end", f"volume of docker-registry 0.9.1: {len(steps)} reads, {len(found)} known to differ"
    )
    assert readable > 400
    assert_only(found, LEFT_BY_0_9_1)


def test_0_9_1_reads_all_that_portside_has_written(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    root, steps = tmp_path / "volume", reads()
    (tmp_path / "ours").mkdir()
    with serving("v1", portside_table(root), tmp_path / "ours") as port:
        write_everything(port)
        ours = ask(port, steps)
    with docker_registry_0_9_1(tmp_path / "theirs", root=root) as registry:
        theirs = ask(registry.port, steps)
    found = [*differences(steps, theirs, ours)]
    record_property(
        "shown at the end", f"volume of Portside in 0.9.1: {len(steps)} reads, {len(found)} known to differ"
    )
    assert sum(each.status == "200" for each in ours) > 300
    assert_only(found, LEFT_BY_PORTSIDE)


def chain(number: int, base: Pushed) -> list[Pushed]:
    """Two images on a base."""
    middle = make_pushed(sha256(b"middle %d" % number).hexdigest(), parent=base.id, layer=NAMED["tar"] + b"%d" % number)
    return [middle, make_pushed(sha256(b"top %d" % number).hexdigest(), parent=middle.id, layer=b"top %d" % number)]


def push(port: int, name: str, tag: str, images: Sequence[Pushed]) -> None:
    """Pushes as Docker does: what is there already is not sent."""
    place = f"/v1/repositories/{name}"
    listed = json.dumps([{"id": image.id} for image in images]).encode()
    steps = [Step("PUT", f"{place}/", body=listed)]
    for image in images:
        at = f"/v1/images/{image.id}"
        if send(port, Step("GET", f"{at}/json")).status != "200":
            payload = (("X-Docker-Checksum-Payload", image.payload),)
            steps += [Step("PUT", f"{at}/json", body=image.json), Step("PUT", f"{at}/layer", pieces=(image.layer,))]
            steps.append(Step("PUT", f"{at}/checksum", payload))
    steps.append(Step("PUT", f"{place}/tags/{tag}", body=json.dumps(images[-1].id).encode()))
    steps.append(Step("PUT", f"{place}/images", body=listed))
    statuses = [answer.status for answer in ask(port, steps)]
    assert statuses == ["200"] * (len(steps) - 1) + ["204"], [*zip(steps, statuses, strict=True)]


def pull(port: int, name: str, tag: str) -> list[Pushed]:
    """Pulls as Docker does, the base first; each layer must be that of its checksum."""
    assert send(port, Step("GET", f"/v1/repositories/{name}/images")).status == "200"
    tagged = json.loads(send(port, Step("GET", f"/v1/repositories/{name}/tags")).body)[tag]
    found = []
    for image_id in json.loads(send(port, Step("GET", f"/v1/images/{tagged}/ancestry")).body):
        document, layer = ask(port, [Step("GET", f"/v1/images/{image_id}/{part}") for part in ("json", "layer")])
        found.append(Pushed(image_id, document.body, layer.body))
        assert document.headers["X-Docker-Checksum-Payload"] == [found[-1].payload]
    return found[::-1]


def test_both_write_one_volume_in_turns_and_pull_all_of_it(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    root, base, pushed = (
        tmp_path / "volume",
        make_pushed("b", layer=NAMED["gzip"]),
        dict[tuple[str, str], list[Pushed]](),
    )
    (tmp_path / "ours").mkdir()
    pulls = 0
    for turn in range(4):
        is_ours = turn % 2 == 0
        runs = serving("v1", portside_table(root), tmp_path / "ours") if is_ours else ported(tmp_path / "theirs", root)
        with runs as port:
            for number in range(10 * turn, 10 * turn + 10):
                # Some repositories are new, to others the other program has pushed before; all have a base in common.
                name, tag = f"team/app{number % 15}", f"v{turn}"
                pushed[name, tag] = [base, *chain(number, base)]
                push(port, name, tag, pushed[name, tag])
            for (name, tag), images in pushed.items():
                assert pull(port, name, tag) == images
                pulls += 1
    record_property("shown at the end", f"docker-registry 0.9.1 and Portside in turns on one volume: {pulls} pulls")
    assert pulls == 100


@contextlib.contextmanager
def ported(folder: Path, root: Path) -> Iterator[int]:
    with docker_registry_0_9_1(folder, root=root) as registry:
        yield registry.port
