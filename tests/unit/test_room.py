"""When room is too little: the smaller of a share and of a number, of bytes and of files."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.errors import ErrorCode, RegistryError
from backends.registry.low_room import require_room
from backends.storage.capabilities import Room
from backends.storage.room import RoomSettings, RoomWatch, find_shortage, show_size
from portside.settings.sizes import parse_size

GIB = 1024**3
MANY = 10**9
UNTIL = "pulls work, new uploads are refused until"


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(5 * GIB, 100 * GIB, MANY, MANY), ""),
        (Room(2 * GIB, 100 * GIB, MANY, MANY), ""),  # 5 % would be 5 GiB
        (
            Room(2 * GIB - 1, 100 * GIB, MANY, MANY),
            f"2.0 GiB of 100.0 GiB are free; {UNTIL} 2.2 GiB are",
        ),
        (Room(GIB, 20 * GIB, MANY, MANY), ""),
        (Room(GIB - 1, 20 * GIB, MANY, MANY), "until 1.1 GiB are"),  # 5 % is the smaller one
        (Room(0, 20 * GIB, MANY, MANY), "0 bytes of"),
        (
            Room(9 * GIB, 20 * GIB, 9_999, MANY),
            f"9999 of 1000000000 inodes are free; {UNTIL} 11000 are",
        ),
        (Room(9 * GIB, 20 * GIB, 10_000, MANY), ""),
        (
            Room(9 * GIB, 20 * GIB, 49, 1000),
            f"49 of 1000 inodes are free; {UNTIL} 55 are",
        ),
        (Room(9 * GIB, 20 * GIB, 50, 1000), ""),
        (Room(9 * GIB, 20 * GIB, 0, 0), ""),  # nobody counts inodes there
    ],
)
def test_the_smaller_of_a_share_and_of_a_number_must_be_left(room: Room, words: str) -> None:
    found = find_shortage(room, RoomSettings())
    assert bool(found) == bool(words)
    assert words in found


@pytest.mark.parametrize(
    ("settings", "low"),
    [
        (RoomSettings(percent=0), False),
        (RoomSettings(least_bytes=0), True),  # files are still short
        (RoomSettings(least_files=0), True),  # bytes are still short
        (RoomSettings(least_bytes=0, least_files=0), False),
        (RoomSettings(percent=100, least_bytes=10 * GIB), True),
    ],
)
def test_nothing_asked_for_is_nothing_refused(settings: RoomSettings, low: bool) -> None:  # noqa: FBT001 - a table
    assert bool(find_shortage(Room(0, 20 * GIB, 0, 1000), settings)) == low


class Volumes:
    """A driver that measures what it is told."""

    def __init__(self, *rooms: Room) -> None:
        self.rooms: Sequence[Room] = rooms

    async def measure_room(self) -> Sequence[Room]:
        return self.rooms


def free(size: int) -> Room:
    return Room(size, 100 * GIB, MANY, MANY)


async def test_it_is_what_was_measured_last_and_one_volume_is_enough() -> None:
    volumes = Volumes(free(90 * GIB), free(GIB))
    watch = RoomWatch(volumes)
    require_room(watch)  # nothing was measured yet
    await watch.measure()
    with pytest.raises(RegistryError) as caught:
        require_room(watch)
    assert (caught.value.code, caught.value.status) == (ErrorCode.INSUFFICIENT_STORAGE, 507)
    volumes.rooms = [free(90 * GIB)]
    assert watch.is_low
    await watch.measure()
    require_room(watch)


async def test_it_does_not_change_to_and_fro_at_the_border() -> None:
    volumes = Volumes()
    watch = RoomWatch(volumes)
    lows = []
    for size in (2.01, 1.99, 2.01, 1.99, 2.19, 2.21, 2.01, 1.99):
        volumes.rooms = [free(int(size * GIB))]
        await watch.measure()
        lows.append(watch.is_low)
    assert lows == [False, True, True, True, True, False, False, True]


async def test_where_room_has_no_bound_it_is_never_low() -> None:
    watch = RoomWatch()
    await watch.measure()
    require_room(watch)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), (1048576, 1048576), ("500MiB", 500 * 1024**2), ("2GiB", 2 * GIB), ("10GB", 10**10), ("1.5 KiB", 1536),
     ("7B", 7), (" 3TB ", 3 * 10**12)],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2G", "2gib", "iB", "GiB", "-1", "1e3", "2 G iB", True, "1,5GiB", "9" * 40, "٣"])
def test_what_is_not_a_size_is_told(text: object) -> None:
    with pytest.raises(ValueError, match="a size is written like 500MiB"):
        parse_size(text)


@given(size=st.integers(0, 1 << 70))
def test_a_size_is_shown_short(size: int) -> None:
    assert len(show_size(size)) < 20
