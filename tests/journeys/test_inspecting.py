"""`portside inspect` says what each client receives, and then receives, of every kind of push; it writes nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from backends.model.clients import Generation
from portside.inspecting.clients import GROUPS, ClientGroup
from portside.inspecting.command import inspect
from portside.inspecting.facts import Making
from tests.support.bridge_pushes import PUSHES, Place, Pushed
from tests.support.commands import portside
from tests.support.http_calls import Caller
from tests.support.mounts import make_read_only, mounted_tmpfs
from tests.support.portside import Form, RunningPortside, running_portside
from tests.support.trees import read_tree
from tests.support.v1_volumes import pushed_by, write_images, write_tags

pytestmark = pytest.mark.xdist_group("inspecting")

KINDS: Final = list(PUSHES)


@dataclass(frozen=True, slots=True)
class Volume:
    """Every kind of push, each in a repository of its own, and a server on it."""

    folder: Path
    server: RunningPortside
    pushed: dict[str, Pushed]


@pytest.fixture(scope="module")
def volume() -> Iterator[Volume]:
    foreign = {"validation": {"manifests": {"urls": {"allow": ["^http://127[.]0[.]0[.]1:"]}}}}
    with (
        tempfile.TemporaryDirectory(prefix="portside-") as name,
        running_portside(Form.ONE, Path(name), foreign) as server,
    ):
        pushed = {
            kind: PUSHES[kind](Place(server.address, f"team/kind{number}", "b", "http://127.0.0.1:1"))
            for number, kind in enumerate(KINDS)
        }
        yield Volume(server.data, server, pushed)


def look(root: Path, text: str, **more: Any) -> Any:
    return json.loads(inspect(text, None, {}, {"data": str(root)}, converts=False, width=None, as_json=True, **more))


def table(root: Path, text: str, *, width: int | None = 80) -> str:
    return inspect(text, None, {}, {"data": str(root)}, converts=False, width=width, as_json=False)


def asked(server: RunningPortside, group: ClientGroup, name: str, tag: str) -> tuple[int, str, str]:
    """What a client really receives: status, type or the error's message, digest or image id."""
    caller = Caller(server.address, group.agent)
    if group.profile.generation is Generation.V1:
        answer = caller.send("GET", f"/v1/repositories/{name}/tags/{tag}")
        return answer.status, "", json.loads(answer.body) if answer.status == 200 else ""
    accept = [("Accept", each) for each in group.accept]
    answer = caller.send("GET", f"/v2/{name}/manifests/{tag}", accept)
    if answer.status == 404:
        return 404, json.loads(answer.body)["errors"][0]["message"], ""
    return (
        answer.status,
        "".join(answer.values("Content-Type")),
        "".join(answer.values("Docker-Content-Digest")),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_each_client_then_receives(volume: Volume, kind: str) -> None:
    name = f"team/kind{KINDS.index(kind)}"
    before = look(volume.folder, f"{name}:b")
    told = {each["clients"]: each for each in before["clients"]}
    assert list(told) == [group.key for group in GROUPS]
    for group in GROUPS:
        said = told[group.key]
        status, media_type, received = asked(volume.server, group, name, "b")
        if said["state"] == "refused":
            assert status == 404, (group.key, said)
            assert media_type == said["why"] or (group.profile.generation is Generation.V1 and said["why"])
            continue
        assert status == 200, (group.key, said)
        assert media_type in {said["mediaType"], ""}
        if said["state"] != "unknown":
            assert received == (said["digest"] or said["id"])
    after = {each["clients"]: each for each in look(volume.folder, f"{name}:b")["clients"]}
    for key, said in told.items():
        expected = {"computed": "made", "unknown": "made"}.get(said["state"], said["state"])
        assert after[key]["state"] == expected
        if said["state"] not in {"unknown", "refused"}:
            assert {**said, "state": expected} == after[key]


# what it shows


def test_no_line_is_wider_than_the_terminal_and_elsewhere_nothing_is_cut(volume: Volume) -> None:
    for number in range(len(KINDS)):
        name = f"team/kind{number}"
        for text in (name, f"{name}:b"):
            for width in (80, 100):
                assert max(map(len, table(volume.folder, text, width=width).splitlines())) <= width
            assert "…" not in table(volume.folder, text, width=None)


def test_an_index_is_shown_with_its_platforms(volume: Volume) -> None:
    name = f"team/kind{KINDS.index('OCI index with attestations')}"
    found = look(volume.folder, f"{name}:b")
    assert [(each["platform"], each["kind"], each["here"]) for each in found["platforms"]] == [
        ("linux/arm64", "image", True),
        ("linux/amd64", "image", True),
        (None, "attestation", True),
        (None, "attestation", True),
    ]
    shown = table(volume.folder, f"{name}:b")
    assert "\nlinux/arm64  OCI manifest  sha256:" in shown
    assert "\nattestation  OCI manifest  sha256:" in shown


def test_a_digest_is_for_those_who_can_read_what_it_names(volume: Volume) -> None:
    name = f"team/kind{KINDS.index('OCI manifest')}"
    digest = volume.pushed["OCI manifest"].digest
    found = look(volume.folder, f"{name}@{digest}")
    assert (found["tag"], found["stored"]["digest"]) == (None, digest)
    states = {each["clients"]: each["state"] for each in found["clients"]}
    assert states == {
        "docker-1.0": "refused",
        "docker-1.6": "refused",
        "docker-1.10": "refused",
        "docker-19.03": "refused",
        "docker-20.10": "stored",
        "docker-23": "stored",
        "docker-29": "stored",
    }


def test_what_was_made_names_its_original_and_the_original_what_was_made(volume: Volume) -> None:
    kind = "OCI manifest, zstd"
    name = f"team/kind{KINDS.index(kind)}"
    for group in GROUPS:
        asked(volume.server, group, name, "b")
    found = look(volume.folder, f"{name}:b")
    made = {each["digest"]: each for each in found["derived"]}
    received = {each["digest"]: each for each in found["clients"] if each["state"] == "made" and each["digest"]}
    assert set(received) <= set(made)
    for digest, each in received.items():
        assert made[digest]["rule"] == each["rule"]
        derived = look(volume.folder, f"{name}@{digest}")
        assert derived["madeOf"]["digest"] == volume.pushed[kind].digest
        assert derived["madeOf"]["rule"] == each["rule"]


def test_a_repository_is_shown_with_all_its_tags(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    write_tags(tmp_path, "team/app", {"2": images[-1].id, "1": images[0].id, "1+b": images[0].id})
    found = look(tmp_path, "team/app")
    assert [(each["tag"], each["id"], each["total"], each["layers"], each["setBy"]) for each in found["tags"]] == [
        ("1", images[0].id, 219, 1, "docker/1.5.0"),
        ("1+b", images[0].id, 219, 1, "docker/1.5.0"),
        ("2", images[-1].id, 496, 3, "docker/1.5.0"),
    ]
    shown = table(tmp_path, "team/app").splitlines()
    assert shown[:3] == ["name     team/app", "", "TAG  STORED    DIGEST OR ID  SIZE       SET"]
    assert shown[3].startswith(f"1    v1 image  {images[0].id[:12]}  219 bytes  20")


def write_v2(root: Path, name: str) -> None:
    """A repository of v2 without anything in it but its folders."""
    (root / f"docker/registry/v2/repositories/{name}/_layers").mkdir(parents=True)


def test_names_are_shown_with_those_that_stand_for_the_same(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    for name in ("library/busybox", "library/own", "team/a..b", "Team/App"):
        write_tags(tmp_path, name, {"1": images[-1].id})
    write_v2(tmp_path, "library/own")
    write_v2(tmp_path, "library/only")
    write_v2(tmp_path, "team/" + "x/" * 60 + "y")
    for text in ("busybox", "library/busybox"):
        names = look(tmp_path, text)["names"]
        assert (names["name"], names["v1"], names["aliases"]) == ("busybox", "library/busybox", ["library/busybox"])
    assert look(tmp_path, "own")["names"]["note"] == "library/own is this repository for v1, and one of its own for v2"
    own = look(tmp_path, "library/own")
    assert (own["names"]["name"], own["tags"]) == ("library/own", [])
    assert "v1 reads it where there is no only" in look(tmp_path, "library/only")["names"]["note"]
    for text in ("team/a..b", "Team/App"):
        names = look(tmp_path, text)["names"]
        assert names["v1Only"]
        assert f"portside migrate run --map {text}=NEW" in names["note"]
        clients = {each["clients"]: each for each in look(tmp_path, f"{text}:1")["clients"]}
        assert clients.pop("docker-1.0")["id"] == images[-1].id
        assert {each["why"] for each in clients.values()} == {f"v2 cannot have the name {text}"}
    assert "v1 cannot have a name of this length" in look(tmp_path, "team/" + "x/" * 60 + "y")["names"]["note"]


def test_what_is_migrated_names_the_image_that_it_was_made_of(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    write_tags(tmp_path, "team/app", {"1": images[-1].id})
    before = look(tmp_path, "team/app:1")
    assert before["stored"]["id"] == images[-1].id
    assert {each["state"] for each in before["clients"]} == {"stored", "unknown"}
    assert portside("migrate", "run", "--data", tmp_path, folder=tmp_path).returncode == 0
    found = look(tmp_path, "team/app:1")
    assert (found["stored"]["generation"], found["madeOf"]["id"]) == ("v2", images[-1].id)
    assert found["stored"]["setBy"] == "portside migrate"
    assert found["madeOf"]["rule"] == "v1-to-schema2"
    clients = {each["clients"]: each for each in found["clients"]}
    assert clients["docker-1.0"]["id"] == images[-1].id
    table = portside("inspect", "team/app:1", "--data", tmp_path, folder=tmp_path).stdout
    assert "stored   schema 2, made by a conversion\n" in table


# that it writes nothing, but where it is told to


def test_it_works_on_a_volume_that_is_mounted_read_only(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    with mounted_tmpfs(tmp_path / "data") as root:
        write_images(root, images)
        write_tags(root, "team/app", {"1": images[-1].id})
        make_read_only(root)
        before = read_tree(root)
        for text in ("team/app", "team/app:1"):
            done = portside("inspect", text, "--data", root, folder=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
        assert read_tree(root) == before


def test_it_leaves_nothing_behind(volume: Volume) -> None:
    before = read_tree(volume.folder)
    for number, kind in enumerate(KINDS):
        table(volume.folder, f"team/kind{number}:b")
        if volume.pushed[kind].digest:
            table(volume.folder, f"team/kind{number}@{volume.pushed[kind].digest}")
    assert read_tree(volume.folder) == before


RULES: Final = """version: 0.1
storage:
  filesystem:
    rootdirectory: {root}
gateway:
  conversions:
    rules:
      - repositories: team/pinned
        convert: pinned
      - repositories: team/no
        convert: forbid
"""


def test_what_is_told_to_convert_makes_what_clients_would_receive(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    root = tmp_path / "data"
    write_images(root, images)
    for name in ("team/app", "team/pinned", "team/no"):
        write_tags(root, name, {"1": images[-1].id})
    settings = tmp_path / "portside.yml"
    settings.write_text(RULES.format(root=root))

    def states(name: str, *more: str) -> set[str]:
        done = portside("inspect", f"{name}:1", settings, "--json", *more, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        return {each["state"] for each in json.loads(done.stdout)["clients"][1:]}

    assert states("team/app") == {"unknown"}
    assert states("team/app", "--convert") == {"made"}
    assert states("team/app") == {"made"}
    assert states("team/pinned") == {"refused"}
    assert states("team/pinned", "--convert") == {"made"}
    assert states("team/pinned") == {"made"}
    assert states("team/no", "--convert") == {"refused"}
    allowed = portside("inspect", "team/no:1", "--data", root, "--convert", "--json", folder=tmp_path)
    digest = json.loads(allowed.stdout)["clients"][-1]["digest"]
    found = look(root, f"team/no@{digest}")
    assert found["madeOf"]["id"] == images[-1].id
    assert {each["state"] for each in found["clients"]} == {"made", "refused"}
    done = portside("inspect", f"team/no@{digest}", settings, "--json", folder=tmp_path)
    assert {each["state"] for each in json.loads(done.stdout)["clients"]} == {"refused"}


# what it refuses


def test_what_is_in_its_way_is_one_sentence(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    root = tmp_path / "data"
    write_images(root, images)
    write_tags(root, "team/app", {"1": images[-1].id})
    digest = "sha256:" + "0" * 64
    (tmp_path / "empty").mkdir()
    attempts: list[tuple[list[str | Path], str]] = [
        (["team/none", "--data", root], "there is no repository team/none"),
        (["team/app:2", "--data", root], "team/app has no tag 2; portside inspect team/app lists its tags"),
        ([f"team/app@{digest}", "--data", root], f"team/app has no manifest {digest}; portside inspect team/app"),
        (["team/app@x", "--data", root], "is not a valid digest"),
        (["localhost:5000/team/app", "--data", root], "leave out the registry's address: team/app"),
        (["team/app", "--data", tmp_path / "empty"], "name the data folder with --data"),
        (["team/app\x1b[31m", "--data", root], "is not a valid repository name"),
    ]
    for arguments, said in attempts:
        done = portside("inspect", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        (line,) = done.stderr.splitlines()
        assert said in line
        assert line.isprintable()


def test_an_image_that_has_lost_a_layer_is_shown_all_the_same(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    write_tags(tmp_path, "team/app", {"1": images[-1].id})
    (tmp_path / f"images/{images[0].id}/layer").unlink()
    found = look(tmp_path, "team/app:1")
    assert found["stored"]["total"] is None
    for each in found["clients"]:
        assert each["state"] == "refused"
        assert "push" in each["why"]


def test_an_image_whose_json_is_gone_is_told_to_be_pushed_again(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    write_tags(tmp_path, "team/app", {"1": images[-1].id})
    (tmp_path / "images" / images[-1].id / "json").unlink()
    old, *others = look(tmp_path, "team/app:1")["clients"]
    assert old["why"] == "a part of the image is missing here; push it again with a client of its time"
    whole = f"image {images[-1].id} is not whole: a push was cut off, or it was deleted; push it again"
    assert {each["why"] for each in others} == {whole}


def test_the_page_names_every_key_of_the_json(volume: Volume) -> None:
    page = (Path(__file__).parents[2] / "docs/inspect.md").read_text()
    kind = "OCI index with attestations, zstd"
    name = f"team/kind{KINDS.index(kind)}"
    keys: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            keys.update(value)
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(each)

    for text in (name, f"{name}:b", f"{name}@{volume.pushed[kind].digest}"):
        collect(look(volume.folder, text))
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
    assert all(f"`{group.key}`" in page for group in GROUPS)
    assert all(f"`{making.value}`" in page for making in Making)


# a whole registry


def test_of_a_whole_registry_it_says_of_each_tag_what_inspecting_the_tag_says(volume: Volume, tmp_path: Path) -> None:
    before = read_tree(volume.folder)
    done = portside("inspect", "--all", "--data", volume.folder, "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    places = {f"{each['names']['name']}:{each['tag']}": each for each in lines}
    assert len(lines) == len(places)
    assert {f"team/kind{number}:b" for number in range(len(KINDS))} <= set(places)
    for place, each in places.items():
        whole = look(volume.folder, place)
        assert each == {**{key: whole[key] for key in ("names", "tag", "stored", "clients")}, "why": None}
    done = portside("inspect", "--all", "--data", volume.folder, folder=tmp_path)
    head, *rows, legend = done.stdout.splitlines()
    assert head.split() == [*(group.key.removeprefix("docker-") for group in GROUPS), "STORED", "NAME:TAG"]
    assert [row.split()[-1] for row in rows] == list(places)
    assert legend.startswith("Columns: clients")
    for row, each in zip(rows, lines, strict=True):
        for cell, client in zip(row.split(), each["clients"], strict=False):
            assert (cell == "-") == (client["state"] == "refused"), row
            assert (cell == "=") == (client["state"] == "stored" and client["rule"] is None), row
    assert read_tree(volume.folder) == before


LOST = f"team/lost has no manifest sha256:{'0' * 64}; GET /v2/team/lost/tags/list lists its tags"


def test_of_a_whole_registry_it_shows_what_is_of_v1_alone_and_what_is_not_here(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    root = tmp_path / "data"
    write_images(root, images)
    for name in ("library/busybox", "team/a..b", "team/app"):
        write_tags(root, name, {"1": images[-1].id})
    lost = root / "docker/registry/v2/repositories/team/lost/_manifests/tags/1/current/link"
    lost.parent.mkdir(parents=True)
    lost.write_text("sha256:" + "0" * 64)
    done = portside("inspect", "--all", "--data", root, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [" ".join(line.split()) for line in done.stdout.splitlines()[1:-1]] == [
        "= s1 s2 s2 s2 s2 s2 v1 image busybox:1",
        "= s1 s2 s2 s2 s2 s2 v1 image team/app:1",
        f"- - - - - - - not here team/lost:1 {LOST}",
        "= - - - - - - v1 image team/a..b:1",
    ]
    assert table(root, "team/lost").splitlines()[-1].split() == ["1", "not", "here", "-", "-", "-"]
    (tag,) = look(root, "team/lost")["tags"]
    assert tag == {"tag": "1", **dict.fromkeys(set(look(root, "team/app")["tags"][0]) - {"tag"})}
    settings = tmp_path / "portside.yml"
    settings.write_text(RULES.format(root=root))
    done = portside("inspect", "--all", settings, "--json", "--convert", folder=tmp_path)
    lines = {each["names"]["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert {each["state"] for each in lines["busybox"]["clients"]} == {"stored", "made"}
    assert lines["team/lost"]["why"] == LOST
    assert lines["team/a..b"]["names"]["v1Only"]


def test_a_whole_registry_has_no_name(tmp_path: Path) -> None:
    for arguments, said in (([], "or --all"), (["--all", "team/app", "portside.yml"], "leave out team/app")):
        done = portside("inspect", *arguments, folder=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
