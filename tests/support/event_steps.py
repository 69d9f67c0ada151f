"""One history of a v2 registry, step by step, and what it tells of each: for ours, and for distribution's own.

Each request's User-Agent is the name of its step, so what is told can be put to its step, whenever it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from backends.model.media_types import MANIFEST_LIST, OCI_INDEX, SCHEMA1_SIGNED, SCHEMA2
from tests.support import schema1
from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of, make_manifest

LAST = "end"
CONFIG, LAYER, EMPTY = b"config", b"a layer " * 10, b""
IMAGE = make_manifest(CONFIG, LAYER)
OTHER = make_manifest(CONFIG, LAYER, annotations={"n": "2"})
DOCKER = make_manifest(CONFIG, LAYER, media_type=SCHEMA2)
REFERRER = make_manifest(
    CONFIG, LAYER, subject=describe(IMAGE, OCI_MANIFEST), artifactType="a/b", annotations={"x": "y"}
)
ENTRY = {
    **describe(IMAGE, OCI_MANIFEST),
    "annotations": {"a": "<b> & \u2028"},
    "platform": {"architecture": "amd64", "os": "linux"},
}
INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [ENTRY]}).encode()
ARM = {**describe(DOCKER, SCHEMA2), "platform": {"architecture": "arm", "os": "linux", "variant": "v7"}}
LIST = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": [ARM]}).encode()

ACCEPT = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}, {SCHEMA2}, {MANIFEST_LIST}"}
C, L, E, M = (digest_of(content) for content in (CONFIG, LAYER, EMPTY, IMAGE))
SIGNED = schema1.sign(
    schema1.payload("app", "old", [schema1.Entry(L, f'{{"id":"{"a" * 64}"}}')], version_first=True), schema1.new_key()
)
NOWHERE = digest_of(b"nobody has this")


def _put(content: bytes, reference: str, media_type: str = OCI_MANIFEST, **headers: str) -> tuple[Any, ...]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return "PUT", f"/v2/app/manifests/{reference}", {"Content-Type": media_type, **named}, content


def _reading(method: str) -> Sequence[tuple[str, tuple[Any, ...]]]:
    manifest, blob = "/v2/app/manifests/", f"/v2/app/blobs/{L}"
    return [
        (f"{method} a manifest by tag", (method, f"{manifest}1", ACCEPT)),
        (f"{method} a manifest by digest", (method, f"{manifest}{M}", ACCEPT)),
        (f"{method} a manifest that the client has", (method, f"{manifest}1", {**ACCEPT, "If-None-Match": f'"{M}"'})),
        (f"{method} an index", (method, f"{manifest}index", ACCEPT)),
        (f"{method} a list", (method, f"{manifest}list", ACCEPT)),
        (f"{method} no manifest", (method, f"{manifest}never", ACCEPT)),
        (f"{method} a blob", (method, blob, {})),
        (f"{method} a range of a blob", (method, blob, {"Range": "bytes=0-3"})),
        (f"{method} a blob beyond its end", (method, blob, {"Range": "bytes=1000-"})),
        (f"{method} a blob that the client has", (method, blob, {"If-None-Match": f'"{L}"'})),
        (f"{method} an empty blob", (method, f"/v2/app/blobs/{E}", {})),
        (f"{method} no blob", (method, f"/v2/app/blobs/{NOWHERE}", {})),
    ]


STEPS: Sequence[tuple[str, tuple[Any, ...]]] = [
    ("push a blob", ("BLOB", CONFIG)),
    ("push it again", ("BLOB", CONFIG)),
    ("push a layer", ("BLOB", LAYER)),
    ("push an empty blob", ("BLOB", EMPTY)),
    ("push a blob that is another one", ("WRONG", b"not what it says")),
    ("push a tag", _put(IMAGE, "1")),
    ("push by digest", _put(IMAGE, M)),
    ("push another tag", _put(IMAGE, "2")),
    ("push an image of docker's", _put(DOCKER, "docker", SCHEMA2)),
    ("push an index", _put(INDEX, "index", OCI_INDEX)),
    ("push a list", _put(LIST, "list", MANIFEST_LIST)),
    ("push a referrer", _put(REFERRER, digest_of(REFERRER))),
    ("push schema 1", _put(SIGNED, "old", SCHEMA1_SIGNED)),
    ("pull schema 1", ("GET", "/v2/app/manifests/old", {})),
    ("push what is no manifest", _put(b"{}", "never")),
    ("push by a proxy", _put(OTHER, "3", X_Forwarded_Proto="https", X_Forwarded_Host="front.example",
                             X_Forwarded_For="203.0.113.9, 10.0.0.1")),
    *_reading("GET"),
    *_reading("HEAD"),
    ("pull without Accept", ("GET", "/v2/app/manifests/1", {})),
    ("mount", ("POST", f"/v2/team/b/blobs/uploads/?mount={L}&from=app", {})),
    ("mount it again", ("POST", f"/v2/team/b/blobs/uploads/?mount={L}&from=app", {})),
    ("mount from where it is not", ("POST", f"/v2/team/c/blobs/uploads/?mount={L}&from=nowhere", {})),
    ("mount from anywhere", ("POST", f"/v2/team/c/blobs/uploads/?mount={L}", {})),
    ("list", ("GET", "/v2/app/tags/list", {})),
    ("delete a tag", ("DELETE", "/v2/app/manifests/2", {})),
    ("delete no tag", ("DELETE", "/v2/app/manifests/never", {})),
    ("push the tag again", _put(IMAGE, "2")),
    ("delete a manifest with two tags", ("DELETE", f"/v2/app/manifests/{M}", {})),
    ("delete it again", ("DELETE", f"/v2/app/manifests/{M}", {})),
    ("delete a blob", ("DELETE", f"/v2/app/blobs/{C}", {})),
    ("delete a blob again", ("DELETE", f"/v2/app/blobs/{C}", {})),
    (LAST, ("HEAD", f"/v2/app/blobs/{E}", {})),
]  # fmt: skip


async def walk(client: Client) -> None:
    """Goes through all steps."""
    for name, (method, *rest) in STEPS:
        agent = {"User-Agent": name}
        if method in {"BLOB", "WRONG"}:
            place = (await client.ask("POST", "/v2/app/blobs/uploads/", agent)).path
            answer = await client.ask("PATCH", place, agent, chunks=[rest[0]] if rest[0] else [])
            digest = digest_of(rest[0]) if method == "BLOB" else NOWHERE
            query = f"{'&' if '?' in answer.path else '?'}digest={digest}"
            await client.ask("PUT", answer.path + query, agent, body=b"")
            continue
        path, headers, *body = rest
        with contextlib.suppress(asyncio.IncompleteReadError):  # distribution's 416 has less of a body than it says
            await client.ask(method, path, {**headers, **agent}, body=body[0] if body else None)


def by_step(events: Sequence[Mapping[str, Any]], client: Client) -> dict[str, list[Any]]:
    """What was told of each step, with what is different each time taken out."""
    found: dict[str, list[Any]] = {name: [] for name, _ in STEPS}
    for event in events:
        text = json.dumps(event).replace(client.authority, "r.example")
        kept = json.loads(text)
        step = kept["request"].pop("useragent")
        for known in (kept, kept["request"]):
            assert known.pop("id")
        assert kept.pop("timestamp").endswith("Z")
        address, colon, port = kept["request"]["addr"].rpartition(":")
        if colon:
            assert port.isdigit()
            kept["request"]["addr"] = f"{address}:PORT"
        assert set(kept.pop("source")) == {"addr", "instanceID"}
        found[step].append(kept)
    return found


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[dict[str, Any]], asyncio.Event]]:
    """An HTTP server for distribution's events: its address, what came, and whether the last step's has come."""
    events: list[dict[str, Any]] = []
    is_over = asyncio.Event()

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        for event in json.loads(await request.read())["events"]:
            events.append(event)
            if event["request"]["useragent"] == LAST:
                is_over.set()
        return web.Response()

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", events, is_over
    finally:
        await runner.cleanup()
