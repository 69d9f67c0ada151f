"""Pushes that have begun and not ended: what Portside has staged of them, with their age and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from backends.model.names import is_image_id
from backends.storage import layout
from portside.v1_check.findings import Finding, Kind
from portside.v1_check.leftovers import unknown
from portside.v1_check.showing import show_age
from portside.v1_check.volume import Gone, Unreadable, Volume, evidence_of


def staged_folders(volume: Volume) -> Iterator[str]:
    """Yields the folders of staged images, those by repositories too."""
    yield from _below(volume, layout.V1_STAGING)
    for namespace in _below(volume, layout.V1_STAGED_COPIES):
        for repository in _below(volume, namespace):
            yield from _below(volume, repository)


def check_staged(volume: Volume, folder: str) -> Iterator[Finding]:
    """Yields what is to be said of the staging of an image."""
    where = folder.lstrip("/")
    if not is_image_id(PurePosixPath(folder).name):
        yield unknown(where, PurePosixPath(folder).name)
        return
    try:
        info = volume.stat(folder)
        entries = volume.entries(folder)
        files = [volume.stat(f"{folder}/{entry}") for entry in entries]
    except Gone:
        return
    except Unreadable as error:
        yield error.finding
        return
    size = sum(each.st_size for each in files)
    since = max(each.st_mtime for each in (info, *files))
    whose = _owner(folder)
    what = (
        f"is a push{whose} that has not ended, with {size} bytes, last touched {show_age(since)}, by uid {info.st_uid}"
    )
    yield Finding(Kind.STAGED, where, what, evidence_of(info))


def _owner(folder: str) -> str:
    if not folder.startswith(layout.V1_STAGED_COPIES + "/"):
        return ""
    namespace, entry, _ = folder.removeprefix(layout.V1_STAGED_COPIES + "/").split("/")
    name = layout.v1_name_of(namespace, entry)
    return f" to {name.text}" if name is not None else ""


def _below(volume: Volume, folder: str) -> list[str]:
    try:
        return [f"{folder}/{entry}" for entry in volume.entries(folder)]
    except (Gone, Unreadable):
        return []
