"""Whether a request costs more where there is much: two Portsides side by side, one with few, one with many.

Both get the same small image through the interface; then one's disk is given many tags, repositories, blobs and uploads
in distribution's layout, which is Portside's own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from bench.contents import MANIFEST_TYPE, REPOSITORY, Contents, make_contents, put_image
from bench.contestants import Contestant, Credentials
from bench.load import Load
from bench.peers import portside
from bench.programs import Programs

FEW = 10
STARTED = "2026-01-01T00:00:00Z"
ACCEPT = f"-header=Accept: {MANIFEST_TYPE}"


def measure_growth(
    folder: Path,
    credentials: Credentials,
    programs: Programs,
    load: Load,
    *,
    rounds: int,
    seconds: float,
    many: int,
) -> Iterator[dict[str, float]]:
    """Yields, for each round, the CPU of each kind of request with many divided by that with few."""
    contents = make_contents(load, large=4096, several=4096)
    requests = _requests(contents, seconds)
    with contextlib.ExitStack() as stack:
        pair: list[Contestant] = []
        for name, count in (("few", FEW), ("many", many)):
            own = folder / name
            (own / "data").mkdir(parents=True)
            contestant = portside(own, credentials, programs, name=name)
            stack.callback(contestant.stop)
            contestant.start()
            put_image(contestant, contents, load)
            fill(contestant.data, contents, count=count)
            pair.append(contestant)
            for verb, arguments in requests.values():  # what is made once and kept may cost what it costs
                load.measure(contestant, verb, *arguments)
        for _ in range(rounds):
            yield {
                name: _cost(load, pair[1], verb, arguments) / _cost(load, pair[0], verb, arguments)
                for name, (verb, arguments) in requests.items()
            }


def fill(data: Path, contents: Contents, *, count: int) -> None:
    """Puts `count` more tags, repositories, blobs and uploads below a registry's root, each with what makes it one."""
    root = data / "docker/registry/v2"
    image = root / "repositories" / REPOSITORY
    for number in range(count):
        _link(image / "_manifests/tags" / f"tag-{number:06}" / "current", contents.manifest_digest)
        (root / "repositories/many" / f"r{number:06}" / "_manifests").mkdir(parents=True)
        content = number.to_bytes(8, "big")
        name = hashlib.sha256(content).hexdigest()
        _file(root / "blobs/sha256" / name[:2] / name, "data", content)
        _link(image / "_layers/sha256" / name, f"sha256:{name}")
        _file(image / "_uploads" / str(UUID(int=number, version=4)), "startedat", STARTED.encode())


def _requests(contents: Contents, seconds: float) -> dict[str, tuple[str, tuple[str, ...]]]:
    duration = f"-seconds={seconds}"
    return {
        "tag": ("small", (duration, f"-path={contents.tag_path}", ACCEPT)),
        "head": ("small", (duration, "-method=HEAD", f"-path={contents.small.path}")),
        "upload": ("uploads", (duration, f"-path=/v2/{REPOSITORY}/blobs/uploads/")),
        "list": ("small", (duration, f"-path=/v2/{REPOSITORY}/tags/list?n={FEW}")),
        "catalog": ("small", (duration, f"-path=/v2/_catalog?n={FEW}")),
    }


def _cost(load: Load, contestant: Contestant, verb: str, arguments: tuple[str, ...]) -> float:
    found = load.measure(contestant, verb, *arguments)
    return found.used.cpu / found.result.requests


def _link(folder: Path, digest: str) -> None:
    _file(folder, "link", digest.encode())


def _file(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
