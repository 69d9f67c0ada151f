"""docs/access-control.md, typed as it stands there, by real clients; and what it says that they print."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.real.conftest import ROOT, Served, small_image
from tests.support.dockerd import Docker
from tests.support.leftovers import FOLDER
from tests.support.pages import FENCE, block
from tests.support.ports import free_port
from tests.support.programs import CACHE, find_program
from tests.support.readme import steps, try_shell

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

PAGE = "docs/access-control.md"
APP = "localhost:5000/team/app"
TYPED = {
    "sh team", "sh clients", "sh rules", "sh kubernetes", "sh kubernetes pulls",
    "sh container", "sh compose",  # by test_image.py and test_compose.py
    "sh",  # nginx's, by test_behind_proxies.py
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder in which the page's commands are typed; `make`, `sudo` and the port 5000 are its own."""

    folder: Path
    port: int
    variables: dict[str, str]

    def type(self, command: str, given: str = "") -> tuple[int, str]:
        """Runs a command, with what its prompt is answered with; returns its status and all that it printed."""
        here = command.replace("localhost:5000", f"localhost:{self.port}")
        if given:
            here = f"printf '%s\\n' {given} | {here}"
        status, printed = try_shell(here, self.folder, environment=self.variables)
        return status, printed.replace(f"localhost:{self.port}", "localhost:5000")

    def typed(self, command: str, given: str = "") -> str:
        status, printed = self.type(command, given)
        assert status == 0, f"{command} ended with {status}:\n{printed}"
        return printed

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[Path]:
        """Types a command that serves until the end of the block; yields its log."""
        log = self.folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-ec", command], cwd=self.folder, env=self.variables, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while b"curl --cacert" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


@pytest.fixture
def desk(served: Served, docker: Docker) -> Iterator[Desk]:
    """`served` goes before all that asks dockerd for a name: a Go program looks at /etc/hosts once in five seconds."""
    folder, port = FOLDER / "access", free_port()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    make = [find_program("make"), "-f", str(ROOT / "Makefile"), "-o", f"{sys.prefix}/.run", f"VENV={sys.prefix}"]
    for name, script in {"sudo": 'exec "$@"', "make": f'exec {" ".join(make)} "$@" ARGS="--addr [::]:{port}"'}.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    kept = {name: value for name, value in docker.environment().items() if not name.startswith(("REGISTRY_", "MAKE"))}
    path = f"{folder / 'bin'}:/usr/bin:{CACHE / 'bin'}:{os.environ['PATH']}"
    own = {
        "HOME": str(folder / "home"),
        "DOCKER_CONFIG": str(folder / "home" / ".docker"),
        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),  # podman's and skopeo's, which are root's otherwise
        "SSL_CERT_FILE": str(folder / "certs" / "ca.crt"),
        "PYTHONPATH": str(ROOT),
        "KUBECONFIG": "/dev/null",
        "PATH": path,
    }
    places = [Path(f"/etc/{each}/certs.d/localhost:{port}") for each in ("docker", "containers")]
    try:
        yield Desk(folder, port, {**kept, **own})
    finally:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def trust(desk: Desk) -> None:
    for each in ("docker", "containers"):
        desk.typed(f"sudo install -D -m 644 certs/ca.crt /etc/{each}/certs.d/localhost:5000/ca.crt")


def said(page: str, printed: str) -> None:
    """Asserts that a part of what the page's table has in backticks is what a program has printed."""
    parts = [
        part
        for row in re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
        for each in re.findall(r"`([^`]+)`", row)
        for part in each.split(" … ")
    ]
    assert [each for each in parts if each.removesuffix(" …") in printed], printed


def test_every_block_of_commands_is_typed_by_a_test() -> None:
    found = {words for words, _ in FENCE.findall((ROOT / PAGE).read_text()) if words.split()[:1] == ["sh"]}
    assert found == TYPED


def test_my_team_and_one_file_of_users(docker: Docker, desk: Desk) -> None:
    page = (ROOT / PAGE).read_text()
    make_user, serve = steps("sh users")
    assert [each.words for each in (make_user, serve)] == [each.words for each in steps("sh team", PAGE)]
    assert "alice was added" in desk.typed(make_user.words, "secret")
    login, push, podman, skopeo, crane, listed = (each.words for each in steps("sh clients", PAGE))
    try:
        with desk.serving(serve.words) as log:
            trust(desk)
            small_image(docker, f"localhost:{desk.port}/team/app")
            for refused in (push, f"docker pull {APP}", skopeo, listed):
                status, printed = desk.type(refused)
                assert status != 0, refused
                if refused != skopeo:
                    said(page, printed.replace("UNAUTHORIZED", "unauthorized"))
            for asked in (login, podman):
                typed = asked.replace(" login ", " login --password-stdin ")
                status, printed = desk.type(typed, "wrong")
                assert status != 0
                said(page, printed)
                assert "Login Succeeded" in desk.typed(typed, "secret")
            desk.typed(push)
            assert '"Digest"' in desk.typed(skopeo)
            desk.typed(crane, "secret")
            assert desk.typed(listed).split()[-1] == "latest"
            text = log.read_text()
            assert re.search(r'level=info msg="alice at \S+ logged in \(htpasswd, docker/', text)
            wrong = r'level=warning msg="wrong credentials for alice from \S+, to log in: wrong user or password \(htpa'
            assert re.search(wrong, text)
            assert "secret" not in text
    finally:
        docker.run("rmi", "-f", f"localhost:{desk.port}/team/app", check=False)


def test_everybody_pulls_and_the_team_pushes(docker: Docker, desk: Desk) -> None:
    (desk.folder / "access.yml").write_text(block(PAGE, "yaml", "rules"))
    check, explain, serve = (each.words for each in steps("sh rules", PAGE))
    assert "anyone: may pull every repository (line 2)" in desk.typed(check)
    assert re.search(r"^answer: +allowed\n", desk.typed(explain), re.MULTILINE)
    desk.typed(".venv/bin/portside htpasswd users alice", "secret")
    try:
        with desk.serving(serve) as log:
            trust(desk)
            small_image(docker, f"localhost:{desk.port}/team/app")
            status, printed = desk.type(f"docker push {APP}")
            assert (status, "unauthorized: authentication required" in printed) == (1, True), printed
            desk.typed("docker login -u alice --password-stdin localhost:5000", "secret")
            desk.typed(f"docker push {APP}")
            desk.typed("docker logout localhost:5000")
            desk.typed(f"docker rmi {APP}")
            desk.typed(f"docker pull {APP}")
            assert '"Digest"' in desk.typed(f"skopeo inspect docker://{APP}")
            status, printed = desk.type(f"skopeo delete --creds alice:secret docker://{APP}")
            assert status == 1
            assert "alice may not delete team/app" in printed
            assert (
                "alice at ::1 was refused to delete team/app: no rule allows alice to delete team/app (htpasswd, "
                in (log.read_text().replace("at 127.0.0.1 ", "at ::1 "))
            )
    finally:
        docker.run("rmi", "-f", f"localhost:{desk.port}/team/app", check=False)


def test_kubernetes_starts_it_with_users_and_rules_and_pulls_by_its_secret(desk: Desk) -> None:
    """Without a cluster: what kubectl makes of the page's files, and Portside with just these variables and files."""
    find_program("kubectl")
    (desk.folder / "access.yml").write_text(block(PAGE, "yaml", "rules").replace("anyone", "users"))
    (desk.folder / "password").write_text("secret")
    (desk.folder / "access.yaml").write_text(block(PAGE, "yaml", "kubernetes"))
    pod = next(
        each
        for each in yaml.safe_load_all(block("docs/kubernetes.md", "yaml", "kubernetes"))
        if each["kind"] == "Deployment"
    )
    (desk.folder / "portside.yaml").write_text(yaml.safe_dump(pod))
    desk.typed(".venv/bin/portside htpasswd users alice", "secret")
    secret, patch = (each.words for each in steps("sh kubernetes", PAGE))
    made = yaml.safe_load(desk.typed(f"{secret} --dry-run=client -o yaml"))
    local = patch.replace("deployment portside", "--local -f portside.yaml") + " -o yaml"
    spec = yaml.safe_load(desk.typed(local))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert {each["name"] for each in container["volumeMounts"]} > {"data", "access"}
    (volume,) = [each for each in spec["volumes"] if each["name"] == "access"]
    assert volume["secret"] == {"secretName": made["metadata"]["name"], "defaultMode": 0o440}
    mounted = desk.folder / "mounted"
    mounted.mkdir()
    for name, content in made["data"].items():
        (mounted / name).write_bytes(base64.b64decode(content))
    variables = {each["name"]: each["value"].replace("/access/", f"{mounted}/") for each in container["env"]}
    given = " ".join(f"{name}='{value}'" for name, value in variables.items())

    pull_secret, account = (each.words for each in steps("sh kubernetes pulls", PAGE))
    shown = "-o jsonpath='{.data.\\.dockerconfigjson}'"
    text = desk.typed(f"{pull_secret} --dry-run=client {shown}".replace("registry.example", "localhost:5000"))
    known = base64.b64decode(text).decode().replace("localhost:5000", f"localhost:{desk.port}")
    assert json.loads(account.partition(" -p ")[2].strip("'")) == {"imagePullSecrets": [{"name": "portside-pull"}]}
    place = Path(desk.variables["DOCKER_CONFIG"])
    place.mkdir(parents=True)
    with desk.serving(f"{given} make run") as log:
        assert f"access control: htpasswd; rules in {mounted}/access.yml" in log.read_text()
        (place / "config.json").write_text("{}")
        refused = "crane manifest localhost:5000/team/app:1"
        assert "UNAUTHORIZED" in desk.type(refused)[1]
        (place / "config.json").write_text(known)
        assert "MANIFEST_UNKNOWN" in desk.type(refused)[1] or "NAME_UNKNOWN" in desk.type(refused)[1]
