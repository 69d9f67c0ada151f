"""Programs of today pull what Docker of ten years ago pushed, and the other way round: the same files on both sides."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.real.conftest import Served, trusted
from tests.support.archives import read_archive
from tests.support.bridge_cells import pull_by
from tests.support.bridge_pushes import PUSHES, Place
from tests.support.buildkit import BuildKit
from tests.support.containerd import Containerd
from tests.support.dockerd import Docker
from tests.support.images import make_built_image
from tests.support.ocilayout import make_oci_layout
from tests.support.programs import find_program
from tests.support.pullers import PROGRAMS, Puller
from tests.support.raw_push import push_v1_raw
from tests.support.seen import Seen, seen_in, seen_of

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

OLD_PUSHES: Final = (
    "v1 by Docker 1.0.1 (tars without end, empty layers of 23 bytes)",
    "v1 by Docker 1.5.0",
    "v1 with plain, bzip2 and xz layers, gzip in members",
    "schema 1 by Docker 1.6.2 (top twice)",
    "schema 1 by Docker 1.9.1",
)
OLD_CLIENTS: Final = ("1.0.1", "1.3.3", "1.5.0", "1.6.2", "1.7.1", "1.9.1", "1.10.3", "1.13.1", "18.09.9", "19.03.15")


def run(*command: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def new_name() -> str:
    return f"team/{uuid.uuid4().hex[:12]}"


# -- today's programs pull what was pushed then --------------------------------------------------------------------


@pytest.fixture(params=OLD_PUSHES)
def pushed_then(request: pytest.FixtureRequest, served: Served) -> tuple[str, Seen]:
    """A reference that an old client has pushed, and what it is to bring."""
    name = new_name()
    pushed = PUSHES[request.param](Place(served.address, name, "b"))
    assert pushed.image is not None
    return f"{served.host}/{name}:b", pushed.image


def test_docker_pulls_it(pushed_then: tuple[str, Seen], docker: Docker, served: Served, tmp_path: Path) -> None:
    reference, image = pushed_then
    with trusted(served.host, served.ca):
        docker.run("pull", reference)
    docker.run("save", "-o", str(tmp_path / "saved.tar"), reference)
    assert seen_in(read_archive(tmp_path / "saved.tar")) == image


def test_podman_pulls_it(pushed_then: tuple[str, Seen], served: Served, short_folder: Path) -> None:
    reference, image = pushed_then
    store = [find_program("podman"), "--root", str(short_folder / "root"), "--runroot", str(short_folder / "run")]
    store += ["--storage-driver", "vfs"]
    run(*store, "pull", "--cert-dir", str(served.certificates), f"docker://{reference}")
    run(*store, "save", "--format", "docker-archive", "-o", str(short_folder / "saved.tar"), reference)
    assert seen_in(read_archive(short_folder / "saved.tar")) == image


def test_skopeo_pulls_it(pushed_then: tuple[str, Seen], served: Served, tmp_path: Path) -> None:
    reference, image = pushed_then
    trust = ("--src-cert-dir", str(served.certificates))
    run(find_program("skopeo"), "copy", *trust, f"docker://{reference}", f"docker-archive:{tmp_path / 'saved.tar'}")
    assert seen_in(read_archive(tmp_path / "saved.tar")) == image


def test_crane_pulls_it(pushed_then: tuple[str, Seen], served: Served, tmp_path: Path) -> None:
    reference, image = pushed_then
    environment = {"SSL_CERT_FILE": str(served.ca), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    crane = find_program("crane")
    run(crane, "pull", reference, str(tmp_path / "saved.tar"), env=environment)
    pulled = read_archive(tmp_path / "saved.tar")
    assert seen_in(pulled) == image
    if all(layer.startswith(b"\x1f\x8b") for layer in pulled.layers):  # it calls plain layers invalid, whoever has them
        run(crane, "validate", "--remote", reference, env=environment)


def test_containerd_pulls_it(
    pushed_then: tuple[str, Seen], containerd: Containerd, served: Served, tmp_path: Path
) -> None:
    reference, image = pushed_then
    containerd.pull(reference, served.ca)
    containerd.export(reference, tmp_path / "saved.tar")
    assert seen_in(read_archive(tmp_path / "saved.tar")) == image


def test_crane_and_skopeo_pull_what_is_padded_with_zeros(served: Served, tmp_path: Path) -> None:
    """Go says "gzip: invalid header" of such a layer as it was pushed."""
    name = new_name()
    image = make_built_image(name)
    chain = image.v1_chain(final_newline=False, closing_blocks=True)
    push_v1_raw(served.address, name, "b", [replace(each, layer=each.layer + bytes(512)) for each in chain])
    reference = f"{served.host}/{name}:b"
    environment = {"SSL_CERT_FILE": str(served.ca), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    crane = find_program("crane")
    run(crane, "pull", reference, str(tmp_path / "crane.tar"), env=environment)
    run(crane, "validate", "--remote", reference, env=environment)
    trust = ("--src-cert-dir", str(served.certificates))
    run(find_program("skopeo"), "copy", *trust, f"docker://{reference}", f"docker-archive:{tmp_path / 'skopeo.tar'}")
    for saved in ("crane.tar", "skopeo.tar"):
        assert seen_in(read_archive(tmp_path / saved)) == seen_of(image)


# -- old clients pull what is pushed today --------------------------------------------------------------------------


def old_clients_get_it(served: Served, name: str) -> None:
    """Every release before 20.10 gets the image that containerd gets."""
    wanted = seen_in(Puller(PROGRAMS["containerd 2"], served.address).pull(name, "b"))
    for client in OLD_CLIENTS:
        got = pull_by(client, served.address, name, "b")
        assert got.pulled is not None, f"{client}: {got.said}: {got.refusal}"
        seen = seen_in(got.pulled)
        assert seen.tree == wanted.tree, client
        assert (seen.platform, seen.steps) == (wanted.platform, wanted.steps), client
        assert _set(seen.run) == _set(wanted.run), client


def _set(run: Mapping[str, object]) -> dict[str, object]:
    """Null and absent are one."""
    return {name: value for name, value in run.items() if value}


def context(folder: Path) -> Path:
    """What an image is built of."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        'FROM scratch\nENV A=1\nCOPY a /etc/a\nCOPY b /srv/b\nLABEL who="<me>"\nCMD ["/etc/a", "&"]\n'
    )
    for name in ("a", "b"):
        (folder / name).write_bytes(os.urandom(100_000))
    return folder


def test_pushed_by_docker(docker: Docker, served: Served, tmp_path: Path) -> None:
    name = new_name()
    with trusted(served.host, served.ca):
        docker.run("build", "-t", f"{served.host}/{name}:b", str(context(tmp_path / "c")), env={"DOCKER_BUILDKIT": "0"})
        docker.run("push", f"{served.host}/{name}:b")
    old_clients_get_it(served, name)


@pytest.mark.parametrize("options", [(), ("--format", "v2s2"), ("--compression-format", "zstd", "--format", "oci")])
@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_pushed_by_podman_and_buildah(
    program: str, options: tuple[str, ...], served: Served, short_folder: Path
) -> None:
    name = new_name()
    layout = make_oci_layout(short_folder / "in")
    tool = find_program(program)
    store = [tool, "--root", str(short_folder / "root"), "--runroot", str(short_folder / "run")]
    store += ["--storage-driver", "vfs"]
    image_id = run(*store, "pull", "-q", f"oci:{layout}:one").split()[-1]
    trust = ("--cert-dir", str(served.certificates))
    run(*store, "push", *trust, *options, image_id, f"docker://{served.host}/{name}:b")
    old_clients_get_it(served, name)


@pytest.mark.parametrize("options", [(), ("--format", "v2s2"), ("--dest-compress-format", "zstd")])
def test_pushed_by_skopeo_for_several_platforms(options: tuple[str, ...], served: Served, tmp_path: Path) -> None:
    name = new_name()
    layout = make_oci_layout(tmp_path / "in")
    copy = [find_program("skopeo"), "copy", "--all", *options, "--dest-cert-dir", str(served.certificates)]
    run(*copy, f"oci:{layout}:all", f"docker://{served.host}/{name}:b")
    old_clients_get_it(served, name)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_pushed_by_buildkit_with_attestations(
    compression: str, buildkit: BuildKit, served: Served, tmp_path: Path
) -> None:
    name = new_name()
    out = f"type=image,name={served.host}/{name}:b,push=true,oci-mediatypes=true,compression={compression}"
    out += ",force-compression=true"
    attest = ("--opt", "attest:provenance=mode=max", "--opt", "platform=linux/amd64,linux/arm64")
    buildkit.build(context(tmp_path / "c"), *attest, "--output", out)
    pulled = Puller(PROGRAMS["oras"], served.address)
    pulled.pull(name, "b")
    index = json.loads(next(each.response.body for each in pulled.exchanges if each.response))
    assert len(index["manifests"]) == 4
    old_clients_get_it(served, name)
