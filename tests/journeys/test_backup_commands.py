"""The commands of `docs/backup.md` that copy a volume in use: what the copy serves is whole, conversions too."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from tests.support.bridge_cells import check_image, pull_by
from tests.support.bridge_pushes import PUSHES, Place, Pushed
from tests.support.http_calls import Caller
from tests.support.pages import blocks
from tests.support.portside import Form, running_portside
from tests.support.programs import find_program
from tests.support.readme import run_shell
from tests.support.wire import Address

KINDS = ("v1 by Docker 1.5.0", "schema 1 by Docker 1.9.1", "OCI index with attestations, zstd")
CLIENTS = ("1.0.1", "1.9.1", "containerd 2")


def commands() -> list[str]:
    """The commands, one a line, without the line that says from where and where to."""
    (found,) = [each.text for each in blocks("sh", Path("docs/backup.md")) if "from=/var/lib/portside" in each.text]
    first, *rest = found.replace("\\\n", "").splitlines()
    assert first == "from=/var/lib/portside to=/backup/portside"
    return rest


def push_all(address: Address, round_: str) -> dict[str, Pushed]:
    return {
        f"team/{round_}{number}": PUSHES[kind](Place(address, f"team/{round_}{number}", "b"))
        for number, kind in enumerate(KINDS)
    }


def pull_all(address: Address, pushed: dict[str, Pushed]) -> dict[tuple[str, str], bytes]:
    """Pulls by every client, whole; returns the manifests."""
    found = {}
    for name, image in pushed.items():
        for client in CLIENTS:
            got = pull_by(client, address, name, "b")
            assert got.form, f"{client} {name}: {got.said}: {got.refusal}"
            check_image(client, got, image)
            found[name, client] = got.content
    return found


def is_listed(address: Address, name: str) -> bool:
    answer = Caller(address, "a test").send("GET", f"/v2/{name}/tags/list")
    return answer.status == 200 and json.loads(answer.body)["tags"] == ["b"]


def unsigned(manifests: dict[tuple[str, str], bytes]) -> dict[tuple[str, str], bytes]:
    return {key: content for key, content in manifests.items() if b'"signatures"' not in content}


def test_what_is_copied_while_it_is_in_use_is_whole() -> None:
    find_program("rsync")
    with tempfile.TemporaryDirectory(prefix="portside-") as made:
        folder = Path(made)
        copy = folder / "copy" / "data"
        copy.mkdir(parents=True)
        with running_portside(Form.ONE, folder) as portside:
            before = push_all(portside.address, "before")
            later: dict[str, Pushed] = {}
            one, *others = before
            pull_all(portside.address, {one: before[one]})
            for number, command in enumerate(commands()):
                run_shell(f"from={portside.data} to={copy}; {command}", folder, environment=os.environ)
                later |= push_all(portside.address, f"while{number}-")
                pull_all(portside.address, {others[number % len(others)]: before[others[number % len(others)]]})
            wanted = pull_all(portside.address, before)
        with running_portside(Form.ONE, folder / "copy") as portside:
            got = pull_all(portside.address, before)
            pull_all(portside.address, {name: later[name] for name in later if is_listed(portside.address, name)})
        # Schema 1 that was converted after its signature's folder was copied is signed anew.
        assert unsigned(got) == unsigned(wanted)
