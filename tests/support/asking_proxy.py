"""A proxy that asks clients itself who they are: their credentials end there, and its own go to the registry.

Its users are alice and bob, whose passwords are their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import bcrypt
import yaml

from tests.support.commands import RunningCommand, running_command
from tests.support.gated import basic
from tests.support.ports import free_port
from tests.support.programs import DISTRIBUTION, find_program, running
from tests.support.serving_here import OCI_MANIFEST, OCTETS, Answer, Client, digest_of

RULES = """
- {allow: pull, to: anyone, on: public/*}
- {allow: pull, to: users, on: team/*}
- {allow: [push, delete], to: alice}
"""
PASSWORD = "behind the proxy"
"""The proxy's own."""
_CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


def hashed(password: str) -> str:
    """A password as distribution wants it in its file."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def me(name: str) -> dict[str, str]:
    """The header of a user of the proxy."""
    return basic(name, name)


@dataclass(frozen=True, slots=True)
class Site:
    """A registry that one user may use, and what a proxy in front of it is told.

    Attributes:
        folder: for all files.
        upstream: where the registry is.
        api: what it speaks; of v1 there are no rules.
    """

    folder: Path
    upstream: str
    api: Literal["v1", "v2"] = "v2"

    @property
    def password(self) -> Path:
        return self.folder / "password"

    @property
    def credentials(self) -> dict[str, Any]:
        return {"user": "portside", "passwordfile": str(self.password)}

    def settings(self, **credentials: Any) -> dict[str, Any]:
        rules = {"access": str(self.folder / "rules.yml")} if self.api == "v2" else {}
        return {
            "http": {"addr": "127.0.0.1:0", "secret": "of the proxies"},
            "gateway": {
                "workers": 2,
                "auth": {"htpasswd": {"realm": "front", "path": str(self.folder / "front.htpasswd")}},
                self.api: {"upstream": self.upstream, "credentials": credentials or self.credentials},
                **rules,
            },
        }

    def write(self, settings: dict[str, Any] | None = None) -> Path:
        """Writes the proxy's files, but for rules and a password that are there."""
        (self.folder / "front.htpasswd").write_text("".join(f"{each}:{hashed(each)}\n" for each in ("alice", "bob")))
        for path, content in ((self.folder / "rules.yml", RULES), (self.password, f"{PASSWORD}\n")):
            if not path.exists():
                path.write_text(content)
        path = self.folder / "proxy.yml"
        path.write_text(yaml.safe_dump(settings or self.settings()))
        return path

    @contextmanager
    def proxy(self, settings: dict[str, Any] | None = None) -> Iterator[tuple[RunningCommand, Client]]:
        with running_command("proxy", self.write(settings), folder=self.folder) as command:
            yield command, Client("127.0.0.1", command.port("proxy"))


@contextmanager
def running_distribution(edition: str, folder: Path, auth: Mapping[str, Any]) -> Iterator[str]:
    """Runs distribution with access control; yields its address."""
    program, port = find_program(DISTRIBUTION[edition]), free_port()
    config = folder / "behind.yml"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": dict(auth),
    }
    config.write_text(yaml.safe_dump(settings))
    with running([program, "serve", str(config)], folder / "behind.log", port=port):
        yield f"http://127.0.0.1:{port}"


async def push(client: Client, name: str, *, content: bytes = b"layer", mount: str = "") -> Answer:
    """Pushes an image of one layer as alice, with the tag 1; `mount` is a repository that has its blobs."""
    for blob in (_CONFIG, content):
        query = f"?mount={digest_of(blob)}&from={mount}" if mount else ""
        begun = await client.ask("POST", f"/v2/{name}/blobs/uploads/{query}", me("alice"))
        if mount:
            assert begun.status == 201, begun
            continue
        assert begun.status == 202, begun
        mark = "&" if "?" in begun.path else "?"
        target = f"{begun.path}{mark}digest={digest_of(blob)}"
        put = await client.ask("PUT", target, {**me("alice"), **OCTETS}, body=blob)
        assert put.status == 201, put
    config, layer = (
        f'"size":{len(blob)},"digest":"{digest_of(blob)}","mediaType":"application/vnd.oci.image.{kind}"'
        for blob, kind in ((_CONFIG, "config.v1+json"), (content, "layer.v1.tar"))
    )
    manifest = f'{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{{config}}},"layers":[{{{layer}}}]}}'
    head = {**me("alice"), "Content-Type": OCI_MANIFEST}
    return await client.ask("PUT", f"/v2/{name}/manifests/1", head, body=manifest.encode())
