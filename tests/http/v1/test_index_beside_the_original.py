"""Portside and docker-registry 0.9.1 beside the same small index: the same requests, and what the index is asked.

What differs is in `DIFFERENT`, and explained in docs/v1-index.md; a row that is not needed any more fails.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.commands import running_command
from tests.support.docker_registry_0_9_1 import docker_registry_0_9_1
from tests.support.small_index import Listed, SmallIndex, header, paths, small_index
from tests.support.v1server import Pushed, make_pushed

BASE = make_pushed("a", layer=b"the layer of the base")
APP = make_pushed("b", parent=BASE.id, layer=b"the layer of the app")
OTHER = make_pushed("c", layer=b"of another repository")
UNLISTED = make_pushed("d", layer=b"not listed")
CHILD = make_pushed("e", parent=OTHER.id, layer=b"a child of another's")
ORPHAN = make_pushed("0" * 63 + "1", parent="f" * 64, layer=b"without its parent")
NAME, OTHERS = "team/app", "team/other"
HEADERS = (
    "content-type",
    "www-authenticate",
    "x-docker-token",
    "x-docker-endpoints",
    "x-docker-size",
    "x-docker-checksum-payload",
    "x-docker-registry-standalone",
    "cache-control",
    "pragma",
)


@dataclass(frozen=True, slots=True)
class Step:
    """A request: with a token for a repository and an access, "-" for none."""

    what: str
    method: str
    path: str
    access: str = "-"
    repository: str = NAME
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and what the index was asked for it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    asked: Sequence[str]


def image(what: str, pushed: Pushed, repository: str = NAME) -> Iterator[Step]:
    path = f"/v1/images/{pushed.id}"
    yield Step(f"{what}: json", "PUT", f"{path}/json", "write", repository, pushed.json)
    yield Step(f"{what}: layer", "PUT", f"{path}/layer", "write", repository, pushed.layer)
    checksum = (("X-Docker-Checksum-Payload", pushed.payload),)
    yield Step(f"{what}: checksum", "PUT", f"{path}/checksum", "write", repository, b"", checksum)


def tag(what: str, pushed: Pushed, repository: str = NAME) -> Step:
    return Step(
        what, "PUT", f"/v1/repositories/{repository}/tags/t", "write", repository, json.dumps(pushed.id).encode()
    )


PARTS = ("json", "layer", "ancestry")
STEPS = [
    Step("ping", "GET", "/v1/_ping"),
    Step("users", "GET", "/v1/users/"),
    Step("PUT repository", "PUT", f"/v1/repositories/{NAME}/", "write", body=b"[]"),
    Step("GET images", "GET", f"/v1/repositories/{NAME}/images", "read"),
    Step("tags before a push", "GET", f"/v1/repositories/{NAME}/tags", "read"),
    *image("base", BASE),
    *image("app", APP),
    tag("tag", APP),
    *image("other", OTHER, OTHERS),
    tag("tag of another", OTHER, OTHERS),
    *[Step(f"nobody's {part}", "GET", f"/v1/images/{APP.id}/{part}") for part in PARTS],
    *[Step(f"a read of {part}", "GET", f"/v1/images/{APP.id}/{part}", "read") for part in PARTS],
    *[Step(f"a HEAD of {part}", "HEAD", f"/v1/images/{APP.id}/{part}", "read") for part in PARTS],
    *[Step(f"a write token reads {part}", "GET", f"/v1/images/{APP.id}/{part}", "write") for part in PARTS],
    *[Step(f"a delete token reads {part}", "GET", f"/v1/images/{APP.id}/{part}", "delete") for part in PARTS],
    *[Step(f"a token for all reads {part}", "GET", f"/v1/images/{APP.id}/{part}", "all") for part in PARTS],
    *[Step(f"another's image: {part}", "GET", f"/v1/images/{OTHER.id}/{part}", "read") for part in PARTS],
    Step("no image", "GET", f"/v1/images/{'f' * 64}/json", "read"),
    Step("no id", "GET", "/v1/images/nothing/json", "read"),
    Step("no id, and no token", "GET", "/v1/images/nothing/json"),
    Step("tags", "GET", f"/v1/repositories/{NAME}/tags", "read"),
    Step("tags for nobody", "GET", f"/v1/repositories/{NAME}/tags"),
    Step("tags for a write token", "GET", f"/v1/repositories/{NAME}/tags", "write"),
    Step("tags for another's token", "GET", f"/v1/repositories/{NAME}/tags", "read", OTHERS),
    Step("a tag", "GET", f"/v1/repositories/{NAME}/tags/t", "read"),
    Step("no tag", "GET", f"/v1/repositories/{NAME}/tags/none", "read"),
    Step("another's tag", "PUT", f"/v1/repositories/{NAME}/tags/x", "write", OTHERS, json.dumps(OTHER.id).encode()),
    Step("a tag by a read token", "PUT", f"/v1/repositories/{NAME}/tags/x", "read", body=json.dumps(APP.id).encode()),
    Step(
        "a tag of another's image",
        "PUT",
        f"/v1/repositories/{NAME}/tags/x",
        "write",
        body=json.dumps(OTHER.id).encode(),
    ),
    Step("what is there already", "PUT", f"/v1/images/{APP.id}/json", "write", body=APP.json),
    Step("not JSON", "PUT", f"/v1/images/{APP.id}/json", "write", body=b"["),
    Step("not listed", "PUT", f"/v1/images/{UNLISTED.id}/json", "write", body=UNLISTED.json),
    Step("on another's parent", "PUT", f"/v1/images/{CHILD.id}/json", "write", body=CHILD.json),
    Step("on no parent", "PUT", f"/v1/images/{ORPHAN.id}/json", "write", body=ORPHAN.json),
    Step("json by a read token", "PUT", f"/v1/images/{APP.id}/json", "read", body=APP.json),
    Step("Basic", "GET", f"/v1/repositories/{NAME}/tags", headers=(("Authorization", "Basic YTpi"),)),
    Step("properties", "GET", f"/v1/repositories/{NAME}/properties", "read"),
    Step("private", "PUT", f"/v1/repositories/{NAME}/properties", "write", body=b'{"access": "private"}'),
    *[Step(f"private {part}", "GET", f"/v1/images/{APP.id}/{part}", "read") for part in PARTS],
    *[Step(f"private {part} that the index refuses", "GET", f"/v1/images/{BASE.id}/{part}", "read") for part in PARTS],
    *[Step(f"another's private {part}", "GET", f"/v1/images/{APP.id}/{part}", "read", OTHERS) for part in PARTS],
    Step("public", "PUT", f"/v1/repositories/{NAME}/properties", "write", body=b'{"access": "public"}'),
    Step("a signed request", "GET", f"/v1/repositories/{NAME}/tags", headers=(("X-Signature", "SIGNED"),)),
    Step("DELETE by a write token", "DELETE", f"/v1/repositories/{NAME}/tags/t", "write"),
    Step("DELETE of a tag", "DELETE", f"/v1/repositories/{NAME}/tags/t", "delete"),
    Step("DELETE of a repository", "DELETE", f"/v1/repositories/{NAME}/", "delete"),
    Step("search", "GET", "/v1/search?q=app"),
]
GONE = {BASE.id: f"private {PARTS[0]} that the index refuses"}
"""From that step on the index does not list an image any more."""

_ANSWER = "status headers body"
DIFFERENT: Mapping[str, tuple[str, str]] = {
    "users": ("headers body", "pages"),
    "PUT repository": ("headers body", "pages"),
    "GET images": (_ANSWER, "pages"),
    "tags before a push": ("status body", "list-before-push"),
    **{f"a HEAD of {part}": ("status headers asked", "head") for part in PARTS},
    **{f"another's image: {part}": (_ANSWER, "other-images") for part in PARTS},
    "no id": ("asked", "order"),
    "no id, and no token": (_ANSWER, "order"),
    "tags for another's token": ("asked", "order"),
    "another's tag": ("asked", "order"),
    "a tag of another's image": ("status body asked", "other-images"),
    "not listed": ("asked", "list-again"),
    "on no parent": ("body asked", "parents"),
    "private ancestry": ("asked", "private-ancestry"),
    "private ancestry that the index refuses": (f"{_ANSWER} asked", "private-ancestry"),
    **{f"another's private {part}": (_ANSWER, "other-images") for part in PARTS},
    "a signed request": ("status headers body", "signatures"),
    "DELETE of a repository": ("status body", "last-tag"),
    "search": (_ANSWER, "search"),
}
"""In what the answers differ, and the row of docs/v1-index.md that says why."""
PAGE = Path(__file__).parents[3] / "docs" / "v1-index.md"
KEY = rsa.generate_private_key(65537, 2048)


def signed(method: str, path: str) -> str:
    signature = KEY.sign(f"{method},{path}".encode(), padding.PKCS1v15(), hashes.SHA1())
    return f"data={base64.b64encode(signature).decode()}"


def ask(port: int, index: SmallIndex, step: Step) -> Told:
    """Sends a request with a token of its own, so that nothing is remembered of it."""
    headers = dict(step.headers)
    if "X-Signature" in headers:
        headers["X-Signature"] = signed(step.method, step.path)
    if step.access != "-":
        headers |= header(index.give(step.repository, step.access))
    index.asked.clear()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(step.method, step.path, step.body, headers)
        answer = connection.getresponse()
        content = answer.read()
        told = dict(sorted((name.lower(), value) for name, value in answer.getheaders() if name.lower() in HEADERS))
    return Told(answer.status, told, content, paths(index.asked))


def prepared() -> SmallIndex:
    index = SmallIndex()
    index.repositories[NAME] = Listed([BASE.id, APP.id, CHILD.id, ORPHAN.id])
    index.repositories[OTHERS] = Listed([OTHER.id])
    return index


def test_both_answer_the_same_and_ask_the_index_the_same(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    key.write_bytes(public)
    with contextlib.ExitStack() as stack:
        theirs, ours = (stack.enter_context(small_index(prepared())) for _ in range(2))
        variables = {
            "STANDALONE": "false",
            "INDEX_ENDPOINT": theirs.url,
            "SEARCH_BACKEND": "",
            "PRIVILEGED_KEY": str(key),
        }
        original = stack.enter_context(docker_registry_0_9_1(tmp_path / "original", variables=variables))
        settings = {
            "http": {"addr": "127.0.0.1:0"},
            "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}},
            "gateway": {"workers": 1, "v1": {"standalone": False, "index": ours.url, "privilegedkey": str(key)}},
        }
        (tmp_path / "portside.yml").write_text(yaml.safe_dump(settings))
        command = stack.enter_context(running_command("v1", tmp_path / "portside.yml", folder=tmp_path))
        differences: dict[str, str] = {}
        shown: list[str] = []
        for step in STEPS:
            for image_id, when in GONE.items():
                if step.what == when:
                    for index in (theirs, ours):
                        index.repositories[NAME].ids.remove(image_id)
            answers = ask(original.port, theirs, step), ask(command.port("v1"), ours, step)
            theirs_told, ours_told = map(asdict, answers)
            found = [name for name in theirs_told if theirs_told[name] != ours_told[name]]
            if found:
                differences[step.what] = " ".join(found)
                shown.append(f"{step.what}: {answers[0]} -> {answers[1]}")
        kept = [each / "repositories/team/app/_images_list" for each in (original.root, tmp_path / "data")]
    assert differences == {what: where for what, (where, _) in DIFFERENT.items()}, "\n".join(shown)
    assert not any(each.exists() for each in kept)  # gone with the repository


def test_the_page_explains_each_difference_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted({why for _, why in DIFFERENT.values()})
