"""skopeo, podman and buildah against :5000, the CA trusted through `--cert-dir`."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.real.conftest import Served, trusted
from tests.support.ocilayout import make_oci_layout
from tests.support.programs import find_program

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]


def run(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def new_name(served: Served, tool: str) -> str:
    return f"{served.host}/team/by-{tool}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_copies_there_and_back(form: str, served: Served, tmp_path: Path) -> None:
    skopeo = find_program("skopeo")
    layout = make_oci_layout(tmp_path / "in")
    target = f"docker://{new_name(served, 'skopeo')}:a"
    run(skopeo, "copy", "--format", form, "--dest-cert-dir", str(served.certificates), f"oci:{layout}:one", target)
    inspected = json.loads(run(skopeo, "inspect", "--raw", "--cert-dir", str(served.certificates), target))
    wanted = "oci.image.manifest.v1" if form == "oci" else "docker.distribution.manifest.v2"
    assert wanted in inspected["mediaType"]
    run(skopeo, "copy", "--src-cert-dir", str(served.certificates), target, f"dir:{tmp_path / 'out'}")
    for layer in inspected["layers"]:
        assert (tmp_path / "out" / layer["digest"].partition(":")[2]).stat().st_size == layer["size"]


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_copies_an_index_with_all_its_images(form: str, served: Served, tmp_path: Path) -> None:
    skopeo = find_program("skopeo")
    layout = make_oci_layout(tmp_path / "in")
    target = f"docker://{new_name(served, 'index')}:a"
    copy = [skopeo, "copy", "--all", "--format", form]
    run(*copy, "--dest-cert-dir", str(served.certificates), f"oci:{layout}:all", target)
    raw = json.loads(run(skopeo, "inspect", "--raw", "--cert-dir", str(served.certificates), target))
    assert len(raw["manifests"]) == 2
    run(skopeo, "copy", "--all", "--src-cert-dir", str(served.certificates), target, f"dir:{tmp_path / 'out'}")


def test_deletion_is_refused_until_it_is_configured(served: Served, tmp_path: Path) -> None:
    skopeo = find_program("skopeo")
    layout = make_oci_layout(tmp_path / "in")
    target = f"docker://{new_name(served, 'delete')}:a"
    run(skopeo, "copy", "--dest-cert-dir", str(served.certificates), f"oci:{layout}:one", target)
    done = subprocess.run(
        [skopeo, "delete", "--cert-dir", str(served.certificates), target], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "unsupported" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman_and_buildah_push_and_pull(program: str, served: Served, short_folder: Path) -> None:
    layout = make_oci_layout(short_folder / "in")
    store = [find_program(program), "--root", str(short_folder / "root"), "--runroot", str(short_folder / "run")]
    store += ["--storage-driver", "vfs"]
    trust = ["--cert-dir", str(served.certificates)]
    name = new_name(served, program)
    image_id = run(*store, "pull", "-q", f"oci:{layout}:one").split()[-1]
    run(*store, "push", *trust, image_id, f"docker://{name}:a")
    run(*store, "push", *trust, "--format", "v2s2", image_id, f"docker://{name}:b")
    run(*store, "rmi", "-f", image_id)
    for tag in ("a", "b"):
        run(*store, "pull", *trust, f"docker://{name}:{tag}")
    if program == "podman":
        with trusted(served.host, served.ca, Path("/etc/containers/certs.d")):  # search takes no --cert-dir
            found = run(*store, "search", "--limit", "5", f"{served.host}/{name.rpartition('/')[2]}")
            everything = run(*store, "search", "--limit", "100", f"{served.host}/")
        assert [line.split()[0] for line in found.splitlines()[1:]] == [name]
        assert name in everything


def test_crane_copies_and_lists(served: Served, tmp_path: Path) -> None:
    crane = find_program("crane")
    layout = make_oci_layout(tmp_path / "in")
    name = new_name(served, "crane")
    environment = {"SSL_CERT_FILE": str(served.ca), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def crane_run(*arguments: str) -> str:
        return subprocess.run(
            [crane, *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    crane_run("push", str(layout), f"{name}:a", "--index")
    crane_run("copy", f"{name}:a", f"{name}-copy:b")
    assert crane_run("ls", f"{name}-copy").split() == ["b"]
    assert crane_run("digest", f"{name}:a") == crane_run("digest", f"{name}-copy:b")
    assert f"{name.partition('/')[2]}-copy" in crane_run("catalog", served.host)
