"""What a push by the v1 protocol costs beside its bytes: chains of images with small layers."""

from __future__ import annotations

import contextlib
import secrets
import shutil

from bench import proc
from bench.contestants import Contestant
from bench.converting import Client

REPOSITORY = "bench/small"
CHAINS = 6
LAYERS = 8
LAYER_BYTES = 1024


def measure_v1_push(contestant: Contestant) -> float:
    """Pushes some chains and removes them; returns the CPU seconds of all server processes for each image."""
    with contextlib.closing(Client(contestant)) as client:
        before = proc.usage(contestant.pids())
        for chain in range(CHAINS):
            client.push_v1(REPOSITORY, f"t{chain}", [secrets.token_bytes(LAYER_BYTES) for _ in range(LAYERS)])
        used = proc.used_between(before, proc.usage(contestant.pids()))
    for folder in ("images", "repositories"):
        shutil.rmtree(contestant.data / folder)
    return used.cpu / (CHAINS * LAYERS)
