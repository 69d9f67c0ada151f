"""What each client gets of what was pushed: the cells of the table in `docs/conversions.md`, and what holds there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.support import schema1
from tests.support.bridge_pushes import Pushed
from tests.support.docker import Docker
from tests.support.http_calls import Caller
from tests.support.images import Pulled, digest_of
from tests.support.media_types import SHORT, SIGNED_SCHEMA1
from tests.support.profiles import LATER, PROFILES, Finding, Profile
from tests.support.pullers import PROGRAMS, Puller, PullError
from tests.support.seen import seen_in
from tests.support.wire import Address, Exchange, Response

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "Docker 1.0 to 1.5": ("1.0.1", "1.3.3", "1.5.0"),
    "1.6 to 1.9": ("1.6.2", "1.7.1", "1.9.1"),
    "1.10 to 18.09": ("1.10.3", "1.12.6", "1.13.1", "17.12.1", "18.09.9"),
    "19.03": ("19.03.15",),
    "20.10 to 22": ("20.10.24",),
    "23 to 28": ("23.0.6", "28.2.2"),
    "29": ("29.0.0", "Docker 29"),
    "containerd": ("containerd 1.6", "containerd 2"),
    "podman, skopeo": ("podman", "skopeo"),
    "crane, oras": ("crane", "oras"),
}
"""The table's columns, and the clients that each stands for: releases of Docker, or `PROGRAMS`."""

NOTHING: Final = "✗"


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got for a tag.

    Attributes:
        form: ``v1``, or the short name of the manifest's type; empty when the registry refused.
        content: The manifest that the tag was answered with.
        pulled: The image, or None where the client gave up.
        said: What the client printed when it gave up.
        refusal: The sentence that the registry refused with.
    """

    form: str
    content: bytes
    pulled: Pulled | None
    said: str
    refusal: str


def pull_by(client: str, address: Address, name: str, tag: str) -> Got:
    """Pull with a client that has nothing yet."""
    if client in PROGRAMS:
        puller = Puller(PROGRAMS[client], address)
        pulled, said = None, ""
        try:
            pulled = puller.pull(name, tag)
        except PullError as error:
            said = str(error)
        return _got(puller.exchanges, pulled, said)
    outcome = Docker(client, address).pull(name, tag)
    return _got(outcome.exchanges, outcome.pulled[0] if outcome.ok else None, "" if outcome.ok else outcome.output)


def _got(exchanges: Sequence[Exchange], pulled: Pulled | None, said: str) -> Got:
    for exchange in exchanges:
        answer = exchange.response
        if (
            exchange.request.method == "GET"
            and "/manifests/" in exchange.request.url
            and answer
            and answer.status == 200
        ):
            media_type = (answer.value("Content-Type") or "").partition(";")[0]
            return Got(SHORT.get(media_type, media_type), answer.body, pulled, said, "")
    if pulled is not None:
        return Got("v1", b"", pulled, said, "")
    refused = [each for each in exchanges if each.response and each.response.status >= 400]
    # The first says why; what follows is the way to v1, and it refuses too.
    sentence = next((text for each in refused if (text := _sentence(each))), "")
    return Got("", b"", None, said, sentence)


def _sentence(exchange: Exchange) -> str:
    if exchange.response is None:
        return ""
    try:
        body = json.loads(exchange.response.body)
    except ValueError:
        return ""
    if "errors" in body:
        return str(body["errors"][0]["message"])
    return str(body.get("error", ""))


def cell(got: Got, pushed: Pushed) -> str:
    """The cell: ``schema 2 =`` as it was pushed, ``→ schema 2`` converted, ``✗`` refused."""
    if not got.form:
        return NOTHING
    return f"{got.form} =" if is_native(got, pushed) else f"→ {got.form}"


def is_native(got: Got, pushed: Pushed) -> bool:
    """Whether the client got the very bytes that were pushed."""
    if pushed.form != got.form:
        return False
    if got.form != "v1":
        return got.content == pushed.content
    pulled = got.pulled
    return pulled is not None and (
        pulled.metadata == tuple(image.json for image in pushed.chain)
        and pulled.layers == tuple(image.layer for image in pushed.chain)
    )


def check_image(client: str, got: Got, pushed: Pushed) -> None:
    """The image arrived as it was pushed: files, platform, how it is run, history.

    Raises:
        AssertionError: It did not.
    """
    if pushed.image is None or not got.form:
        return
    assert got.pulled is not None, f"{client}: {got.said}"
    seen = seen_in(got.pulled)
    assert seen.tree == pushed.image.tree, f"{client} sees other files"
    assert seen == pushed.image, f"{client}: {seen.platform} {seen.run} {seen.steps}"


def check_answers(client: str, got: Got, pushed: Pushed, address: Address, name: str, tag: str) -> None:
    """HEAD and GET by tag agree, the digest they name is kept, and what was converted says so.

    Raises:
        AssertionError: One of these does not hold.
    """
    asked = asks(client)
    if asked is None:
        return
    agent, accepts = asked
    caller = Caller(address, agent)
    fields = [("Accept", line) for line in accepts]
    path = f"/v2/{name}/manifests/{tag}"
    answer, head = (caller.send(method, path, fields) for method in ("GET", "HEAD"))
    for header in ("Content-Type", "Content-Length", "Docker-Content-Digest", "ETag", "Vary"):
        assert answer.value(header) == head.value(header), f"{client}: HEAD has another {header}"
    assert answer.status == head.status == (200 if got.form not in {"", "v1"} else 404), f"{client}: {answer.status}"
    if answer.status != 200:
        return
    digest = answer.value("Docker-Content-Digest")
    assert digest == manifest_digest(answer), f"{client}: Docker-Content-Digest is {digest}"
    again = caller.send("GET", f"/v2/{name}/manifests/{digest}", fields)
    assert (again.status, again.body) == (200, answer.body), f"{client}: {digest} is not there: {again.status}"
    _check_what_it_says_of_itself(client, answer, is_converted=not is_native(got, pushed), pushed=pushed)


def _check_what_it_says_of_itself(client: str, answer: Response, *, is_converted: bool, pushed: Pushed) -> None:
    varies = {each.strip().lower() for line in answer.values("Vary") for each in line.split(",")}
    assert {"accept", "user-agent"} <= varies, f"{client}: Vary is {varies}"
    told = answer.value("X-Portside-Converted")
    warning = answer.value("Warning")
    if not is_converted:
        assert (told, warning) == (None, None), f"{client}: {told} {warning}"
        return
    assert warning is not None, client
    assert warning.startswith("299 "), f"{client}: {warning}"
    source = pushed.digest or pushed.chain[-1].id
    assert told is not None, client
    assert re.fullmatch(r'from="[^"]+"; digest="[^"]+"; rule="[^"]+"', told), f"{client}: {told}"
    assert source.removeprefix("sha256:") in told, f"{client}: {told} does not name {source}"


def manifest_digest(answer: Response) -> str:
    """The digest of a manifest; that of schema 1 leaves its signatures out."""
    if (answer.value("Content-Type") or "") == SIGNED_SCHEMA1:
        return schema1.verify(answer.body).digest
    return digest_of(answer.body)


def asks(client: str) -> tuple[str, Sequence[str]] | None:
    """User-Agent and Accept lines of a client that asks for a manifest by tag; None: it knows v1 alone."""
    if client in PROGRAMS:
        return PROGRAMS[client].agent, PROGRAMS[client].accepts
    profile: Profile = PROFILES.get(client) or LATER[client]
    if profile.finding is Finding.V1_PING or client == "1.5.0":
        return None
    return profile.agent, profile.accepts


# -- the page -----------------------------------------------------------------------------------------------------


def table_row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def documented_rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, its header first.

    Raises:
        AssertionError: There is no such heading.
    """
    _, found, below = page.partition(f"\n## {heading}\n")
    assert found, f"no heading {heading!r}"
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def sentence_rows(kind: str, refusals: Mapping[str, str]) -> list[str]:
    """Rows of the second table: what is refused to whom, a row for each sentence; `refusals` is by column."""
    by_sentence: dict[str, list[str]] = {}
    for column, sentence in refusals.items():
        by_sentence.setdefault(sentence, []).append(column)
    return [table_row(kind, [", ".join(columns), sentence]) for sentence, columns in by_sentence.items()]


def general(sentence: str, name: str) -> str:
    """A sentence as the page has it: without this run's digests and names."""
    sentence = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", sentence)
    return sentence.replace(name, "NAME")
