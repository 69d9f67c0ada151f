"""The program as a mirror: Docker pulls through it from Portside and from docker-registry 0.9.1, which is what it is
compared with, and which may take its volume.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from backends.storage.factory import open_folder
from tests.support.docker import Docker
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.http_calls import Caller
from tests.support.images import make_image
from tests.support.mounts import mounted_tmpfs
from tests.support.ports import free_port
from tests.support.portside import Form, running_portside
from tests.support.programs import running
from tests.support.trees import read_files
from tests.support.v1mirror import dribbles, running_mirror, running_source, staged, until
from tests.support.v1server import Answer, RunningRegistry, make_pushed
from tests.support.wire import Address

pytestmark = pytest.mark.real

OLD = ["1.0.1", "1.3.3", "1.5.0"]
NAME = "team/app"
AWAY = "http://127.0.0.1:9"


def settings_of(folder: Path, port: int, *, source: str = "", workers: int = 1, ca: str = "") -> Path:
    """Writes the settings of `portside v1`, of a mirror where a source is given."""
    mirroring = {"mirroring": {"source": source, "tagscachettl": 0, "ca": ca}} if source else {}
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "gateway": {"workers": workers, "v1": mirroring},
    }
    folder.mkdir(exist_ok=True)
    file = folder / "portside.yml"
    file.write_text(yaml.safe_dump(settings))
    return file


@contextlib.contextmanager
def portside_v1(folder: Path, *, source: str = "", workers: int = 1, ca: str = "") -> Iterator[RunningRegistry]:
    """Runs `portside v1`, as a mirror where a source is given."""
    port = free_port()
    file = settings_of(folder, port, source=source, workers=workers, ca=ca)
    with running([sys.executable, "-m", "portside.cli", "v1", str(file)], folder / "portside.log", port=port):
        yield RunningRegistry(port)


@pytest.fixture(params=["portside", "docker-registry"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of a registry that is mirrored."""
    if request.param == "portside":
        with portside_v1(tmp_path / "source") as registry:
            yield registry.port
        return
    with docker_registry_0_9_1(tmp_path / "source") as original:
        yield original.port


def assert_sound(data: Path) -> None:
    """`portside v1 check` finds nothing wrong, and no image without a checksum."""
    program = [sys.executable, "-m", "portside.cli", "v1", "check", "--data", str(data), "--json"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checksum-missing" not in done.stdout


def docker(version: str, port: int) -> Docker:
    return Docker(version, Address("127.0.0.1", port))


@pytest.mark.parametrize("version", OLD)
def test_old_dockers_pull_through_a_mirror_and_from_it_alone(version: str, source: int, tmp_path: Path) -> None:
    image = make_image(f"mirrored-{version}")
    pushed = docker(version, source).push(NAME, "b", image)
    assert pushed.ok, pushed.output
    layers = docker(version, source).pull(NAME, "b").pulled[0].layers
    assert len(layers) == len(image.layers)
    mirror = tmp_path / "mirror"
    with portside_v1(mirror, source=f"http://127.0.0.1:{source}", workers=2) as registry:
        for _ in range(2):
            pulled = docker(version, registry.port).pull(NAME, "b")
            assert (pulled.ok, pulled.protocol) == (True, "v1"), pulled.output
            assert pulled.pulled[0].layers == layers
        pulled = docker(version, registry.port).pull_all(NAME)
        assert pulled.ok, pulled.output
        # A push through the mirror of what is there, and of a child of it.
        child = make_image(f"mirrored-{version}", layers=4)
        assert docker(version, registry.port).push("team/child", "c", child).ok
        of_child = docker(version, registry.port).pull("team/child", "c").pulled[0].layers
        assert of_child[:3] == layers
    with portside_v1(mirror, source=AWAY) as registry:
        for name, tag, expected in ((NAME, "b", layers), ("team/child", "c", of_child)):
            pulled = docker(version, registry.port).pull(name, tag)
            assert pulled.ok, pulled.output
            assert pulled.pulled[0].layers == expected
    assert_sound(mirror / "data")
    with docker_registry_0_9_1(tmp_path / "taken over", root=mirror / "data") as original:
        pulled = docker(version, original.port).pull("team/child", "c")
        assert pulled.ok, pulled.output
        assert pulled.pulled[0].layers == of_child
        for layer in (mirror / "data/images").glob("*/layer"):
            path = f"/v1/images/{layer.parent.name}/layer"
            answer = asyncio.run(RunningRegistry(original.port).ask("GET", path))
            assert (answer.status, answer.body) == (200, layer.read_bytes())


BASE = make_pushed("a", layer=bytes(range(256)) * 40)
TOP = make_pushed("b", parent=BASE.id, layer=b"top layer")

ASKED = [
    "/v1/repositories/team/app/images",
    "/v1/repositories/team/app/tags",
    "/v1/repositories/team/app/tags/latest",
    "/v1/repositories/team/app/tags/none",
    "/v1/repositories/team/none/images",
    "/v1/repositories/team/none/tags",
    *(
        f"/v1/images/{image_id}/{end}"
        for image_id in (TOP.id, BASE.id, "d" * 64)
        for end in ("ancestry", "json", "layer")
    ),
    f"/v1/images/{'d' * 63}/json",
]
HEADERS = ("Content-Type", "X-Docker-Size", "X-Docker-Checksum-Payload")


def said(answer: Answer, authority: str) -> tuple[object, ...]:
    """What clients read of an answer."""
    body: object = answer.body
    if "application/json" in answer.head.values("Content-Type"):
        body = answer.json
        if isinstance(body, list) and body and isinstance(body[0], dict):
            # Docker takes `Tag` for a tag, also when it has moved: Portside leaves it out, mirror or not.
            body = sorted(({"id": each["id"]} for each in body), key=lambda each: each["id"])
    endpoints = {*answer.head.values("X-Docker-Endpoints")}
    assert endpoints <= {authority}
    return answer.status, body, len(endpoints), *({*answer.head.values(name)} for name in HEADERS)


async def test_it_answers_as_a_mirror_of_docker_registrys_own(tmp_path: Path) -> None:
    with (
        docker_registry_0_9_1(tmp_path / "source") as source,
        docker_registry_0_9_1(tmp_path / "theirs", variables={"MIRROR_SOURCE": f"http://{source.authority}"}) as theirs,
        portside_v1(tmp_path / "ours", source=f"http://{source.authority}") as ours,
    ):
        await RunningRegistry(source.port).push(NAME, "latest", [BASE, TOP])
        original = RunningRegistry(theirs.port)
        for path in ("/v1/_ping",):
            answers = [await each.ask("GET", path) for each in (original, ours)]
            assert [each.value("X-Docker-Registry-Standalone") for each in answers] == ["mirror", "mirror"]
        for once_more in (False, True):
            for path in ASKED:
                expected, found = [said(await each.ask("GET", path), each.authority) for each in (original, ours)]
                if once_more and path.endswith("/json") and expected[0] == 200:
                    # What its mirror keeps has no checksum; see docs/v1-mirror.md.
                    assert (expected[-1], len(found[-1])) == (set(), 1)  # type: ignore[arg-type]
                    expected, found = expected[:-1], found[:-1]
                assert found == expected, path


async def test_twenty_clients_of_four_processes_have_a_layer_sent_once(tmp_path: Path) -> None:
    large = make_pushed("e", layer=bytes(range(256)) * 40_000)
    async with running_source() as source:
        pieces = [large.layer[at : at + 512 * 1024] for at in range(0, len(large.layer), 512 * 1024)]

        async def slowly(_: int) -> None:
            await asyncio.sleep(0.03)

        source.has(large, layer=dribbles(pieces, slowly))
        with portside_v1(tmp_path / "mirror", source=source.address, workers=4) as mirror:
            pulls = [mirror.ask("GET", f"/v1/images/{large.id}/layer") for _ in range(20)]
            for answer in await asyncio.gather(*pulls):
                assert (answer.status, answer.body == large.layer) == (200, True)
        assert source.asked_for("/layer") == 1


async def test_a_mirror_that_is_killed_in_the_middle_of_a_layer_begins_it_anew(tmp_path: Path) -> None:
    large = make_pushed("e", parent=BASE.id, layer=bytes(range(256)) * 8000)
    data, port = tmp_path / "mirror" / "data", free_port()
    async with running_source() as source:
        killed = asyncio.Event()

        async def stops(number: int) -> None:
            if number == 1:
                await killed.wait()

        source.has(BASE)
        source.has(large, BASE, layer=dribbles([large.layer[:1_000_000], large.layer[1_000_000:]], stops))
        process = start(settings_of(tmp_path / "mirror", port, source=source.address))
        try:
            mirror = RunningRegistry(port)
            await until(lambda: _listens(port))
            async with mirror.connection() as peer:
                await peer.send(f"GET /v1/images/{large.id}/layer HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await peer.read_head()).status == 200
                assert await peer.reader.readexactly(1_000_000) == large.layer[:1_000_000]
                process.kill()
                process.wait()
                assert len(await peer.reader.read()) < len(large.layer) - 1_000_000
        finally:
            process.kill()
            process.wait()
        killed.set()
        assert not (data / "images").exists()
        with portside_v1(tmp_path / "mirror", source=source.address, workers=2) as mirror:
            assert (await mirror.ask("GET", f"/v1/images/{large.id}/layer")).body == large.layer
            await until((data / "images" / large.id / "json").exists)
            await until(lambda: not staged(data))
    assert_sound(data)


def start(file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "portside.cli", "v1", str(file)])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def test_a_full_disk_ends_a_download_and_leaves_nothing(tmp_path: Path) -> None:
    large = make_pushed("e", layer=bytes(range(256)) * 40_000)
    with mounted_tmpfs(tmp_path / "disk") as disk:
        storage = open_folder(disk)
        async with running_source() as source:
            source.has(large)
            source.has(BASE)
            source.tags("library/app", latest=BASE.id)
            async with running_mirror(storage, source.address) as mirror:
                before = read_files(disk)
                for _ in range(2):
                    with pytest.raises(asyncio.IncompleteReadError):
                        await mirror.ask("GET", f"/v1/images/{large.id}/layer")
                    await until(lambda: not staged(disk))
                    assert read_files(disk) == before
                assert (await mirror.ask("GET", f"/v1/images/{BASE.id}/layer")).body == BASE.layer
                assert (await mirror.ask("GET", "/v1/repositories/app/tags/latest")).json == BASE.id
                await until((disk / "images" / BASE.id / "json").exists)
        await storage.close()


def test_what_it_cannot_use_keeps_it_from_starting(tmp_path: Path) -> None:
    for more, says in (
        ({"ca": str(tmp_path / "none.pem")}, "gateway.v1.mirroring.ca"),
        ({"user": "me", "passwordfile": str(tmp_path / "none")}, "gateway.v1.mirroring.passwordfile"),
    ):
        file = tmp_path / "portside.yml"
        mirroring = {"source": "https://127.0.0.1:9", **more}
        settings = {
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
            "http": {"addr": "127.0.0.1:0"},
            "gateway": {"v1": {"mirroring": mirroring}},
        }
        file.write_text(json.dumps(settings))
        program = [sys.executable, "-m", "portside.cli", "v1", str(file)]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0
        assert says in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


async def test_v2_sees_nothing_of_what_v1_mirrors(tmp_path: Path) -> None:
    image = make_image("seen-by-v1")
    with portside_v1(tmp_path / "source") as source:
        assert docker("1.5.0", source.port).push(NAME, "b", image).ok
        more = {"gateway": {"v1": {"mirroring": {"source": f"http://127.0.0.1:{source.port}"}}}}
        with (
            tempfile.TemporaryDirectory(prefix="ps-") as folder,
            running_portside(Form.TWO, Path(folder), more) as here,
        ):
            for version in ("1.5.0", "1.6.2", "1.9.1", "1.12.6"):
                pulled = Docker(version, here.address).pull(NAME, "b")
                assert (pulled.ok, pulled.protocol.endswith("v1")) == (True, True), (version, pulled.output)
            asking = Caller(here.address, "docker/29.0.0")
            assert asking.send("GET", "/v2/_catalog").body == b'{"repositories":[]}\n'
            assert asking.send("GET", f"/v2/{NAME}/tags/list").status == 404
            assert asking.send("GET", f"/v2/{NAME}/manifests/b").status == 404
            # Once somebody pushes there, both see the same.
            assert Docker("1.5.0", here.address).push(NAME, "mine", image).ok
            assert json.loads(asking.send("GET", f"/v2/{NAME}/tags/list").body)["tags"] == ["mine"]
            assert asking.send("GET", f"/v2/{NAME}/manifests/mine").status == 200


def test_what_v2_clients_pushed_to_the_source_is_mirrored_as_v1_sees_it_there(tmp_path: Path) -> None:
    image = make_image("pushed-by-v2")
    with tempfile.TemporaryDirectory(prefix="ps-") as folder, running_portside(Form.ONE, Path(folder)) as source:
        assert Docker("1.12.6", source.address).push(NAME, "b", image).protocol == "v2"
        expected = Docker("1.5.0", source.address).pull(NAME, "b").pulled[0].layers
        assert source.address.ca is not None
        place = f"https://localhost:{source.address.port}"
        with portside_v1(tmp_path / "mirror", source=place, ca=str(source.address.ca)) as mirror:
            pulled = docker("1.5.0", mirror.port).pull(NAME, "b")
            assert pulled.ok, pulled.output
            assert pulled.pulled[0].layers == expected
    with portside_v1(tmp_path / "mirror", source=AWAY) as mirror:
        assert docker("1.3.3", mirror.port).pull(NAME, "b").pulled[0].layers == expected
    assert_sound(tmp_path / "mirror" / "data")


def test_what_is_off_is_not_imported(tmp_path: Path) -> None:
    """A registry that is no mirror pays nothing for one."""
    code = (
        "import sys, asyncio\n"
        "from backends.v1.registry import Registry\nfrom backends.v1.settings import V1Settings\n"
        "from backends.registry.store import Store\nfrom backends.storage.factory import open_memory\n"
        "Registry(Store(open_memory()), V1Settings())\n"
        "print([name for name in sys.modules if 'mirror' in name or name.endswith('v1.elsewhere')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"
