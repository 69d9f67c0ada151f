"""Real clients that show a certificate, or log in with a token of an issuer as their password."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.real.conftest import Served, small_image
from tests.support.client_certificates import ClientAuthority, ClientFiles
from tests.support.containerd import Containerd
from tests.support.dockerd import Docker
from tests.support.issuer import AUDIENCE, Issuer
from tests.support.leftovers import OTHER_NAME
from tests.support.ocilayout import make_oci_layout
from tests.support.ports import free_port
from tests.support.programs import find_program

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

RULES = """
- {allow: pull, to: users, on: team/**}
- {allow: push, to: ["tls:alice"], on: team/**}
- {allow: push, to: users, on: team/**, claims: {repository_owner: acme}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A running Portside that takes certificates, and tokens of an issuer whose keys it has in a file."""

    host: str
    ca: Path
    clients: ClientAuthority
    issuer: Issuer
    layout: Path
    folder: Path
    log: Path

    def certificates(self, shown: ClientFiles | None) -> Path:
        """A folder as `certs.d` and `--cert-dir` want it."""
        place = self.folder / (shown.certificate.stem if shown is not None else "nobody")
        place.mkdir(exist_ok=True)
        shutil.copy(self.ca, place / "ca.crt")
        if shown is not None:
            shutil.copy(shown.certificate, place / "client.cert")
            shutil.copy(shown.key, place / "client.key")
        return place


@pytest.fixture(scope="module")
def site(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """By the name of `served`: to localhost, dockerd shows no certificate."""
    folder = tmp_path_factory.mktemp("identities")
    clients, ca = ClientAuthority(folder / "clients"), folder / "certs" / "ca.crt"
    issuer = Issuer("https://issuer.example", ca)
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    (folder / "rules.yml").write_text(RULES)
    port = free_port()
    gateway = {
        "addr": f":{port}",
        "certs": str(folder / "certs"),
        "names": [OTHER_NAME],
        "tls": {
            "clientcas": [str(clients.certificate)],
            "clientauth": "verify-client-cert-if-given",
        },
        "access": str(folder / "rules.yml"),
        "auth": {
            "certificates": {"prefix": "tls:"},
            "openid": {
                "issuer": issuer.url, "audience": AUDIENCE, "jwks": str(folder / "jwks.json"), "prefix": "ci:",
            },
        },
        **{each: {"addr": ""} for each in ("v1", "v2", "metrics")},
    }  # fmt: skip
    settings = folder / "portside.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    settings.write_text(yaml.safe_dump({"storage": storage, "gateway": gateway}))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "portside.cli", "serve", str(settings)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 30
        while b"access control: " not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Site(f"{OTHER_NAME}:{port}", ca, clients, issuer, make_oci_layout(folder / "in"), folder, log)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def ends(*command: str, home: Path, given: str = "") -> tuple[bool, str]:
    """Whether a program ends well, and what it says."""
    done = subprocess.run(
        [find_program(command[0]), *command[1:]],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home), "REGCTL_CONFIG": f"{home}/regctl.json",
            "SSL_CERT_FILE": str(home / "ca.pem"), "XDG_RUNTIME_DIR": str(home),
        },
        input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode == 0, done.stdout


@contextmanager
def shown_to_docker(site: Site, shown: ClientFiles | None) -> Iterator[None]:
    """What dockerd shows of certificates."""
    place = Path("/etc/docker/certs.d") / site.host
    shutil.copytree(site.certificates(shown), place)
    try:
        yield
    finally:
        shutil.rmtree(place)


@pytest.fixture
def alice(site: Site) -> ClientFiles:
    return site.clients.issue("CN=alice", file="alice")


@pytest.fixture
def bob(site: Site) -> ClientFiles:
    return site.clients.issue("CN=bob", file="bob")


@pytest.fixture
def home(site: Site, tmp_path: Path) -> Path:
    shutil.copy(site.ca, tmp_path / "ca.pem")
    return tmp_path


def test_docker_is_who_its_certificate_says(docker: Docker, site: Site, alice: ClientFiles, bob: ClientFiles) -> None:
    name = f"{site.host}/team/by-docker:1"
    small_image(docker, name)
    with shown_to_docker(site, None):
        assert "no basic auth credentials" in docker.run("push", name, check=False)
    with shown_to_docker(site, bob):
        assert "denied: tls:bob may not push team/by-docker" in docker.run("push", name, check=False)
    with shown_to_docker(site, alice):
        docker.run("push", name)
    docker.run("rmi", "-f", name)
    with shown_to_docker(site, bob):
        docker.run("pull", name)
    assert "tls:alice" in site.log.read_text()


def test_docker_logs_in_with_a_token_as_its_password(docker: Docker, site: Site, tmp_path: Path) -> None:
    config = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    name = f"{site.host}/team/by-job:1"
    small_image(docker, name)
    login = ("login", "-u", "token", site.host, "-p")
    with shown_to_docker(site, None):
        assert "unauthorized" in docker.run(*login, site.issuer.token(aud="other"), check=False, env=config).lower()
        docker.run(*login, site.issuer.token(), env=config)
        assert "denied: ci:alice may not push" in docker.run("push", name, check=False, env=config)
        docker.run(*login, site.issuer.token(repository_owner="acme"), env=config)
        docker.run("push", name, env=config)


def skopeo(site: Site, folder: Path) -> Sequence[str]:
    there = f"docker://{site.host}/team/by-skopeo:1"
    return "skopeo", "copy", "--dest-cert-dir", str(folder), f"oci:{site.layout}:one", there


def curl(site: Site, folder: Path) -> Sequence[str]:
    shown = ("--cert", f"{folder}/client.cert", "--key", f"{folder}/client.key")
    begin = ("-X", "POST", f"https://{site.host}/v2/team/x/blobs/uploads/")
    return "curl", "-sSf", "--cacert", f"{folder}/ca.crt", *(shown if (folder / "client.key").exists() else ()), *begin


@pytest.mark.parametrize("client", [skopeo, curl])
def test_clients_are_who_their_certificates_say(
    client: Callable[[Site, Path], Sequence[str]], site: Site, alice: ClientFiles, bob: ClientFiles, home: Path
) -> None:
    for shown, succeeds in ((alice, True), (bob, False), (None, False)):
        done, said = ends(*client(site, site.certificates(shown)), home=home)
        assert done is succeeds, said


def test_podman_is_who_its_certificate_says(
    site: Site, alice: ClientFiles, bob: ClientFiles, home: Path, short_folder: Path
) -> None:
    store = ("podman", "--root", f"{home}/root", "--runroot", str(short_folder), "--storage-driver", "vfs")
    name = f"{site.host}/team/by-podman:1"
    done, said = ends(*skopeo(site, site.certificates(alice)), home=home)
    assert done, said
    by_skopeo = f"{site.host}/team/by-skopeo:1"
    done, said = ends(*store, "pull", "--cert-dir", str(site.certificates(bob)), by_skopeo, home=home)
    assert done, said
    assert ends(*store, "tag", by_skopeo, name, home=home)[0]
    for shown, succeeds in ((bob, False), (None, False), (alice, True)):
        done, said = ends(*store, "push", "--cert-dir", str(site.certificates(shown)), name, home=home)
        assert done is succeeds, said


LOGINS = {
    "skopeo": ("skopeo", "login", "--cert-dir", "{certs}", "-u", "token", "--password-stdin", "{host}"),
    "podman": ("podman", "login", "--cert-dir", "{certs}", "-u", "token", "--password-stdin", "{host}"),
    "crane": ("crane", "auth", "login", "-u", "token", "--password-stdin", "{host}"),
    "oras": ("oras", "login", "--ca-file", "{certs}/ca.crt", "-u", "token", "--password-stdin", "{host}"),
    "regctl": ("regctl", "registry", "login", "-u", "token", "--pass-stdin", "{host}"),
}
PUSHES = {
    "skopeo": ("skopeo", "copy", "--dest-cert-dir", "{certs}", "oci:{layout}:one", "docker://{host}/team/skopeo:t"),
    "podman": ("skopeo", "copy", "--dest-cert-dir", "{certs}", "oci:{layout}:one", "docker://{host}/team/podman:t"),
    "crane": ("crane", "copy", "{host}/team/seed:t", "{host}/team/crane:t"),
    "oras": ("oras", "copy", "--to-ca-file", "{certs}/ca.crt", "--from-oci-layout", "{layout}:one",
             "{host}/team/oras:t"),
    "regctl": ("regctl", "image", "copy", "ocidir://{layout}:one", "{host}/team/regctl:t"),
}  # fmt: skip


@pytest.mark.parametrize("client", [*LOGINS])
def test_clients_log_in_with_a_token_as_their_password(client: str, site: Site, alice: ClientFiles, home: Path) -> None:
    seed = ("skopeo", "copy", "--dest-cert-dir", str(site.certificates(alice)), f"oci:{site.layout}:one")
    done, said = ends(*seed, f"docker://{site.host}/team/seed:t", home=home)
    assert done, said
    words = {"certs": str(site.certificates(None)), "host": site.host, "layout": str(site.layout)}
    login, push = ([each.format(**words) for each in table[client]] for table in (LOGINS, PUSHES))
    if client == "regctl":
        assert ends("regctl", "registry", "set", "--skip-check", "--cacert", site.ca.read_text(), site.host,
                    home=home)[0]  # fmt: skip
    assert not ends(*push, home=home)[0]
    for claims, succeeds in (({}, False), ({"repository_owner": "acme"}, True)):
        done, said = ends(*login, home=home, given=site.issuer.token(None, None, **claims))
        assert done, said
        done, said = ends(*push, home=home)
        assert done is succeeds, said
    done, said = ends(*login, home=home, given=site.issuer.token(exp=1))
    assert not done or client == "crane", said  # crane only writes it down


def test_containerd_is_who_its_certificate_says(
    containerd: Containerd, site: Site, alice: ClientFiles, bob: ClientFiles, home: Path
) -> None:
    done, said = ends(*skopeo(site, site.certificates(alice)), home=home)
    assert done, said
    hosts = home / "hosts"
    (hosts / site.host).mkdir(parents=True)
    for shown, succeeds in ((bob, True), (None, False)):
        folder = site.certificates(shown)
        client = f'client = [["{folder}/client.cert", "{folder}/client.key"]]\n' if shown is not None else ""
        (hosts / site.host / "hosts.toml").write_text(
            f'server = "https://{site.host}"\n[host."https://{site.host}"]\nca = "{folder}/ca.crt"\n{client}'
        )
        pull = ("images", "pull", "--snapshotter", "native", "--hosts-dir", str(hosts))
        said = containerd.ctr(*pull, f"{site.host}/team/by-skopeo:1", check=False)
        assert said.startswith("status ") is not succeeds, said
