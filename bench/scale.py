"""How much is measured: enough to mean something, or enough to see in two minutes."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30
EIGHT = 8
CLIENTS = 32
RATE = 500


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes in bytes, times in seconds.

    Attributes:
        rounds: how often each row goes through its contestants, one after another.
        small_rounds: the same for small requests, which a burst of other work on the machine hits hardest.
        small_seconds: one measurement of a small request.
        new_requests: requests that nobody has asked before, in one measurement.
        paced_seconds: one measurement at a fixed rate.
        large: the large layer.
        pulled_each: each of eight layers that are pulled at once.
        layer_of_ten: each layer of the image that twenty clients pull at once.
        pushed_each: each of eight layers that are pushed at once.
        moved_each: what each of 32 clients moves while memory is watched.
        many: how much there is of everything where a request's cost must not grow (`many`).
        converted_each: each layer's tar where images are converted.
        listed_tags, listed_repositories, listed_referrers: so long are listings of which pages are asked for.
        slow_rounds: rounds while the disk is slow.
        slow_each: each of eight layers that are pushed to it at once.
        slow_speed: bytes a second that it takes.
    """

    name: str
    rounds: int
    small_rounds: int
    small_seconds: float
    new_requests: int
    paced_seconds: float
    large: int
    pulled_each: int
    layer_of_ten: int
    pushed_each: int
    moved_each: int
    many: int
    converted_each: int
    listed_tags: int
    listed_repositories: int
    listed_referrers: int
    slow_rounds: int
    slow_each: int
    slow_speed: int

    @property
    def room(self) -> int:
        """Bytes of disk that are needed at once: half of the clients push, and each contestant has the contents."""
        contents = 5 * (self.large + EIGHT * (self.pulled_each + self.pushed_each))
        return max(CLIENTS // 2 * self.moved_each, EIGHT * self.slow_each) + contents + GIB


FULL = Scale(
    "full",
    rounds=5,
    small_rounds=7,
    small_seconds=2,
    new_requests=2_000,
    paced_seconds=6,
    large=256 * MIB,
    pulled_each=64 * MIB,
    layer_of_ten=4 * MIB,
    pushed_each=32 * MIB,
    moved_each=GIB,
    many=5_000,
    converted_each=80 * MIB,
    listed_tags=100_000,
    listed_repositories=10_000,
    listed_referrers=100_000,
    slow_rounds=2,
    slow_each=256 * MIB,
    slow_speed=150 * MIB,
)
QUICK = Scale(
    "quick",
    rounds=3,
    small_rounds=5,
    small_seconds=0.35,
    new_requests=600,
    paced_seconds=1,
    large=128 * MIB,
    pulled_each=32 * MIB,
    layer_of_ten=2 * MIB,
    pushed_each=16 * MIB,
    moved_each=64 * MIB,
    many=2_000,
    converted_each=24 * MIB,
    listed_tags=20_000,
    listed_repositories=2_000,
    listed_referrers=20_000,
    slow_rounds=1,
    slow_each=24 * MIB,
    slow_speed=64 * MIB,
)
