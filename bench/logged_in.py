"""What access control by an htpasswd file costs those who are logged in: beside a Portside without, and beside guesses.

A client shows its password with each request, as docker does; what is checked once is remembered.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from bench.contents import (
    MANIFEST_TYPE,
    PUSHED,
    Contents,
    check,
    forget_pushes,
    make_contents,
    put_image,
    wait_until_old,
)
from bench.contestants import Contestant, Credentials, started_together
from bench.load import Load
from bench.peers import portside
from bench.programs import Programs
from bench.scale import RATE, Scale
from portside.password_files.hashing import make_hash

USER = "bench"
COST = 10
GUESSES = 200
ACCEPT = f"-header=Accept: {MANIFEST_TYPE}"


@contextlib.contextmanager
def logged_in(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, scale: Scale
) -> Iterator[LoggedIn]:
    """Starts two Portsides with the same contents, one of them with an htpasswd file; ends them after the block."""
    own = folder / f"logged-in-{secrets.token_hex(4)}"
    contents = make_contents(load, large=scale.large, several=4096)
    with contextlib.ExitStack() as stack:
        for name in ("open", "htpasswd"):
            (own / name / "data").mkdir(parents=True)
        stack.callback(shutil.rmtree, own)
        password = secrets.token_hex(8)
        users = own / "users"
        users.write_text(f"{USER}:{make_hash(password.encode(), COST)}\n")
        shown = "Basic " + b64encode(f"{USER}:{password}".encode()).decode()
        auth = {"htpasswd": {"realm": "bench", "path": str(users)}}
        without = portside(own / "open", credentials, programs, name="open")
        guarded = portside(own / "htpasswd", credentials, programs, name="htpasswd", auth=auth, authorization=shown)
        stack.enter_context(started_together((without, guarded)))
        for contestant in (without, guarded):
            put_image(contestant, contents, load)
            check(contestant, contents, load)
        yield LoggedIn(without, guarded, contents, load, scale, written=time.monotonic())


class LoggedIn:
    """Both, and what is measured of them: each method yields the figures of one round after another."""

    def __init__(
        self,
        without: Contestant,
        guarded: Contestant,
        contents: Contents,
        load: Load,
        scale: Scale,
        *,
        written: float,
    ) -> None:
        self._open = without
        self._guarded = guarded
        self._contents = contents
        self._load = load
        self._scale = scale
        self._written = written
        self._seeds = itertools.count(1)

    def requests(self) -> Iterator[dict[str, float]]:
        """CPU with an htpasswd file, divided by that without."""
        tag = (f"-path={self._contents.tag_path}", ACCEPT)
        small = {"base": ("-path=/v2/",), "tag": tag, "head": ("-method=HEAD", f"-path={self._contents.small.path}")}
        duration = f"-seconds={self._scale.small_seconds}"
        for number in range(self._scale.pair_rounds + 1):
            if number == 1:
                wait_until_old(self._written)
            order = (self._open, self._guarded) if number % 2 else (self._guarded, self._open)
            costs: dict[str, dict[str, float]] = {}
            for contestant in order:
                found = {name: self._small(contestant, duration, *request) for name, request in small.items()}
                found |= {"pull": self._pull(contestant), "push": self._push(contestant)}
                costs[contestant.name] = found
            if number > 0:  # the first one warms up what keeps answers
                yield {name: cost / costs[self._open.name][name] for name, cost in costs[self._guarded.name].items()}

    def flood(self) -> Iterator[dict[str, float]]:
        """What becomes of those who are logged in while others guess."""
        much = f"-bytes={self._scale.guessed_at}"  # or the check of one guess would be as much as all of the pull
        self._pull(self._guarded, much)
        for _ in range(self._scale.costly_rounds):
            quiet, p99 = self._pull(self._guarded, much), self._p99()
            with self._guesses(addresses=1):
                guessed_at = {"pull": self._pull(self._guarded, much) / quiet, "p99": self._p99() / p99}
            with self._guesses(addresses=32):
                guessed_at["many"] = self._p99() / p99
            yield guessed_at

    @contextlib.contextmanager
    def _guesses(self, *, addresses: int) -> Iterator[None]:
        """Has the user's password guessed at in the block."""
        arguments = (f"-rate={GUESSES}", f"-user={USER}", f"-addresses={addresses}")
        with self._load.run(self._guarded, "guesses", *arguments) as run:
            run.begin()
            time.sleep(self._scale.checked_seconds)
            yield

    def _small(self, contestant: Contestant, *request: str) -> float:
        found = self._load.measure(contestant, "small", *request)
        return found.used.cpu / found.result.requests

    def _pull(self, contestant: Contestant, *more: str) -> float:
        found = self._load.measure(contestant, "pull", f"-path={self._contents.large.path}", *more)
        return found.used.cpu / found.result.bytes

    def _push(self, contestant: Contestant) -> float:
        size = self._scale.pushed_each
        seed = next(self._seeds) + 1000
        digests = self._load.digests((seed,), size=size)
        known = (f"-seed={seed}", f"-digest={digests[0]}")
        found = self._load.measure(contestant, "push", f"-repository={PUSHED}", f"-size={size}", *known)
        forget_pushes(contestant, digests)
        return found.used.cpu / size

    def _p99(self) -> float:
        pace = (f"-rate={RATE}", f"-seconds={self._scale.paced_seconds}")
        return self._load.measure(
            self._guarded, "paced", *pace, f"-path={self._contents.tag_path}", ACCEPT
        ).result.p99_ms
