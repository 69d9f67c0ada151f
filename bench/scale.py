"""How much is measured: enough to mean something, or enough to see in two minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        pair_rounds: the same where two Portsides, or two ways to the same bytes, are compared: small requests too.
        small_seconds: one measurement of a small request.
        warming: the share of a measurement, in time or bytes, that is made before the first that counts.
        warmup: requests on each connection before the clock of a small request starts.
        varied: tags, User-Agents or tokens that are asked with in turn.
        new_requests: requests that nobody has asked before, in one measurement.
        paced_seconds: one measurement at a fixed rate.
        large: the large layer.
        pulled_each: each of eight layers that are pulled at once.
        image_rounds: rounds of pulls of an image by twenty clients.
        layer_of_ten: each layer of the image that twenty clients pull at once.
        pushed_each: each of eight layers that are pushed at once.
        asked_seconds: for so long small requests are asked before the look at idle memory.
        settled_seconds: from the last of them to the look at idle memory.
        moved_each: what each of 32 clients moves while memory is watched.
        growth_seconds: one measurement of a small request there.
        growth_pushes: one of a push.
        many: how much there is of everything where a request's cost must not grow (`many`).
        converted_each: each layer's tar where images are converted.
        converted_images: of three such layers each, in one round: nothing else of the machine should count.
        listed_tags, listed_repositories, listed_referrers: so long are listings of which pages are asked for.
        costly_rounds: rounds of what takes longest: pushes to a slow disk, and guesses at passwords.
        slow_each: each of eight layers that are pushed to it at once.
        slow_speed: bytes a second that it takes.
        checked_seconds: after so long the first guesses have been checked, and the others are put off.
        guessed_at: bytes of one pull beside which passwords are guessed at.
        v1_chains: chains of images that one measurement of the v1 protocol pushes.
        v1_pulls: pulls of such a chain in another.
        told_pushes: of each kind, in one round.
    """

    name: str
    rounds: int
    small_rounds: int
    pair_rounds: int
    small_seconds: float
    warming: float
    warmup: int
    varied: int
    new_requests: int
    paced_seconds: float
    large: int
    pulled_each: int
    image_rounds: int
    layer_of_ten: int
    pushed_each: int
    asked_seconds: float
    settled_seconds: float
    moved_each: int
    growth_seconds: float
    growth_pushes: int
    many: int
    converted_each: int
    converted_images: int
    listed_tags: int
    listed_repositories: int
    listed_referrers: int
    costly_rounds: int
    slow_each: int
    slow_speed: int
    checked_seconds: float
    guessed_at: int
    v1_chains: int
    v1_pulls: int
    told_pushes: int

    def of_rounds(self, rounds: int) -> Scale:
        """Returns the same, with so many rounds of everything."""
        return replace(
            self,
            rounds=rounds,
            small_rounds=rounds,
            pair_rounds=rounds,
            image_rounds=rounds,
            costly_rounds=rounds,
        )

    @property
    def room(self) -> int:
        """Bytes of disk that are needed at once: half of the clients push, and each contestant has the contents."""
        contents = 5 * (self.large + EIGHT * (self.pulled_each + self.pushed_each))
        return max(CLIENTS // 2 * self.moved_each, EIGHT * self.slow_each) + contents + GIB


FULL = Scale(
    "full",
    rounds=5,
    small_rounds=7,
    pair_rounds=7,
    small_seconds=0.7,
    warming=1,
    warmup=3,
    varied=500,
    new_requests=700,
    paced_seconds=2,
    large=256 * MIB,
    pulled_each=64 * MIB,
    image_rounds=5,
    layer_of_ten=4 * MIB,
    pushed_each=32 * MIB,
    asked_seconds=0.3,
    settled_seconds=0.5,
    moved_each=256 * MIB,
    growth_seconds=0.15,
    growth_pushes=10,
    many=5_000,
    converted_each=80 * MIB,
    converted_images=3,
    listed_tags=100_000,
    listed_repositories=10_000,
    listed_referrers=50_000,
    costly_rounds=3,
    slow_each=256 * MIB,
    slow_speed=200 * MIB,
    checked_seconds=2,
    guessed_at=2 * GIB,
    v1_chains=6,
    v1_pulls=24,
    told_pushes=30,
)
QUICK = Scale(
    "quick",
    rounds=2,
    small_rounds=3,
    pair_rounds=2,
    small_seconds=0.05,
    warming=0.3,
    warmup=1,
    varied=100,
    new_requests=64,
    paced_seconds=0.4,
    large=48 * MIB,
    pulled_each=12 * MIB,
    image_rounds=1,
    layer_of_ten=MIB,
    pushed_each=6 * MIB,
    asked_seconds=0.1,
    settled_seconds=0.2,
    moved_each=8 * MIB,
    growth_seconds=0.08,
    growth_pushes=6,
    many=300,
    converted_each=12 * MIB,
    converted_images=1,
    listed_tags=12_000,
    listed_repositories=1_000,
    listed_referrers=1_000,
    costly_rounds=1,
    slow_each=8 * MIB,
    slow_speed=64 * MIB,
    checked_seconds=1,
    guessed_at=768 * MIB,
    v1_chains=2,
    v1_pulls=8,
    told_pushes=16,
)
