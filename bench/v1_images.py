"""What the v1 protocol costs: pushes and pulls of chains of images with small layers, and the bytes of a large one."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator

from bench import proc
from bench.contents import Contents
from bench.contestants import Contestant
from bench.converting import Client
from bench.load import Load

REPOSITORY = "bench/small"
LAYERS = 8
LAYER_BYTES = 1024
TAG, LARGE = "t0", "large"


def measure_v1_push(contestant: Contestant, chains: int) -> float:
    """Pushes chains and removes them; returns the CPU seconds of all server processes for each image."""
    with contextlib.closing(Client(contestant)) as client:
        before = proc.usage(contestant.pids())
        for chain in range(chains):
            client.push_v1(REPOSITORY, f"t{chain}", _small_layers())
        used = proc.used_between(before, proc.usage(contestant.pids()))
    _remove(contestant)
    return used.cpu / (chains * LAYERS)


@contextlib.contextmanager
def v1_images(contestant: Contestant, *, large: int) -> Iterator[V1Images]:
    """Pushes a chain with small layers and an image with a large one; removes them after the block."""
    with contextlib.closing(Client(contestant)) as client:
        client.push_v1(REPOSITORY, TAG, _small_layers())
        client.push_v1(REPOSITORY, LARGE, [secrets.token_bytes(large)])
        yield V1Images(contestant, client, client.v1_image(REPOSITORY, LARGE))
    _remove(contestant)


class V1Images:
    """A contestant that holds them."""

    def __init__(self, contestant: Contestant, client: Client, large: str) -> None:
        self._contestant = contestant
        self._client = client
        self._large = large

    def pull(self, times: int) -> float:
        """Pulls the chain so many times; returns the CPU seconds of all server processes for each pull."""
        before = proc.usage(self._contestant.pids())
        for _ in range(times):
            self._client.pull_v1(REPOSITORY, TAG, [LAYER_BYTES] * LAYERS)
        return proc.used_between(before, proc.usage(self._contestant.pids())).cpu / times

    def layer(self, load: Load, contents: Contents) -> float:
        """Returns the CPU of the large layer's bytes divided by that of as many of a blob of the v2 protocol."""
        blob = contents.several[0].path
        paths = (f"-path=/v1/images/{self._large}/layer", f"-path={blob}")
        amount = f"-bytes={contents.large.size}"
        spent = [load.measure(self._contestant, "pull", path, amount) for path in paths]
        v1, v2 = (found.used.cpu / found.result.bytes for found in spent)
        return v1 / v2


def _small_layers() -> list[bytes]:
    return [secrets.token_bytes(LAYER_BYTES) for _ in range(LAYERS)]


def _remove(contestant: Contestant) -> None:
    for folder in ("images", "repositories"):
        shutil.rmtree(contestant.data / folder)
