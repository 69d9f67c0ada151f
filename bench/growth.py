"""Whether a request costs more where there is much: two Portsides side by side, one with few, one with many.

Both get the same small image through the interface, and have converted a v1 image; then one's disk is given many tags,
repositories, blobs, uploads, referrers, v1 images, conversions and events in the layout of the programs that write them
(`many`). An endpoint that is down is told of every push, so events wait.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import proc
from bench.contents import AGENT, MANIFEST_TYPE, REPOSITORY, Contents, make_contents, put_image
from bench.contestants import HOST, Contestant, Credentials, free_port
from bench.converting import Client, write_v1_image
from bench.load import Load
from bench.many import (
    OCI_MANIFEST,
    OLD,
    append_events,
    fill_v1,
    fill_v2,
    multiply_conversions,
    note_passes,
    referrer,
    write_search_index,
)
from bench.peers import portside
from bench.programs import Hindrance, Programs
from bench.scale import Scale

FEW = 10
SEARCHED = 4
"""So many times as long is a search measured, which asks threads: some hundreds of them cost 0.8 to 1.7 times as much
as the hundreds before."""
QUIET_SECONDS = 0.5
QUIET_CPU = 0.02
BUSY_SECONDS = 30.0
_ACCEPT = f"-header=Accept: {MANIFEST_TYPE}"

Costs = Mapping[str, Callable[[], float]]
"""What measures a request of each kind: CPU seconds of all server processes for one of them."""


def measure_growth(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, *, scale: Scale
) -> Iterator[dict[str, float]]:
    """Yields, for each round, the CPU of each kind of request with many divided by that with few."""
    contents = make_contents(load, large=4096, several=4096)
    endpoint = {"name": "down", "url": f"http://{HOST}:{free_port()}/", "threshold": 1, "backoff": "1h"}
    with contextlib.ExitStack() as stack:
        both: list[Contestant] = []
        pair: list[Costs] = []
        for name, count in (("few", FEW), ("many", scale.many)):
            own = folder / name
            note_passes(own / "data")
            contestant = portside(own, credentials, programs, name=name, endpoints=[endpoint])
            stack.callback(contestant.stop)
            contestant.start()
            both.append(contestant)
            put_image(contestant, contents, load)
            one = _Registry(
                contestant, contents, load, itertools.count(scale.many), scale.growth_seconds, scale.growth_pushes
            )
            one.fill(count)
            pair.append(one.costs())
            warming = replace(one, seconds=one.seconds * scale.warming)
            for cost in warming.costs().values():  # what is made once and kept may cost what it costs
                cost()
        wait_until_idle(both)
        for number in range(scale.pair_rounds):
            found: dict[str, float] = {}
            for name in pair[0]:
                spent = {index: pair[index][name]() for index in ((0, 1) if number % 2 else (1, 0))}
                found[name] = spent[1] / spent[0]
            yield found


def wait_until_idle(contestants: Sequence[Contestant]) -> None:
    """Waits until all of them do nothing by themselves.

    Raises:
        Hindrance: they go on and on.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        before = [proc.usage(each.pids()) for each in contestants]
        time.sleep(QUIET_SECONDS)
        after = [proc.usage(each.pids()) for each in contestants]
        used = [proc.used_between(*pair).cpu for pair in zip(before, after, strict=True)]
        if max(used) < QUIET_CPU * QUIET_SECONDS:
            return
        if time.monotonic() > deadline:
            busy = contestants[used.index(max(used))].name
            raise Hindrance(f"{busy} is still busy {BUSY_SECONDS:.0f} seconds after its last request")


@dataclass(frozen=True, slots=True)
class _Registry:
    """One of the two.

    Attributes:
        numbers: of referrers that are pushed, none twice.
        seconds: one measurement of a request that is repeated.
        pushes: one of a push.
    """

    contestant: Contestant
    contents: Contents
    load: Load
    numbers: Iterator[int]
    seconds: float
    pushes: int

    def fill(self, count: int) -> None:
        """Puts so many of everything below its root."""
        data = self.contestant.data
        write_v1_image(data, OLD, "latest", [_layer()])
        with self._client() as client:
            client.get(f"/v2/{OLD}/manifests/latest", AGENT)
        fill_v2(data, self.contents, count=count)
        fill_v1(data, _layer(), count=count)
        multiply_conversions(data)
        append_events(data, count=count)
        write_search_index(data)

    def costs(self) -> Costs:
        with self._client() as client:
            image_id = client.v1_image(OLD, "latest")
            converted = json.loads(client.get(f"/v2/{OLD}/manifests/latest", AGENT))
        [layer] = converted["layers"]
        image, contents = f"/v2/{REPOSITORY}", self.contents
        return {
            "tag": self._small(f"-path={contents.tag_path}", _ACCEPT),
            "head": self._small("-method=HEAD", f"-path={contents.small.path}"),
            "blob": self._small(f"-path={contents.small.path}"),
            "upload": self._load("uploads", f"-path={image}/blobs/uploads/"),
            "push": self._pushes(lambda client: client.push_blob(REPOSITORY, os.urandom(64))),
            "list": self._small(f"-path={image}/tags/list?n={FEW}"),
            "catalog": self._small(f"-path=/v2/_catalog?n={FEW}"),
            "referrers": self._small(f"-path={image}/referrers/{contents.manifest_digest}?n={FEW}"),
            "refer": self._pushes(self._refer),
            "told": self._pushes(
                lambda client: client.push_manifest(REPOSITORY, "told", contents.manifest, MANIFEST_TYPE)
            ),
            "converted": self._small(f"-path=/v2/{OLD}/manifests/latest", _ACCEPT),
            "converted_layer": self._small("-method=HEAD", f"-path=/v2/{OLD}/blobs/{layer['digest']}"),
            "search": self._small(f"-path=/v1/search?q=r00000&n={FEW}", times=SEARCHED),
            "v1_tag": self._small(f"-path=/v1/repositories/{OLD}/tags/latest"),
            "v1_list": self._small(f"-path=/v2/{OLD}/tags/list?n={FEW}"),
            "v1_image": self._small(f"-path=/v1/images/{image_id}/json"),
            "v1_push": self._pushes(lambda client: client.push_v1(OLD, "pushed", [secrets.token_bytes(64)])),
        }

    def _refer(self, client: Client) -> None:
        manifest = referrer(self.contents, next(self.numbers))
        client.push_manifest(REPOSITORY, "refers", manifest, OCI_MANIFEST)

    def _small(self, *arguments: str, times: float = 1) -> Callable[[], float]:
        return self._load("small", *arguments, times=times)

    def _load(self, verb: str, *arguments: str, times: float = 1) -> Callable[[], float]:
        def measure() -> float:
            duration = f"-seconds={self.seconds * times}"
            found = self.load.measure(self.contestant, verb, duration, "-connections=8", *arguments)
            return found.used.cpu / found.result.requests

        return measure

    def _pushes(self, push: Callable[[Client], object]) -> Callable[[], float]:
        def measure() -> float:
            with self._client() as client:
                push(client)  # connects
                before = proc.usage(self.contestant.pids())
                for _ in range(self.pushes):
                    push(client)
                return proc.used_between(before, proc.usage(self.contestant.pids())).cpu / self.pushes

        return measure

    def _client(self) -> contextlib.closing[Client]:
        return contextlib.closing(Client(self.contestant))


def _layer() -> bytes:
    """The same bytes whenever it is called."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        made.addfile(tarfile.TarInfo("empty"))
    return gzip.compress(archive.getvalue(), mtime=0)
