"""What a page of a long listing costs: at its start, in its middle, at its end, right after a push; and a search.

Each registry is started anew and given tags of one repository, other repositories and, if it is Portside, referrers of
one manifest, in the layout on disk. distribution 2.8.2 has no pages of tags (it sends all of them) and no referrers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPSConnection
from pathlib import Path

from bench.contents import AGENT, MANIFEST_TYPE, REPOSITORY, Contents, make_contents, put_image
from bench.contestants import HOST, Contestant, Credentials, started_together
from bench.floors import REFERENCE
from bench.load import Load
from bench.peers import make_contestant
from bench.programs import Hindrance, Programs
from bench.scale import Scale

PAGE = 100
PAGES = 7
"""Of each kind in a round; their median counts."""

SEARCHES: Mapping[str, Sequence[str]] = {
    "search_some": [f"/v1/search?q=r0{number:03}&n=25" for number in range(PAGES)],
    "search_all": [f"/v1/search?q=&n=25&page={number + 1}" for number in range(PAGES)],
    "search_none": [f"/v1/search?q=absent-{number}&n=25" for number in range(PAGES)],
}
"""As docker asks: for a term that some of the names have, for all there are, for a term that none has."""


def measure_listings(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, *, names: Sequence[str], scale: Scale
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yields, for each round and contestant, the milliseconds that a page of each kind takes."""
    contents = make_contents(load, large=4096, several=4096)
    with contextlib.ExitStack() as stack:
        asked: list[tuple[Contestant, HTTPSConnection, Mapping[str, Sequence[str]]]] = []
        running = [make_contestant(name, folder, credentials, programs) for name in names]
        stack.enter_context(started_together(running))
        for contestant in running:
            put_image(contestant, contents, load)
            pages = fill(contestant.data, contents, scale=scale, referrers=contestant.name != REFERENCE)
            context = ssl.create_default_context(cafile=str(credentials.ca))
            connection = HTTPSConnection(HOST, contestant.port, timeout=120, context=context)
            stack.callback(connection.close)
            asked.append((contestant, connection, pages))
        for number in range(scale.rounds + 1):
            for contestant, connection, pages in asked:
                figures = {kind: _page(connection, paths) for kind, paths in pages.items()}
                figures["tags_pushed"] = _pushed(connection, contents, number)
                if number > 0:  # the first one reads what is kept afterwards
                    yield contestant.name, figures
        # Last, for descriptions are looked up in the background afterwards.
        searched = [each for each in asked if each[0].name != REFERENCE]
        for number in range(scale.rounds + 1):
            for contestant, connection, _ in searched:
                figures = {kind: _page(connection, paths) for kind, paths in SEARCHES.items()}
                if number > 0:  # the first one makes the index
                    yield contestant.name, figures


def fill(data: Path, contents: Contents, *, scale: Scale, referrers: bool) -> Mapping[str, Sequence[str]]:
    """Puts everything below a registry's root; returns the paths of pages by their kinds."""
    root = data / "docker/registry/v2/repositories"
    image = root / REPOSITORY
    for number in range(scale.listed_tags):  # their names are listed, without a look at what they name
        (image / "_manifests/tags" / _tag(number)).mkdir()
    for number in range(scale.listed_repositories):
        (root / "many" / _repository(number) / "_manifests").mkdir(parents=True)
        (root / "many" / _repository(number) / "_layers").mkdir()
    pages = {
        **_pages("tags", f"/v2/{REPOSITORY}/tags/list", [_tag(number) for number in range(scale.listed_tags)]),
        **_pages(
            "catalog", "/v2/_catalog", [f"many/{_repository(number)}" for number in range(scale.listed_repositories)]
        ),
    }
    if referrers:
        digests = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(scale.listed_referrers))
        subject = contents.manifest_digest
        own = data / "docker/registry/portside/index/referrers" / REPOSITORY / "_subjects" / subject.replace(":", "/")
        own.mkdir(parents=True)
        for digest in digests:
            described = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{digest}"}
            (own / f"sha256-{digest}").write_text(json.dumps({**described, "size": 400, "artifactType": "a/b"}))
            _link(image / "_manifests/revisions/sha256" / digest, f"sha256:{digest}")
        listed = [f"sha256:{digest}" for digest in digests]
        pages |= _pages("referrers", f"/v2/{REPOSITORY}/referrers/{subject}", listed)
    return pages


def _pages(kind: str, path: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Returns pages at three places of a listing, none of them twice: what comes before each of them."""
    middle, end = len(names) // 2, len(names) - PAGE - PAGES
    at = {"start": range(PAGES), "middle": range(middle, middle + PAGES), "end": range(end, end + PAGES)}
    return {
        f"{kind}_{place}": [f"{path}?n={PAGE}&last={names[number]}" for number in numbers]
        for place, numbers in at.items()
    }


def _page(connection: HTTPSConnection, paths: Sequence[str]) -> float:
    return statistics.median(_ask(connection, path) for path in paths)


def _pushed(connection: HTTPSConnection, contents: Contents, number: int) -> float:
    """Returns what a page takes when a new tag has been pushed right before it."""
    times = []
    for turn in range(PAGES):
        tag = f"pushed-{number}-{turn}"
        headers = {"Content-Type": MANIFEST_TYPE, "User-Agent": AGENT}
        connection.request("PUT", f"/v2/{REPOSITORY}/manifests/{tag}", contents.manifest, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 201:
            raise Hindrance(f"a push was answered with {answer.status}: {said[:200]!r}")
        times.append(_ask(connection, f"/v2/{REPOSITORY}/tags/list?n={PAGE}&last=pushed-{number}", needs=tag))
    return statistics.median(times)


def _ask(connection: HTTPSConnection, path: str, *, needs: str = "") -> float:
    begun = time.perf_counter()
    connection.request("GET", path, headers={"User-Agent": AGENT})
    answer = connection.getresponse()
    body = answer.read()
    took = time.perf_counter() - begun
    if answer.status != 200 or needs.encode() not in body:
        raise Hindrance(f"GET {path} was answered with {answer.status}: {body[:200]!r}")
    return took * 1e3


def _tag(number: int) -> str:
    return f"tag-{number:06}"


def _repository(number: int) -> str:
    return f"r{number:06}"


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True)
    (folder / "link").write_text(digest)
