"""Tags that Portside and Debian's docker-registry write on one volume at once: each reads what the other wrote last.

It writes links in place: for a moment one is empty, and the folder above it does not change.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.support.docker import Docker
from tests.support.images import make_image
from tests.support.portside import Form, running_portside
from tests.support.programs import docker_registry
from tests.support.serving_here import Client

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

TURNS = 150


async def push(client: Client, number: int) -> bytes:
    return await client.push_image("team/app", "latest", seed=f"image {number}")


@pytest.mark.parametrize("v1_too", [False, True], ids=["v2 alone", "v1 too"])
async def test_what_it_writes_in_place_is_never_missing_and_holds_at_once(tmp_path: Path, v1_too: bool) -> None:  # noqa: FBT001 - a case
    (tmp_path / "v").mkdir()
    with docker_registry(tmp_path / "v") as theirs, running_portside(Form.ONE, tmp_path / "v") as portside:
        other = Client(theirs.host, theirs.port)
        at = portside.address
        ours = Client(at.host, at.port, ssl.create_default_context(cafile=at.ca))
        if v1_too:
            pushed = Docker("1.5.0", portside.address).push("team/app", "latest", make_image("team/app"))
            assert pushed.ok, pushed.output
        manifests = [await push(other, number) for number in range(2)]
        seen: set[bytes] = set()
        is_over = False

        async def read() -> None:
            while not is_over:
                answer = await ours.ask("GET", "/v2/team/app/manifests/latest")
                assert answer.status == 200, answer
                seen.add(answer.body)

        readers = [asyncio.create_task(read()) for _ in range(4)]
        for turn in range(TURNS):
            answer = await other.put_manifest("team/app", "latest", manifests[turn % 2])
            assert answer.status == 201
            answer = await ours.ask("GET", "/v2/team/app/manifests/latest")
            assert answer.body == manifests[turn % 2], turn
        is_over = True
        await asyncio.gather(*readers)
        assert seen == set(manifests)
