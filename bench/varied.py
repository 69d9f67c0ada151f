"""Small requests that are not the same again and again: a cache that helps only those helps nobody.

Tags of one repository in turn, requests of many programs, of many users with tokens, and such as nobody has asked
before. What is asked for lies on the disk of every contestant, in the layout of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bearer_tokens import new_signer
from bench.contents import MANIFEST_TYPE, REPOSITORY, Contents, make_contents, put_image, wait_until_old
from bench.contestants import Contestant, Credentials, started_together
from bench.floors import BEFORE, DISTRIBUTION, PORTSIDE
from bench.load import Load
from bench.peers import distribution, portside
from bench.programs import Programs
from bench.scale import Scale

BLOB_BYTES = 8
MANIFEST = f"-header=Accept: {MANIFEST_TYPE}"
Found = Iterator[tuple[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked in turn.

    Attributes:
        lines: as `load small -vary` takes them.
        arguments: the rest of what `load` is told.
        tags: that must be there.
        blobs: how many numbered ones must be there.
        once: each is asked once, by nobody before.
    """

    lines: Sequence[str]
    arguments: Sequence[str]
    tags: Sequence[str] = ()
    blobs: int = 0
    once: bool = False


def asked_of(what: str, contents: Contents, scale: Scale) -> Asked:
    """Returns what a row asks: of `tags`, `agents`, `new` (manifests by tags) or `new-blob` (HEAD).

    Raises:
        LookupError: there is no such row.
    """
    manifest = (MANIFEST, f"-length={len(contents.manifest)}", f"-path={contents.tag_path}")
    count = scale.small_rounds * scale.new_requests
    match what:
        case "agents":
            return Asked([_of_agent(contents.tag_path, number) for number in range(scale.varied)], manifest)
        case "new-blob":
            lines = [f"/v2/{REPOSITORY}/blobs/{_digest(number)}" for number in range(count)]
            return Asked(lines, ("-method=HEAD", f"-length={BLOB_BYTES}", "-warmup=0"), blobs=count, once=True)
        case "tags" | "new":
            tags = [f"varied-{number:06}" for number in range(scale.varied if what == "tags" else count)]
            lines = [f"/v2/{REPOSITORY}/manifests/{tag}" for tag in tags]
            return Asked(lines, manifest, tags, once=what == "new")
        case _:
            raise LookupError(f"nothing varied is called {what}")


def measure_varied(
    asked: Asked, contestants: Sequence[Contestant], contents: Contents, load: Load, scale: Scale, *, folder: Path
) -> Found:
    """Yields a contestant's name and the CPU of its requests, in each round.

    Args:
        asked: what.
        contestants: with the contents in them.
        contents: what they hold.
        load: asks.
        scale: how often.
        folder: where lists of requests are written.
    """
    listed = folder / "requests"
    with contextlib.ExitStack() as stack:
        stack.callback(listed.unlink, missing_ok=True)
        for contestant in contestants:
            stack.enter_context(_more(contestant, contents, asked))
        written = time.monotonic()
        for number in range(0 if asked.once else -1, scale.small_rounds):
            if number == 0 and asked.tags and not asked.once:
                wait_until_old(written)
            begin = number * scale.new_requests
            lines = asked.lines[begin : begin + scale.new_requests] if asked.once else asked.lines
            seconds = scale.small_seconds * (1 if number >= 0 else scale.warming)
            how = "-once" if asked.once else f"-seconds={seconds}"
            listed.write_text("".join(f"{line}\n" for line in lines))
            for contestant in contestants:
                found = _cost(load, contestant, f"-warmup={scale.warmup}", f"-vary={listed}", how, *asked.arguments)
                if number >= 0:  # before it, one warms up
                    yield contestant.name, found


def measure_tokens(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, scale: Scale, *, names: Sequence[str]
) -> Found:
    """The same of registries that are asked by many users, each with a token of their own: started for it."""
    own = folder / "tokens"
    contents = make_contents(load, large=4096, several=4096)
    signer = new_signer()
    shown = [signer.header(REPOSITORY, ["pull"], number=number) for number in range(scale.varied)]
    asked = folder / "tokens-requests"
    asked.write_text("".join(f"{contents.tag_path}\tAuthorization: {each}\n" for each in shown))
    with contextlib.ExitStack() as stack:
        running: list[Contestant] = []
        for name in names:
            (own / name / "data").mkdir(parents=True)
            auth = signer.settings(own / name)
            running.append(_guarded(name, own / name, credentials, programs, auth))
            running[-1].authorization = signer.header(REPOSITORY, ["pull", "push"], number=scale.varied)
        stack.enter_context(started_together(running))
        for contestant in running:
            put_image(contestant, contents, load)
            contestant.authorization = ""  # each request has its own
        for _ in range(scale.small_rounds):
            for contestant in running:
                duration = f"-seconds={scale.small_seconds}"
                length = f"-length={len(contents.manifest)}"
                yield (
                    contestant.name,
                    _cost(load, contestant, "-warmup=0", f"-vary={asked}", duration, MANIFEST, length),
                )
    shutil.rmtree(own)


WITH_TOKENS = (DISTRIBUTION, PORTSIDE, BEFORE)
"""Contestants that can be given an access control by tokens here."""


def _guarded(
    name: str, folder: Path, credentials: Credentials, programs: Programs, auth: Mapping[str, object]
) -> Contestant:
    if name == DISTRIBUTION:
        return distribution(folder, credentials, programs, auth=auth)
    chosen = programs.earlier() if name == BEFORE else programs
    return portside(folder, credentials, chosen, name=name, auth=auth)


def _cost(load: Load, contestant: Contestant, *arguments: str) -> dict[str, float]:
    found = load.measure(contestant, "small", *arguments)
    return {"cpu": found.used.cpu / found.result.requests * 10_000}


def _of_agent(path: str, number: int) -> str:
    agent = (
        f"docker/{20 + number % 9}.{number // 9 % 10}.{number % 25} go/go1.{16 + number % 8} git-commit/{number:07x}"
    )
    return f"{path}\tUser-Agent: {agent} kernel/6.1.{number} os/linux arch/amd64"


@contextlib.contextmanager
def _more(contestant: Contestant, contents: Contents, asked: Asked) -> Iterator[None]:
    """Puts more tags and blobs of eight bytes where a contestant has its contents, and takes them away again."""
    if contestant.takes_pushes:
        root = contestant.data / "docker/registry/v2"
        image = root / "repositories" / REPOSITORY
        made = [image / "_manifests/tags" / tag for tag in asked.tags]
        for folder in made:
            _write(folder / "current/link", contents.manifest_digest.encode())
        for number in range(asked.blobs):
            text = _digest(number).partition(":")[2]
            made += [root / "blobs/sha256" / text[:2] / text, image / "_layers/sha256" / text]
            _write(made[-2] / "data", _content(number))
            _write(made[-1] / "link", f"sha256:{text}".encode())
    else:
        places = contestant.data / f"v2/{REPOSITORY}"
        tags = [places / "manifests" / tag for tag in asked.tags]
        for path in tags:
            os.link(contestant.data / contents.tag_path.lstrip("/"), path)
        blobs = [places / "blobs" / _digest(number) for number in range(asked.blobs)]
        for number, path in enumerate(blobs):
            path.write_bytes(_content(number))
        made = tags + blobs
    try:
        yield
    finally:
        for path in made:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _content(number: int) -> bytes:
    return number.to_bytes(BLOB_BYTES)


def _digest(number: int) -> str:
    return f"sha256:{hashlib.sha256(_content(number)).hexdigest()}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
