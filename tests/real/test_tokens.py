"""Real clients where anyone may pull and users may push: by Portside's own tokens, and by a token server's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backends.auth.token import TokenScheme
from backends.auth.token_settings import TokenSettings
from tests.support.certificate import make_certificate
from tests.support.containerd import Containerd
from tests.support.dockerd import Docker
from tests.support.gated import PASSWORD, Passwords, gated
from tests.support.ocilayout import make_oci_layout
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.token_server import TokenServer, running_token_server
from tests.support.tokens import ISSUER, SERVICE, libtrust_id, make_ec, make_rsa, public_pem

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

RULES = "- {allow: pull, to: anyone}\n- {allow: push, to: users}\n"
APP = "team/app"
ALL = ("pull", "push", "delete")


@dataclass(frozen=True, slots=True)
class Place:
    """A registry, with `team/app:t` in it.

    Attributes:
        host: where it is. The token server has the same host, by its name: crane refuses one by a private address, and
            oras one that is on this machine while the registry is not.
        layout: an OCI layout with the image `one`.
        folder: for what clients keep.
        ca: of the token server.
        server: the token server; None where the registry's own tokens are used.
    """

    host: str
    layout: Path
    folder: Path
    ca: Path
    server: TokenServer | None = None


Step = tuple[str, bool, Sequence[str]]
"""What is shown, whether it succeeds, and the command."""


async def run(place: Place, *command: str) -> tuple[int, str]:
    """Run a client; it trusts the token server, and keeps its logins in the place's folder."""

    def wait() -> tuple[int, str]:
        home = str(place.folder)
        environment = {**os.environ, "HOME": home, "SSL_CERT_FILE": str(place.ca)}
        done = subprocess.run(
            [find_program(command[0]), *command[1:]],
            env={**environment, "REGCTL_CONFIG": f"{home}/regctl.json", "XDG_RUNTIME_DIR": home},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    return await asyncio.to_thread(wait)


def crane(at: Place) -> Sequence[Step]:
    login = ("crane", "auth", "login", "-u", "alice", "-p", PASSWORD, at.host)
    image = str(at.folder / "image")
    return [
        ("pull by nobody", True, ("crane", "pull", "--format", "oci", f"{at.host}/{APP}:t", image)),
        ("push by nobody", False, ("crane", "push", image, f"{at.host}/{APP}:crane")),
        ("login", True, login),
        ("push", True, ("crane", "push", image, f"{at.host}/{APP}:crane")),
        ("mount", True, ("crane", "copy", f"{at.host}/{APP}:crane", f"{at.host}/team/other:crane")),
    ]


def skopeo(at: Place) -> Sequence[Step]:
    there, image = f"docker://{at.host}/{APP}", f"oci:{at.layout}:one"
    login = ("skopeo", "login", "--tls-verify=false", "-u", "alice", at.host, "-p")
    push = ("skopeo", "copy", "--dest-tls-verify=false", image, f"{there}:skopeo")
    return [
        ("pull by nobody", True, ("skopeo", "copy", "--src-tls-verify=false", f"{there}:t", f"dir:{at.folder}/pulled")),
        ("push by nobody", False, push),
        ("login by a wrong password", False, (*login, "wrong")),
        ("login", True, (*login, PASSWORD)),
        ("push", True, push),
    ]


def oras(at: Place) -> Sequence[Step]:
    image = f"{at.folder}/oras:t"
    login = ("oras", "login", "--plain-http", at.host, "-u", "alice", "-p")
    push = ("oras", "copy", "--from-oci-layout", image, "--to-plain-http", f"{at.host}/{APP}:oras")
    return [
        ("pull by nobody", True, ("oras", "copy", "--from-plain-http", f"{at.host}/{APP}:t", "--to-oci-layout", image)),
        ("push by nobody", False, push),
        ("login by a wrong password", False, (*login, "wrong")),
        ("login", True, (*login, PASSWORD)),
        ("push", True, push),
    ]


def regctl(at: Place) -> Sequence[Step]:
    image = f"ocidir://{at.folder}/regctl:t"
    login = ("regctl", "registry", "login", at.host, "-u", "alice", "-p")
    return [
        ("plain HTTP", True, ("regctl", "registry", "set", "--skip-check", "--tls", "disabled", at.host)),
        ("pull by nobody", True, ("regctl", "image", "copy", f"{at.host}/{APP}:t", image)),
        ("push by nobody", False, ("regctl", "image", "copy", image, f"{at.host}/{APP}:regctl")),
        ("login", True, (*login, PASSWORD)),
        ("push", True, ("regctl", "image", "copy", image, f"{at.host}/{APP}:regctl")),
    ]


def podman(at: Place) -> Sequence[Step]:
    store = ("podman", "--root", f"{at.folder}/root", "--runroot", f"{at.folder}/run", "--storage-driver", "vfs")
    pushed = f"{at.host}/{APP}:podman"
    login = (*store, "login", "--tls-verify=false", "-u", "alice", at.host, "-p")
    return [
        ("pull by nobody", True, (*store, "pull", "--tls-verify=false", f"{at.host}/{APP}:t")),
        ("tag", True, (*store, "tag", f"{at.host}/{APP}:t", pushed)),
        ("push by nobody", False, (*store, "push", "--tls-verify=false", pushed)),
        ("login by a wrong password", False, (*login, "wrong")),
        ("login", True, (*login, PASSWORD)),
        ("push", True, (*store, "push", "--tls-verify=false", pushed)),
    ]


@contextlib.asynccontextmanager
async def own_tokens(folder: Path) -> AsyncIterator[Place]:
    """A registry that gives tokens itself."""
    ca = make_certificate(folder).ca
    async with gated(Passwords(), rules=RULES, has_tokens=True) as here:
        layout = make_oci_layout(folder / "layout")
        place = Place(f"localhost:{here.v2.port}", layout, folder, ca)
        await push(place, here.open.authority)
        yield place


@contextlib.asynccontextmanager
async def token_server(folder: Path, *, by_rsa: bool = False, plain: bool = False) -> AsyncIterator[Place]:
    """A registry that has a token server."""
    key = make_rsa() if by_rsa else make_ec()
    server = TokenServer(
        key,
        {"alice": PASSWORD},
        {"": ["pull"], "alice": ALL},
        algorithm="RS256" if by_rsa else "ES256",
        header={"kid": libtrust_id(key)} if by_rsa else None,
    )
    files = make_certificate(folder)
    (folder / "keys.pem").write_bytes(public_pem(key))
    async with running_token_server(server, None if plain else files):
        scheme = TokenScheme(TokenSettings(server.realm, SERVICE, ISSUER, folder / "keys.pem"))
        async with gated(scheme) as here:
            layout = make_oci_layout(folder / "layout")
            place = Place(f"localhost:{here.v2.port}", layout, folder, files.ca, server)
            await push(place, here.open.authority)
            yield place


@contextlib.asynccontextmanager
async def token_server_with_rsa(folder: Path) -> AsyncIterator[Place]:
    """The same with an RSA key, by its name in distribution 2."""
    async with token_server(folder, by_rsa=True) as place:
        yield place


@contextlib.asynccontextmanager
async def plain_token_server(folder: Path) -> AsyncIterator[Place]:
    """The same without TLS: daemons trust nobody's authority for a realm but the system's."""
    async with token_server(folder, plain=True) as place:
        yield place


async def push(place: Place, host: str) -> None:
    """Push `team/app:t`, where nobody asks who one is."""
    copy = ("skopeo", "copy", "--dest-tls-verify=false", f"oci:{place.layout}:one", f"docker://{host}/{APP}:t")
    status, said = await run(place, *copy)
    assert status == 0, said


@pytest.mark.parametrize("client", [crane, skopeo, oras, regctl, podman])
@pytest.mark.parametrize("kind", [own_tokens, token_server, token_server_with_rsa])
async def test_nobody_pulls_and_a_user_pushes(
    kind: Callable[[Path], contextlib.AbstractAsyncContextManager[Place]],
    client: Callable[[Place], Sequence[Step]],
    tmp_path: Path,
    short_folder: Path,
) -> None:
    find_program("skopeo")
    find_program(client.__name__)
    async with kind(tmp_path) as place:
        for what, succeeds, command in client(replace(place, folder=short_folder)):
            status, said = await run(replace(place, folder=short_folder), *command)
            assert (status == 0) == succeeds, f"{what}: {' '.join(command)}\n{said}"


async def test_distributions_own_token_server_says_who_may_what(tmp_path: Path) -> None:
    """Its tokens have no `kid`: the header's `jwk` says which of the configured keys signed them."""
    program, key, files = find_program("token-server"), make_ec(), make_certificate(tmp_path)
    (tmp_path / "keys.pem").write_bytes(public_pem(key))
    (tmp_path / "signing.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    (tmp_path / "passwd").write_text(f"alice:{hashed}\n")
    port = free_port()
    command = [program, "-addr", f"localhost:{port}", "-issuer", ISSUER, "-realm", "users", "-debug"]
    command += ["-key", str(tmp_path / "signing.pem"), "-passwd", str(tmp_path / "passwd")]
    command += ["-tlscert", str(files.chain), "-tlskey", str(files.key)]
    realm = f"https://localhost:{port}/token/"
    scheme = TokenScheme(TokenSettings(realm, SERVICE, ISSUER, tmp_path / "keys.pem"))
    with running(command, tmp_path / "log", port=port):
        async with gated(scheme) as here:
            host = f"localhost:{here.v2.port}"
            place = Place(host, make_oci_layout(tmp_path / "layout"), tmp_path, files.ca)
            copy = ("skopeo", "copy", "--dest-tls-verify=false", f"oci:{place.layout}:one")
            status, said = await run(place, *copy, f"docker://{host}/alice/app:t")
            assert status != 0, said
            status, said = await run(
                place, "skopeo", "login", "--tls-verify=false", "-u", "alice", "-p", PASSWORD, host
            )
            assert status == 0, said
            status, said = await run(place, *copy, f"docker://{host}/alice/app:t")
            assert status == 0, said
            status, said = await run(place, *copy, f"docker://{host}/team/app:t")
            assert status != 0, said
            status, said = await run(place, "crane", "catalog", "--insecure", host)
            assert (status, said.strip()) == (0, "alice/app")


@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("kind", [own_tokens, plain_token_server])
async def test_containerd_asks_by_post_first_and_then_as_everybody(
    kind: Callable[[Path], contextlib.AbstractAsyncContextManager[Place]], containerd: Containerd, tmp_path: Path
) -> None:
    async with kind(tmp_path) as place:
        for user in ((), ("--user", f"alice:{PASSWORD}")):
            words = ("images", "pull", "--plain-http", "--snapshotter", "native", *user, f"{place.host}/{APP}:t")
            await asyncio.to_thread(containerd.ctr, *words)
        pushed = ("images", "push", "--plain-http", f"{place.host}/{APP}:ctr", f"{place.host}/{APP}:t")
        assert "status" in await asyncio.to_thread(lambda: containerd.ctr(*pushed, check=False))
        with_user = (*pushed[:2], "--user", f"alice:{PASSWORD}", *pushed[2:])
        await asyncio.to_thread(containerd.ctr, *with_user)
        if place.server is not None:
            assert set(place.server.methods) == {"GET", "POST"}


@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("kind", [own_tokens, plain_token_server])
async def test_docker_pulls_without_a_login_and_pushes_after_one(
    kind: Callable[[Path], contextlib.AbstractAsyncContextManager[Place]], docker: Docker, tmp_path: Path
) -> None:
    async with kind(tmp_path) as place:
        env = {"DOCKER_CONFIG": str(tmp_path)}

        async def ask(*words: str) -> str:
            return await asyncio.to_thread(lambda: docker.run(*words, check=False, env=env))

        image, pushed = f"{place.host}/{APP}:t", f"{place.host}/{APP}:docker"
        assert not (await ask("pull", image)).startswith("status")
        assert not (await ask("tag", image, pushed)).startswith("status")
        assert (await ask("push", pushed)).startswith("status")
        assert (await ask("login", "-u", "alice", "-p", "wrong", place.host)).startswith("status")
        assert "Login Succeeded" in await ask("login", "-u", "alice", "-p", PASSWORD, place.host)
        assert not (await ask("push", pushed)).startswith("status")
        await ask("rmi", image, pushed)
