"""Volumes exchanged with Debian's docker-registry, both ways: what one wrote the other serves, to the byte."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import portside as command
from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.ocilayout import make_oci_layout
from tests.support.portside import Form, running_portside
from tests.support.programs import docker_registry, find_program
from tests.support.v1_volumes import pushed_by, write_images, write_tags
from tests.support.wire import Address

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SCHEMA1_CLIENTS = ("1.6.2", "1.7.1", "1.9.1")
SCHEMA2_CLIENTS = ("1.10.3", "20.10.24")


def fill(address: Address, folder: Path) -> dict[str, str]:
    """Pushes every kind of image: schema 1, schema 2, OCI, list and index. Returns the digests."""
    digests: dict[str, str] = {}
    for version in (*SCHEMA1_CLIENTS, *SCHEMA2_CLIENTS):
        pushed = Docker(version, address).push(f"team/by-{version}", "b", make_image(f"team/by-{version}"))
        assert pushed.ok, pushed.output
        assert pushed.digests is not None
        digests[f"team/by-{version}:b"] = pushed.digests["b"]
    layout = make_oci_layout(folder / "layout")
    for form, reference, tag in (("oci", "one", "oci"), ("oci", "all", "index"), ("v2s2", "all", "list")):
        target = f"docker://{address.netloc}/team/modern:{tag}"
        trust = trusting(address, "dest-", folder)
        skopeo("copy", "--all", "--format", form, *trust, f"oci:{layout}:{reference}", target)
        digests[f"team/modern:{tag}"] = inspect(address, f"team/modern:{tag}", folder)
    return digests


def check(address: Address, digests: dict[str, str], folder: Path) -> None:
    """Everything is there, by the same digests, and is pulled whole by the clients that pushed it, and by skopeo."""
    for version in (*SCHEMA1_CLIENTS, *SCHEMA2_CLIENTS):
        pulled = Docker(version, address).pull(f"team/by-{version}", "b")
        assert pulled.ok, pulled.output
        image = make_image(f"team/by-{version}")
        assert pulled.pulled[0].layers == tuple(layer.packed for layer in image.layers)
        assert pulled.pulled[0].digest == digests[f"team/by-{version}:b"]
    for number, (reference, digest) in enumerate(digests.items()):
        source = f"docker://{address.netloc}/{reference}"
        skopeo("copy", "--all", *trusting(address, "src-", folder), source, f"dir:{folder / f'{number}.pulled'}")
        if not reference.startswith(tuple(f"team/by-{version}:" for version in SCHEMA1_CLIENTS)):
            assert inspect(address, reference, folder) == digest  # a schema 1 digest leaves the signatures out


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        [find_program("skopeo"), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def trusting(address: Address, side: str, folder: Path) -> list[str]:
    """What makes skopeo trust our CA; Debian's docker-registry speaks plain HTTP here."""
    if address.ca is None:
        return [f"--{side}tls-verify=false"]
    place = folder / "trust"
    place.mkdir(exist_ok=True)
    shutil.copy(address.ca, place / "ca.crt")
    return [f"--{side}cert-dir", str(place)]


def inspect(address: Address, reference: str, folder: Path) -> str:
    raw = skopeo("inspect", "--raw", *trusting(address, "", folder), f"docker://{address.netloc}/{reference}")
    return f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"


@contextlib.contextmanager
def portside_on(folder: Path) -> Iterator[Address]:
    with running_portside(Form.ONE, folder) as portside:
        yield portside.address


def test_it_serves_what_we_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    with portside_on(folder) as address:
        digests = fill(address, tmp_path)
    with docker_registry(folder) as address:
        check(address, digests, tmp_path)


def test_we_serve_what_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    with docker_registry(folder) as address:
        digests = fill(address, tmp_path)
    with portside_on(folder) as address:
        check(address, digests, tmp_path)


def test_its_garbage_collector_passes_over_what_is_ours(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    with portside_on(folder) as address:
        digests = fill(address, tmp_path)
        old = Docker("1.5.0", address).push("team/old", "b", make_image("team/old"))
        assert old.ok
    with docker_registry(folder):
        pass  # writes its settings file
    done = subprocess.run(
        [find_program("docker-registry"), "garbage-collect", str(folder / "registry.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with portside_on(folder) as address:
        check(address, digests, tmp_path)
        assert Docker("1.5.0", address).pull("team/old", "b").ok


def test_it_serves_and_collects_around_what_was_migrated_from_v1(tmp_path: Path) -> None:
    """Images that Docker 1.0 to 1.5 pushed, as schema 2 of an ordinary volume: `-m` leaves all that has a tag."""
    root = tmp_path / "data"
    for version in ("1.0.1", "1.5.0"):
        images = pushed_by(version)
        write_images(root, images)
        write_tags(root, f"team/by-{version}", {"b": images[-1].id})
    for what in ("run", "verify"):
        done = command("migrate", what, "--data", root, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    with docker_registry(tmp_path) as address:
        digests = {f"team/by-{version}:b": "" for version in ("1.0.1", "1.5.0")}
        for number, reference in enumerate(digests):
            digests[reference] = inspect(address, reference, tmp_path)
            source = f"docker://{address.netloc}/{reference}"
            skopeo("copy", *trusting(address, "src-", tmp_path), source, f"dir:{tmp_path / f'{number}.first'}")
    collect = [find_program("docker-registry"), "garbage-collect", "-m", str(tmp_path / "registry.yml")]
    subprocess.run(collect, capture_output=True, check=True)
    with docker_registry(tmp_path) as address:
        for number, (reference, digest) in enumerate(digests.items()):
            assert inspect(address, reference, tmp_path) == digest
            source = f"docker://{address.netloc}/{reference}"
            skopeo("copy", *trusting(address, "src-", tmp_path), source, f"dir:{tmp_path / f'{number}.again'}")
    for version in ("1.0.1", "1.5.0"):
        for image in pushed_by(version):
            assert (root / f"images/{image.id}/layer").read_bytes() == image.layer
    assert command("migrate", "verify", "--data", root, folder=tmp_path).returncode == 0
