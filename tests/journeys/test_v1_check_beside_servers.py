"""`portside v1 check` on volumes of Portside, beside servers, for other users; nothing is changed by it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.model.digest import Digest
from backends.model.image_places import ImageCopy
from backends.model.names import ImageId
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from portside.v1_check import layers, progress, structure
from portside.v1_check.command import Request, check
from portside.v1_check.reading import Pace
from tests.support.commands import portside
from tests.support.images import digest_of
from tests.support.layers import Compression, pack
from tests.support.tenants import Tenant, chain_of
from tests.support.v1_volumes import pushed_by, write_images, write_tags
from tests.support.v1server import Pushed, RunningRegistry, make_pushed, running_v1
from tests.support.watching import watching

CHAIN = pushed_by("1.5.0")
LOOKED = 0x1 | 0x10 | 0x20  # inotify: it was read, closed after reading, opened
NOBODY = 65534


def _look(root: Path) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What is wrong, and what is only noted."""
    lines: list[str] = []
    check(
        Request(None, {}, {"data": str(root)}, (), quick=False, as_json=True),
        Pace(None),
        say=lines.append,
        is_terminal=False,
    )
    *findings, _ = map(json.loads, lines)
    wrong, notes = (
        {(each["kind"], each["where"]) for each in findings if each["level"] == level} for level in ("wrong", "note")
    )
    return wrong, notes


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "SETTLING_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(layers, "QUIET_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def _registry(root: Path) -> AsyncIterator[RunningRegistry]:
    storage = open_folder(root)
    async with running_v1(storage) as registry:
        yield registry
    await storage.close()


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """A volume to which Docker 1.5.0's images were pushed."""
    root = tmp_path / "volume"
    async with _registry(root) as registry:
        await registry.push("team/app", "latest", CHAIN)
        body = json.dumps(CHAIN[0].id).encode()
        assert (await registry.ask("PUT", "/v1/repositories/solo/tags/1", body=body)).status == 200
    return root


def _file(path: str) -> str:
    return path.removeprefix("/")


def _blob(root: Path, image: Pushed) -> Path:
    return root / _file(layout.blob_data(Digest("sha256", digest_of(image.layer)[7:])))


def _layer(root: Path, image: Pushed) -> Path:
    return root / _file(layout.v1_image_layer(ImageId(image.id)))


@pytest.mark.usefixtures("at_once")
def test_nothing_is_found_on_what_was_pushed_to_portside(root: Path) -> None:
    assert _look(root) == (set(), set())


@pytest.mark.usefixtures("at_once")
def test_a_layer_that_is_a_file_apart_from_its_blob_is_noted(root: Path) -> None:
    layer = _layer(root, CHAIN[0])
    content = layer.read_bytes()
    layer.unlink()
    layer.write_bytes(content)
    assert _look(root) == (set(), {("blob-apart", f"images/{CHAIN[0].id}/layer")})


@pytest.mark.usefixtures("at_once")
def test_a_blob_that_is_damaged_beside_a_sound_layer_is_told(root: Path) -> None:
    blob = _blob(root, CHAIN[0])
    blob.unlink()
    blob.write_bytes(b"x" * len(CHAIN[0].layer))
    assert _look(root)[0] == {("blob-differs", str(blob.relative_to(root)))}


@pytest.mark.usefixtures("at_once")
def test_a_damaged_layer_is_mended_by_its_blob(root: Path) -> None:
    layer = _layer(root, CHAIN[0])
    layer.unlink()
    layer.write_bytes(b"x")
    lines: list[str] = []
    check(
        Request(None, {}, {"data": str(root)}, (), quick=False, as_json=True),
        Pace(None),
        say=lines.append,
        is_terminal=False,
    )
    finding = json.loads(lines[0])
    assert finding["kind"] == "checksum-wrong"
    command = finding["mend"].partition("right bytes: ")[2]
    subprocess.run(command.split(), cwd=root, check=True)
    assert _look(root) == (set(), set())


@pytest.mark.usefixtures("at_once")
def test_a_layer_and_its_blob_that_are_damaged_together_are_told(root: Path) -> None:
    with _layer(root, CHAIN[0]).open("r+b") as file:  # both names
        file.write(b"xxxx")
    assert _look(root)[0] == {("checksum-wrong", f"images/{CHAIN[0].id}/layer")}


@pytest.mark.usefixtures("at_once")
def test_a_note_that_names_another_blob_is_told(root: Path) -> None:
    note = root / _file(layout.v1_layer_blob(CHAIN[0].payload.removeprefix("sha256:")))
    other = digest_of(CHAIN[2].layer)
    note.write_text(f"{other} {len(CHAIN[2].layer)}")
    assert _look(root)[0] == {("note-wrong", f"images/{CHAIN[0].id}/layer")}


@pytest.mark.usefixtures("at_once")
def test_a_blob_that_a_garbage_collection_took_is_not_missed(root: Path) -> None:
    _blob(root, CHAIN[0]).unlink()
    assert _look(root) == (set(), set())


@pytest.mark.usefixtures("at_once")
async def test_images_that_repositories_have_for_themselves_are_looked_at_too(tmp_path: Path) -> None:
    ours, theirs = chain_of("A", "1", "2"), chain_of("B", "1", "2")
    storage = open_folder(tmp_path)
    store = Store(storage, own_images=True)
    await Tenant(store, "a-team/app").push(*ours, tag="1.0")
    await Tenant(store, "b-team/app").push(*theirs, tag="1.0")
    await store.close()
    await storage.close()
    assert await asyncio.to_thread(_look, tmp_path) == (set(), set())

    own = ImageCopy(parse_v1_name("b-team/app"), ImageId(theirs[1].id))
    (tmp_path / _file(layout.v1_image_layer(own))).unlink()
    base = ImageCopy(own.owner, ImageId(theirs[0].id))
    shutil.rmtree(tmp_path / _file(layout.v1_image(base)))
    wrong, _ = await asyncio.to_thread(_look, tmp_path)
    where = _file(layout.v1_image(own))
    assert wrong == {("layer-missing", where), ("parent-missing", where)}


@pytest.mark.usefixtures("at_once")
async def test_staged_pushes_are_told_with_their_repository(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    store = Store(storage, own_images=True)
    (image,) = chain_of("A", "1")
    await Tenant(store, "a-team/app").put_json(image)
    await store.close()
    await storage.close()
    (tmp_path / "images").mkdir()
    lines: list[str] = []
    request = Request(None, {}, {"data": str(tmp_path)}, (), quick=False, as_json=True)
    await asyncio.to_thread(check, request, Pace(None), say=lines.append, is_terminal=False)
    (finding, _) = map(json.loads, lines)
    assert finding["kind"] == "staged"
    assert "is a push to a-team/app that has not ended" in finding["what"]
    assert f"by uid {os.getuid()}" in finding["what"]


# what it is not allowed to do, and for whom


def _state(root: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for path in (root, *root.rglob("*")):
        info = path.lstat()
        found[str(path)] = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_mode, info.st_nlink)
    return found


@pytest.mark.usefixtures("at_once")
def test_nothing_is_changed(root: Path) -> None:
    (root / f"images/{CHAIN[0].id}/ancestry").unlink()
    (root / f"images/{CHAIN[1].id}/layer").unlink()
    before = _state(root)
    with watching(root) as watch:
        wrong, _ = _look(root)
        assert {kind for kind, _ in wrong} == {"ancestry-missing", "layer-missing"}
        masks = {int(event.rpartition("(")[2].rstrip(")"), 16) & 0xFFF for event in watch.events()}
    assert masks
    assert not any(mask & ~LOOKED for mask in masks), masks
    assert _state(root) == before


@pytest.mark.usefixtures("at_once")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")
def test_root_looks_for_the_user_whose_volume_it_is(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert _look(root) == (set(), set())
    hidden = root / f"images/{CHAIN[0].id}/json"
    os.chown(hidden, 0, 0)
    hidden.chmod(0o600)
    layer = _layer(root, CHAIN[1])
    layer.chmod(0)
    os.chown(root / "repositories/team/app", 0, 0)
    wrong, notes = _look(root)
    assert wrong == {("not-readable", f"images/{CHAIN[0].id}/json"), ("not-readable", f"images/{CHAIN[1].id}/layer")}
    assert notes == {("not-writable", "repositories/team/app")}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_who_is_not_root_is_told_what_it_cannot_read(root: Path) -> None:
    def look(place: Path) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "portside.cli", "v1", "check", "--data", str(place), "--json"]
        return subprocess.run(
            program, capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[], check=False
        )

    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        place = Path(folder) / "volume"
        shutil.copytree(root, place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (place / f"images/{CHAIN[0].id}").chmod(0o700)
        done = look(place)
        assert (done.returncode, done.stderr) == (1, "")
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        wrong = {(each["kind"], each["where"]) for each in findings if each["level"] == "wrong"}
        assert ("not-readable", f"images/{CHAIN[0].id}") in wrong

        place.chmod(0o700)
        done = look(place)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert "cannot be read: Permission denied; run this as the registry's user" in line


# as a command


def test_the_command_says_what_it_found_and_what_it_looked_at(root: Path, tmp_path: Path) -> None:
    done = portside("v1", "check", "--data", root, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{root}: 2 repositories, 2 tags, 3 images, 3 layers (496 bytes) read; nothing is wrong, 0 notes\n"
    )
    (root / f"images/{CHAIN[0].id}/layer").unlink()
    config = tmp_path / "config.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n")
    done = portside("v1", "check", "config.yml", "team/app", "--quick", folder=tmp_path)
    assert done.returncode == 1
    finding, summary = done.stdout.splitlines()
    assert finding == (
        f"wrong  layer-missing: images/{CHAIN[0].id} has lost its layer; team/app:latest needs it."
        " Push the image again with a Docker that has it."
    )
    assert summary == f"{root}: 1 repository, 1 tag, 3 images, no layer read; 1 is wrong, 0 notes"


def test_names_that_no_registry_writes_are_a_line_each(root: Path, tmp_path: Path) -> None:
    for name in (b"images/\xff", b"images/a\nwrong  b: c", b"repositories/team/\xff", b"repositories/\xfe/app"):
        (root / os.fsdecode(name)).mkdir(parents=True)
    (root / "repositories/team/app" / os.fsdecode(b"tag_\xff")).write_text(CHAIN[0].id)
    done = portside("v1", "check", "--data", root, folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    wheres = {line.split(": ")[1].partition(" ")[0] for line in done.stdout.splitlines()[:-1]}
    assert wheres == {
        "images/?",
        "images/a?wrong",
        "repositories/team/?",
        "repositories/?/app",
        "repositories/team/app/tag_?",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere"], "there is no folder"),
        (["--data", "volume", "team/other"], "there is no repository team/other of v1"),
        (["nowhere.yml"], "nowhere.yml"),
        (["--data", "."], "has no repositories"),
    ],
)
def test_where_it_cannot_look_the_status_is_2(root: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    done = portside("v1", "check", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("portside: ")
    assert sentence in done.stderr


def test_how_far_it_is_goes_to_stderr_now_and_then(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "TOLD_SECONDS", 0.0)
    lines: list[str] = []
    request = Request(None, {}, {"data": str(root)}, (), quick=False, as_json=False)
    check(request, Pace(None), say=lines.append, is_terminal=False)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "1 of 6 repositories and images are done"
    assert told[-1].startswith("496 bytes of 496 bytes, ")
    assert len(lines) == 1


def test_help_names_it_beside_the_options_of_the_registry(tmp_path: Path) -> None:
    done = portside("v1", "--help", folder=tmp_path)
    assert done.stdout.index("--addr") < done.stdout.index("check")
    assert "portside v1 check --data /tmp/registry" in portside("v1", "check", "--help", folder=tmp_path).stdout


def test_a_volume_of_v2_alone_has_nothing_of_v1(tmp_path: Path) -> None:
    (tmp_path / "docker/registry/v2/repositories").mkdir(parents=True)
    done = portside("v1", "check", "--data", tmp_path, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{tmp_path}: 0 repositories, 0 tags, 0 images")


def test_on_a_terminal_it_shows_how_far_it_is(large: Path) -> None:
    ours, theirs = os.openpty()
    program = [sys.executable, "-m", "portside.cli", "v1", "check", "--data", str(large), "--rate", "64MiB"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        out, _ = process.communicate(timeout=30)
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    assert out.count("\n") == 1
    assert "of 64.0 MiB" in drawn
    assert drawn.endswith("\r\033[K")


@pytest.mark.parametrize("rate", ["fast", "0"])
def test_a_rate_that_is_none_is_told(root: Path, tmp_path: Path, rate: str) -> None:
    done = portside("v1", "check", "--data", root, "--rate", rate, folder=tmp_path)
    assert done.returncode == 2
    assert "--rate" in done.stderr


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A volume of 64 MiB in one layer, beside small ones."""
    large = make_pushed("b", layer=random.Random(1).randbytes(1 << 20) * 64)
    write_images(tmp_path / "large", CHAIN)
    write_images(tmp_path / "large", [large])
    write_tags(tmp_path / "large", "team/app", {"large": large.id})
    return tmp_path / "large"


def test_it_reads_no_faster_than_it_is_told_to(large: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    done = portside("v1", "check", "--data", large, "--rate", "32MiB", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert 1.8 < time.monotonic() - begun < 10


def _wait_until_it_reads(process: subprocess.Popen[Any]) -> None:
    """Waits until a check has a layer open."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            if any(each.readlink().name == "layer" for each in Path(f"/proc/{process.pid}/fd").iterdir()):
                return
        time.sleep(0.05)
    pytest.fail("it reads no layer")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_and_says_how_far_it_was(large: Path, number: signal.Signals) -> None:
    program = [sys.executable, "-m", "portside.cli", "v1", "check", "--data", str(large), "--rate", "2MiB"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_until_it_reads(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")
    assert "then stopped; nothing is wrong" in out


def test_a_check_that_is_killed_leaves_nothing(large: Path) -> None:
    before = _state(large)
    program = [sys.executable, "-m", "portside.cli", "v1", "check", "--data", str(large), "--rate", "2MiB"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        _wait_until_it_reads(process)
        process.kill()
    assert _state(large) == before


# beside servers


@pytest.fixture
def images() -> list[list[Pushed]]:
    """Chains that share their bases."""
    base = make_pushed("0", layer=pack(bytes(10240), Compression.GZIP))
    middles = [make_pushed(letter, parent=base.id, layer=letter.encode() * 5000) for letter in "12"]
    tops = [
        make_pushed(letter, parent=middles[number % 2].id, layer=letter.encode() * 9000)
        for number, letter in enumerate("3456")
    ]
    return [[base, middles[number % 2], top] for number, top in enumerate(tops)]


@pytest.mark.timeout(120)
async def test_beside_a_storm_of_pushes_nothing_is_wrong_that_is_not(
    tmp_path: Path, images: list[list[Pushed]]
) -> None:
    chance = random.Random(11)
    rounds = 0

    async def client(registry: RunningRegistry, number: int) -> None:
        nonlocal rounds
        while not ended.is_set():
            chain, name = chance.choice(images), f"team/app{number % 2}"
            announced = json.dumps([{"id": image.id} for image in chain]).encode()
            await registry.ask("PUT", f"/v1/repositories/{name}/", body=announced)
            for image in chain:
                for step in (registry.put_json, registry.put_layer, registry.put_checksum):
                    await step(image)
            tag = chance.choice(["latest", "1"])
            await registry.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body=json.dumps(chain[-1].id).encode())
            await registry.ask("PUT", f"/v1/repositories/{name}/images", body=b"[]")
            if chance.random() < 0.3:
                await registry.ask("DELETE", f"/v1/repositories/{name}/tags/{tag}")
            if chance.random() < 0.1:
                await registry.ask("DELETE", f"/v1/repositories/{name}/")
            rounds += 1

    ended = asyncio.Event()
    async with _registry(tmp_path) as first, _registry(tmp_path) as second:
        await first.push("team/app0", "latest", images[0])
        async with asyncio.TaskGroup() as clients:
            for number in range(6):
                clients.create_task(client((first, second)[number % 2], number))
            try:
                while rounds < 20:
                    wrong, _ = await asyncio.to_thread(_look, tmp_path)
                    assert wrong == set()
            finally:
                ended.set()
    wrong, notes = await asyncio.to_thread(_look, tmp_path)
    assert wrong == set()
    assert {kind for kind, _ in notes} <= {"staged", "index-names-absent"}
