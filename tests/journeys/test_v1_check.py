"""`portside v1 check` on volumes: each thing that may be wrong is made, found, and told with what mends it."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from backends.model.names import ImageId
from backends.storage import layout
from portside.v1_check import layers, structure
from portside.v1_check.command import Outcome, Request, check
from portside.v1_check.findings import Kind
from portside.v1_check.reading import Pace
from tests.support.images import make_image
from tests.support.old_volumes import write_0_9_1
from tests.support.tarsum import TarSumVersion, tarsum
from tests.support.v1_volumes import pushed_by, write_images, write_tags
from tests.support.v1server import Pushed

BASE, MIDDLE, TOP = pushed_by("1.5.0")
UNKNOWN = "f" * 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks again after a moment that is long enough for who is alone."""
    monkeypatch.setattr(structure, "SETTLING_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(layers, "QUIET_SECONDS", 0.01)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    write_images(root, [BASE, MIDDLE, TOP])
    write_tags(root, "team/app", {"latest": TOP.id, "v1": MIDDLE.id})
    return root


def _check(root: Path, *names: str, quick: bool = False) -> tuple[Outcome, list[dict[str, Any]], dict[str, Any]]:
    lines: list[str] = []
    request = Request(None, {}, {"data": str(root)}, names, quick=quick, as_json=True)
    outcome = check(request, Pace(None), say=lines.append, is_terminal=False)
    *findings, summary = map(json.loads, lines)
    return outcome, findings, summary


def _found(root: Path, *names: str, quick: bool = False) -> set[tuple[str, str]]:
    outcome, findings, summary = _check(root, *names, quick=quick)
    wrong = [each for each in findings if each["level"] == "wrong"]
    assert outcome.wrong == summary["wrong"] == len(wrong)
    assert len(findings) - len(wrong) == summary["notes"]
    return {(each["kind"], each["where"]) for each in findings}


def test_nothing_is_found_on_a_sound_volume(root: Path) -> None:
    outcome, findings, summary = _check(root)
    assert findings == []
    assert outcome == Outcome(0, is_whole=True)
    sizes = sum(len(each.layer) for each in (BASE, MIDDLE, TOP))
    assert {key: summary[key] for key in ("repositories", "tags", "images", "layers", "bytes", "wrong", "notes")} == {
        "repositories": 1,
        "tags": 2,
        "images": 3,
        "layers": 3,
        "bytes": sizes,
        "wrong": 0,
        "notes": 0,
    }


@pytest.mark.parametrize("docker", ["1.0.1", "1.5.0"])
def test_nothing_is_found_on_what_docker_pushed(tmp_path: Path, docker: str) -> None:
    images = pushed_by(docker)
    write_images(tmp_path, images)
    write_tags(tmp_path, "library/base", {"x": images[0].id, "y": images[-1].id, "latest": images[-1].id})
    assert _found(tmp_path) == set()


def _image(image: Pushed, file: str = "") -> str:
    return f"images/{image.id}" + (f"/{file}" if file else "")


APP = "repositories/team/app"
Change = Callable[[Path], None]


def _write(path: str, content: bytes | str) -> Change:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def _remove(*paths: str) -> Change:
    def change(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return change


def _all(*changes: Change) -> Change:
    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


def _link(path: str, target: str) -> Change:
    def change(root: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            (root / path).unlink()
        (root / path).symlink_to(target)

    return change


def _with(image: Pushed, **changed: Any) -> str:
    return json.dumps({**json.loads(image.json), **changed})


def _rewrite(image: Pushed, **changed: Any) -> Change:
    """Changes an image's JSON, and the checksum with it."""
    text = _with(image, **changed).encode()
    payload = sha256(text + b"\n" + image.layer).hexdigest()
    return _all(
        _write(_image(image, "json"), text), _write(_image(image, "_checksum"), json.dumps([f"sha256:{payload}"]))
    )


def _orphan(letter: str, **said: Any) -> Change:
    """Adds a sound image that no tag needs."""
    text = json.dumps({"id": letter * 64, **said}).encode()
    folder = f"images/{letter * 64}"
    parent = said.get("parent")
    return _all(
        _write(f"{folder}/json", text),
        _write(f"{folder}/layer", b""),
        _write(f"{folder}/ancestry", json.dumps([letter * 64, *([parent] if parent else [])])),
        _write(f"{folder}/_checksum", json.dumps(["sha256:" + sha256(text + b"\n").hexdigest()])),
    )


def _tag(name: str, image_id: str) -> Change:
    return _all(_write(f"{APP}/tag_{name}", image_id), _write(f"{APP}/tag{name}_json", "{}"))


CASES: Mapping[str, tuple[Change, set[tuple[str, str]]]] = {
    "a layer is lost": (_remove(_image(BASE, "layer")), {("layer-missing", _image(BASE))}),
    "a layer is a folder": (
        _all(_remove(_image(BASE, "layer")), _write(_image(BASE, "layer/x"), "")),
        {("layer-unreadable", _image(BASE, "layer"))},
    ),
    "a layer is another": (_write(_image(TOP, "layer"), b"x"), {("checksum-wrong", _image(TOP, "layer"))}),
    "a layer is cut": (_write(_image(TOP, "layer"), TOP.layer[:-1]), {("checksum-wrong", _image(TOP, "layer"))}),
    "a blank more in the JSON": (
        _write(_image(TOP, "json"), TOP.json + b" "),
        {("checksum-wrong", _image(TOP, "layer"))},
    ),
    "the checksum is another": (
        _write(_image(TOP, "_checksum"), json.dumps([BASE.payload])),
        {("checksum-wrong", _image(TOP, "layer"))},
    ),
    "no checksum": (_remove(_image(TOP, "_checksum")), {("checksum-missing", _image(TOP))}),
    "the checksum as plain text": (
        _write(_image(TOP, "_checksum"), TOP.payload),
        {("checksum-relic", _image(TOP, "_checksum"))},
    ),
    "the checksum as plain text, and wrong": (
        _write(_image(TOP, "_checksum"), BASE.payload),
        {("checksum-relic", _image(TOP, "_checksum")), ("checksum-wrong", _image(TOP, "layer"))},
    ),
    "two checksums": (
        _write(_image(TOP, "_checksum"), json.dumps([tarsum(gzip.decompress(TOP.layer), TOP.json), TOP.payload])),
        {("checksum-relic", _image(TOP, "_checksum"))},
    ),
    "two checksums, and the tarsum is another": (
        _write(_image(TOP, "_checksum"), json.dumps([tarsum(b""), TOP.payload])),
        {("checksum-relic", _image(TOP, "_checksum")), ("tarsum-differs", _image(TOP, "layer"))},
    ),
    "a tarsum alone": (
        _write(_image(TOP, "_checksum"), json.dumps([tarsum(gzip.decompress(TOP.layer), TOP.json)])),
        {("checksum-relic", _image(TOP, "_checksum"))},
    ),
    "a tarsum of version 1 alone": (
        _write(
            _image(TOP, "_checksum"),
            json.dumps([tarsum(gzip.decompress(TOP.layer), TOP.json, version=TarSumVersion.V1)]),
        ),
        {("checksum-relic", _image(TOP, "_checksum"))},
    ),
    "a tarsum alone, and wrong": (
        _write(_image(TOP, "_checksum"), tarsum(b"")),
        {("checksum-relic", _image(TOP, "_checksum")), ("checksum-wrong", _image(TOP, "layer"))},
    ),
    "the JSON is none": (
        _write(_image(TOP, "json"), "{"),
        {("json-invalid", _image(TOP, "json")), ("checksum-wrong", _image(TOP, "layer"))},
    ),
    "the JSON is empty": (
        _write(_image(TOP, "json"), ""),
        {("json-invalid", _image(TOP, "json")), ("checksum-wrong", _image(TOP, "layer"))},
    ),
    "the JSON is of another image": (_rewrite(TOP, id=BASE.id), {("json-other-id", _image(TOP, "json"))}),
    "the parent is no id": (_rewrite(TOP, parent="../x"), {("json-invalid", _image(TOP, "json"))}),
    "no ancestry": (_remove(_image(TOP, "ancestry")), {("ancestry-missing", _image(TOP))}),
    "the ancestry is none": (
        _write(_image(TOP, "ancestry"), '["x"]'),
        {("ancestry-invalid", _image(TOP, "ancestry"))},
    ),
    "the ancestry is empty": (_write(_image(TOP, "ancestry"), "[]"), {("ancestry-invalid", _image(TOP, "ancestry"))}),
    "the ancestry leaves one out": (
        _write(_image(TOP, "ancestry"), json.dumps([TOP.id, BASE.id])),
        {("ancestry-wrong", _image(TOP, "ancestry"))},
    ),
    "the ancestry ends too early": (
        _write(_image(TOP, "ancestry"), json.dumps([TOP.id, MIDDLE.id])),
        {("ancestry-wrong", _image(TOP, "ancestry"))},
    ),
    "the ancestry goes on": (
        _write(_image(BASE, "ancestry"), json.dumps([BASE.id, UNKNOWN])),
        {("ancestry-wrong", _image(BASE, "ancestry"))},
    ),
    "the ancestry begins with another": (
        _write(_image(BASE, "ancestry"), json.dumps([TOP.id])),
        {("ancestry-wrong", _image(BASE, "ancestry"))},
    ),
    "the ancestry has an id twice": (
        _write(_image(TOP, "ancestry"), json.dumps([TOP.id, TOP.id, MIDDLE.id, BASE.id])),
        {("ancestry-repeats", _image(TOP, "ancestry"))},
    ),
    "an image is its own parent": (_rewrite(BASE, parent=BASE.id), {("parent-cycle", _image(BASE))}),
    "a circle of parents": (
        _all(_rewrite(BASE, parent=TOP.id), _write(_image(BASE, "ancestry"), json.dumps([BASE.id, TOP.id, MIDDLE.id]))),
        {("parent-cycle", _image(each)) for each in (BASE, MIDDLE, TOP)},
    ),
    "a parent is lost": (_remove(_image(BASE)), {("parent-missing", _image(MIDDLE))}),
    "a parent is lost that no tag needs": (_orphan("a", parent=UNKNOWN), {("parent-not-yet", "images/" + "a" * 64)}),
    "an image without json, that no tag needs": (
        _all(_orphan("a"), _remove(f"images/{'a' * 64}/json")),
        {("image-unfinished", "images/" + "a" * 64)},
    ),
    "half pushed to docker-registry": (
        _all(_orphan("a"), _write(f"images/{'a' * 64}/_inprogress", "true")),
        {("half-pushed", "images/" + "a" * 64)},
    ),
    "a tag names what is half pushed": (
        _write(_image(TOP, "_inprogress"), "true"),
        {("half-pushed", _image(TOP)), ("tag-dangling", f"{APP}/tag_latest")},
    ),
    "a tag names nothing": (_tag("new", UNKNOWN), {("tag-dangling", f"{APP}/tag_new")}),
    "a tag is empty": (_tag("new", ""), {("tag-invalid", f"{APP}/tag_new")}),
    "a tag is no id": (_tag("new", TOP.id.upper()), {("tag-invalid", f"{APP}/tag_new")}),
    "a tag ends its line": (_tag("new", TOP.id + "\n"), {("tag-spaced", f"{APP}/tag_new")}),
    "a tag without description": (
        _write(f"{APP}/tag_new", TOP.id),
        {("description-missing", f"{APP}/tag_new")},
    ),
    "latest without the repository's json": (_remove(f"{APP}/json"), {("description-missing", APP)}),
    "a description without tag": (
        _write(f"{APP}/tagnew_json", "{}"),
        {("description-left", f"{APP}/tagnew_json")},
    ),
    "a description that is none": (
        _all(_tag("new", TOP.id), _write(f"{APP}/tagnew_json", "x")),
        {("description-invalid", f"{APP}/tagnew_json")},
    ),
    "a tag that begins with _": (_tag("_x", TOP.id), {("tag-phantom", f"{APP}/tag_x_json")}),
    "a tag with a blank": (_tag("a+b", TOP.id), {("tag-ambiguous", f"{APP}/tag_a+b")}),
    "a tag that is escaped no way": (_tag("a b", TOP.id), {("name-unreachable", f"{APP}/tag_a b")}),
    "a repository that is escaped once": (
        _write("repositories/team/b%2Fc/tag_x", TOP.id),
        {("name-unreachable", "repositories/team/b%2Fc"), ("description-missing", "repositories/team/b%2Fc/tag_x")},
    ),
    "the list of images is none": (
        _write(f"{APP}/_index_images", "{"),
        {("index-invalid", f"{APP}/_index_images")},
    ),
    "the list of images names what is not there": (
        _write(f"{APP}/_index_images", json.dumps([{"id": TOP.id}, {"id": UNKNOWN}, {"id": "../x"}])),
        {("index-names-absent", f"{APP}/_index_images")},
    ),
    "a private repository": (_write(f"{APP}/_private", ""), {("private", f"{APP}/_private")}),
    "links that lead out of the volume": (
        _all(_link(_image(TOP, "layer"), "/etc/hostname"), _link(f"{APP}/tag_new", "/etc/hostname")),
        {("link-outside", _image(TOP, "layer")), ("link-outside", f"{APP}/tag_new")},
    ),
    "a folder that leads out of the volume": (
        _all(_remove(_image(TOP)), _link(_image(TOP), "/etc"), _remove(f"{APP}/_index_images")),
        {("link-outside", _image(TOP))},
    ),
    "a link within the volume": (_link(f"{APP}/tag_v1", "tag_latest"), set()),
    "a link that leads nowhere": (_link(_image(TOP, "layer"), "nowhere"), {("layer-missing", _image(TOP))}),
    "files that nobody knows": (
        _all(
            _write("images/README", ""),
            _write(_image(TOP, "layer.bak"), ""),
            _write(f"{APP}/notes", ""),
            _write("repositories/file", ""),
            _write("repositories/team/file", ""),
        ),
        {
            ("unknown", each)
            for each in (
                "images/README",
                _image(TOP, "layer.bak"),
                f"{APP}/notes",
                "repositories/file",
                "repositories/team/file",
            )
        },
    ),
    "a temporary file": (
        _write(f"{APP}/.0123456789ab-0123456789abcdef.tmp", ""),
        {("temporary", f"{APP}/.0123456789ab-0123456789abcdef.tmp")},
    ),
    "files of docker-registry that say nothing": (
        _all(
            _write(_image(TOP, "_files"), "[]"), _write(_image(TOP, "_diff"), "{}"), _write(f"{APP}/_images_list", "[]")
        ),
        set(),
    ),
    "an image that no tag needs": (_orphan("a"), set()),
    "an id of 16 digits": (
        _all(
            _write("images/0123456789abcdef/json", '{"id": "0123456789abcdef"}'),
            _write("images/0123456789abcdef/layer", ""),
            _write("images/0123456789abcdef/ancestry", '["0123456789abcdef"]'),
        ),
        {("checksum-missing", "images/0123456789abcdef")},
    ),
    "a push to Portside that has not ended": (
        _write(layout.v1_staged(ImageId("a" * 64), f"json-{'0' * 64}-{'0' * 20}-{'0' * 8}")[1:], "{}"),
        {("staged", layout.v1_staging(ImageId("a" * 64))[1:])},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_finds(root: Path, case: str) -> None:
    change, expected = CASES[case]
    change(root)
    assert _found(root) == expected


def test_the_table_has_every_kind_but_those_that_have_a_test_of_their_own() -> None:
    told = {kind for _, found in CASES.values() for kind, _ in found}
    apart = {"not-readable", "not-writable", "chain-too-long", "blob-differs", "blob-apart", "note-wrong"}
    assert told | apart == {kind.text for kind in Kind}
    assert not told & apart


def test_a_chain_that_is_too_long_is_told_once(tmp_path: Path) -> None:
    ids = [f"{number:064x}" for number in range(1, 1028)]
    for number, image_id in enumerate(ids):
        text = json.dumps({"id": image_id, **({"parent": ids[number - 1]} if number else {})}).encode()
        ancestry = json.dumps(ids[number::-1])
        for file, content in (("json", text), ("layer", b""), ("ancestry", ancestry.encode())):
            _write(f"images/{image_id}/{file}", content)(tmp_path)
        _write(f"images/{image_id}/_checksum", json.dumps(["sha256:" + sha256(text + b"\n").hexdigest()]))(tmp_path)
    assert _found(tmp_path) == {("chain-too-long", f"images/{ids[1024]}")}


def test_it_says_who_needs_what_is_lost_and_how_it_is_mended(root: Path) -> None:
    _remove(_image(BASE, "layer"))(root)
    _, (finding,), _ = _check(root)
    assert finding == {
        "level": "wrong",
        "kind": "layer-missing",
        "where": _image(BASE),
        "what": "has lost its layer; team/app:latest (and 1 more tag) needs it",
        "mend": "Push the image again with a Docker that has it.",
    }


@pytest.mark.parametrize(
    ("path", "target"),
    [("repositories/team/b%2Fc", "repositories/team/b%252Fc"), (f"{APP}/tag_a b", f"{APP}/tag_a+b")],
)
def test_it_says_how_a_name_of_before_0_8_1_is_called_now(root: Path, path: str, target: str) -> None:
    _write(path if "tag_" in path else f"{path}/tag_x", TOP.id)(root)
    _, findings, _ = _check(root)
    (finding,) = (each for each in findings if each["kind"] == "name-unreachable")
    assert finding["mend"] == f"`portside v1 rename` makes it {target}."
    _write(target if "tag_" in path else f"{target}/tag_x", TOP.id)(root)
    _, findings, _ = _check(root)
    (finding,) = (each for each in findings if each["kind"] == "name-unreachable")
    also = "which is there too: what both have stays as it is there"
    assert finding["mend"] == f"`portside v1 rename` makes it {target}, {also}."


@pytest.mark.parametrize("checksums", [True, False])
def test_volumes_of_all_times_have_nothing_wrong(tmp_path: Path, checksums: bool) -> None:  # noqa: FBT001 - a table
    for number, newer in enumerate((False, True)):
        chain = make_image(f"{number}").v1_chain(final_newline=newer, closing_blocks=newer)
        write_0_9_1(tmp_path, f"team/app{number}", "latest", chain, checksums=checksums)
    outcome, findings, summary = _check(tmp_path)
    assert outcome.wrong == 0
    assert {each["kind"] for each in findings} == (set() if checksums else {"checksum-missing"})
    assert summary["images"] > 2


def test_v1_may_have_a_root_of_its_own(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'v2'}}}}}\n"
        f"gateway: {{v1: {{storagepath: {root}}}}}\n"
    )
    _write(_image(TOP, "layer"), "x")(root)
    lines: list[str] = []
    request = Request(config, {}, {}, (), quick=False, as_json=True)
    assert check(request, Pace(None), say=lines.append, is_terminal=False).wrong == 1
    assert json.loads(lines[-1])["root"] == str(root)


def test_what_can_be_pasted_is_quoted(root: Path) -> None:
    _tag("$(x)", "no id")(root)
    _, findings, _ = _check(root)
    assert f"remove '{APP}/tag_$(x)'" in next(each["mend"] for each in findings if each["kind"] == "tag-invalid")


def test_only_what_a_named_repository_needs_is_looked_at(root: Path) -> None:
    _orphan("a")(root)
    _write(f"images/{'a' * 64}/layer", "x")(root)
    write_tags(root, "library/other", {"x": "a" * 64})
    assert _found(root, "team/app") == set()
    assert _found(root, "other") == {("checksum-wrong", f"images/{'a' * 64}/layer")}
    assert _found(root, "other", "team/app") == {("checksum-wrong", f"images/{'a' * 64}/layer")}


def test_quick_reads_no_layer(root: Path) -> None:
    _write(_image(TOP, "layer"), "x")(root)
    outcome, findings, summary = _check(root, quick=True)
    assert (outcome.wrong, findings, summary["layers"], summary["bytes"]) == (0, [], 0, 0)


def test_layers_with_several_names_are_read_once(root: Path) -> None:
    layer = root / _image(BASE, "layer")
    text = json.dumps({"id": "a" * 64}).encode()
    _orphan("a")(root)
    (root / f"images/{'a' * 64}/layer").unlink()
    os.link(layer, root / f"images/{'a' * 64}/layer")
    _write(f"images/{'a' * 64}/_checksum", json.dumps(["sha256:" + sha256(text + b"\n" + BASE.layer).hexdigest()]))(
        root
    )
    outcome, findings, summary = _check(root)
    assert (outcome.wrong, findings) == (0, [])
    assert summary["bytes"] == sum(len(each.layer) for each in (BASE, MIDDLE, TOP))


@contextlib.contextmanager
def _rewriting(path: Path, content: bytes) -> Iterator[None]:
    """Someone writes a file in place, again and again: half of the time it is empty."""
    ended = threading.Event()

    def rewrite() -> None:
        while not ended.is_set():
            path.write_bytes(b"")
            ended.wait(0.004)
            path.write_bytes(content)
            ended.wait(0.004)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"{APP}/tag_latest", TOP.id.encode()),
        (f"{APP}/_index_images", b"[]"),
        (_image(TOP, "json"), TOP.json),
        (_image(TOP, "ancestry"), json.dumps([TOP.id, MIDDLE.id, BASE.id]).encode()),
        (_image(TOP, "layer"), TOP.layer),
        (_image(TOP, "_checksum"), json.dumps([TOP.payload]).encode()),
    ],
    ids=lambda value: value.rpartition("/")[2] if isinstance(value, str) else "",
)
def test_what_is_being_written_is_no_damage(
    root: Path, path: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "SETTLING_SECONDS", (0.3, 0.3, 0.3))
    monkeypatch.setattr(layers, "QUIET_SECONDS", 0.3)
    with _rewriting(root / path, content):
        for _ in range(3):
            outcome, findings, _ = _check(root)
            assert outcome.wrong == 0, findings
    assert _found(root) == set()
