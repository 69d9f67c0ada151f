"""How long a refusal takes does not say whether the thing is there: neither is looked for."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from backends.model.names import RepositoryName
from backends.storage.factory import open_folder
from tests.support.gated import Gated, Passwords, basic, gated
from tests.support.pushed_examples import push_example
from tests.support.serving_here import digest_of

PAIRS = 1000
ATTEMPTS = 3
"""A machine that is busy with something else makes a difference by chance, but not every time."""

RULES = "[{allow: [push, delete], to: admin}, {allow: push, to: mine, on: team/mine}]"
LAYER = b"a layer that only hidden has"
HERE, NOWHERE = digest_of(LAYER), digest_of(b"a layer that nobody has")


@pytest.mark.parametrize(
    ("user", "method", "private", "absent"),
    [
        ("mine", "GET", "/v2/team/hidden/manifests/t", "/v2/team/absent/manifests/t"),
        ("", "GET", "/v2/team/hidden/manifests/t", "/v2/team/absent/manifests/t"),
        ("mine", "GET", f"/v2/team/hidden/blobs/{HERE}", f"/v2/team/absent/blobs/{HERE}"),
        ("mine", "DELETE", "/v2/team/hidden/manifests/t", "/v2/team/absent/manifests/t"),
        ("mine", "POST", "/v2/team/hidden/blobs/uploads/", "/v2/team/absent/blobs/uploads/"),
        ("mine", "GET", "/v2/library/hidden/tags/list", "/v2/library/absent/tags/list"),
        ("mine", "GET", "/v1/repositories/team/hidden/tags", "/v1/repositories/team/absent/tags"),
        ("mine", "GET", "/v1/repositories/hidden/images", "/v1/repositories/absent/images"),
        ("mine", "HEAD", f"/v2/team/mine/blobs/{HERE}", f"/v2/team/mine/blobs/{NOWHERE}"),
    ],
)
async def test_what_is_private_takes_as_long_as_what_is_absent(
    tmp_path: Path, user: str, method: str, private: str, absent: str
) -> None:
    storage = open_folder(tmp_path)
    async with gated(Passwords(), rules=RULES, storage=storage) as here:
        for name in ("team/hidden", "library/hidden"):
            await push_example(here.store, RepositoryName(name), "t", "oci-image")
        await here.open.push_blob("team/hidden", LAYER)
        await here.open.push_image("team/mine", "t")
        measured = []
        for _ in range(ATTEMPTS):
            difference, noise = await _measure(here, method, [private, absent], basic(user) if user else {})
            measured.append((difference, noise))
            if abs(difference) < noise:
                break
        else:
            pytest.fail(f"medians differ by more than what requests differ by anyway (microseconds): {measured}")
    await storage.close()


async def _measure(here: Gated, method: str, paths: list[str], headers: dict[str, str]) -> tuple[float, float]:
    """Returns by how much the medians differ, and half of the range of the middle half of all; in microseconds."""
    times: list[list[float]] = [[], []]
    client = here.client(paths[0][1:3])
    async with client.connection() as peer:
        for number in range(PAIRS):
            for which in (0, 1) if number % 2 else (1, 0):
                began = time.perf_counter()
                answer = await client.ask_on(peer, method, paths[which], headers)
                times[which].append((time.perf_counter() - began) * 1e6)
                assert answer.status in {401, 403, 404}
    first, _, third = statistics.quantiles([*times[0], *times[1]], n=4)
    return statistics.median(times[0]) - statistics.median(times[1]), (third - first) / 2
