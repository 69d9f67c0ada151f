"""Whatever takes long, its client asks again: at the address that it used, with GET and HEAD alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp.web import BaseRequest, StreamResponse

from backends.http.body_limit import BodyLimit
from backends.model.conversion.plans import LINUX_AMD64
from backends.registry.still_working import StillWorking
from backends.registry.store import Store
from backends.storage.factory import open_memory
from backends.v2.errors import render
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts
from backends.v2.readers import Readers
from backends.v2.settings import V2Settings
from backends.web.errors import render_errors
from backends.web.waiting import asking_again
from tests.support.serving_here import Answer, Client, serving_here

BLOB = "/v2/team/app/blobs/sha256:" + "ab" * 32


async def at_work(request: BaseRequest) -> StreamResponse:
    raise StillWorking("layer 1 of 3 is being read")


async def ask(method: str, path: str, settings: V2Settings) -> tuple[Answer, Client]:
    storage = open_memory()
    parts = Parts(Store(storage), settings, BodyLimit(1), Readers(LINUX_AMD64))
    patience, location = settings.patience_seconds, parts.location_again
    handler = asking_again(at_work, patience_seconds=patience, location=location, headers=API_HEADERS)
    async with serving_here(render_errors(handler, render)) as client:
        answer = await client.ask(method, path)
    await storage.close()
    return answer, client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("settings", "path", "location"),
    [
        (V2Settings(), BLOB, "http://{host}" + BLOB + "?portside-wait=1"),
        (V2Settings(), BLOB + "?ns=a%2Fb&portside-wait=7", "http://{host}" + BLOB + "?ns=a%2Fb&portside-wait=8"),
        (replace(V2Settings(), relative_urls=True), BLOB, BLOB + "?portside-wait=1"),
        (replace(V2Settings(), prefix="/r"), "/r" + BLOB, "http://{host}/r" + BLOB + "?portside-wait=1"),
        (replace(V2Settings(), host="https://r.example"), BLOB, "https://r.example" + BLOB + "?portside-wait=1"),
    ],
)
async def test_a_client_is_sent_to_the_address_that_it_used(
    method: str, settings: V2Settings, path: str, location: str
) -> None:
    answer, client = await ask(method, path, settings)
    assert (answer.status, answer.body) == (307, b"")
    assert answer["Location"] == location.format(host=client.authority)
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize(("method", "path"), [("GET", BLOB + "?portside-wait=8"), ("POST", BLOB), ("DELETE", BLOB)])
async def test_who_cannot_be_sent_on_is_told_to_come_again(method: str, path: str) -> None:
    answer, _ = await ask(method, path, replace(V2Settings(), patience_seconds=0.01))
    assert answer.told == (503, "UNAVAILABLE")
    assert answer["Retry-After"] == "1"
    assert "layer 1 of 3 is being read" in answer.json["errors"][0]["detail"]["reason"]
