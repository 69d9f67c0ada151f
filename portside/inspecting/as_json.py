"""What `portside inspect` found out, for machines: docs/inspect.md describes it, and it only ever grows. PURE."""

from __future__ import annotations

import json
import time
from typing import Any

from portside.inspecting.facts import Entry, Inspection, Names, Received, RepositoryInspection, Stored

STORED = ("generation", "mediaType", "digest", "id", "size", "total", "layers", "set", "setBy")
"""The keys of what is stored; of a tag that names nothing that is here, all are null."""


def as_json(found: Inspection | RepositoryInspection) -> str:
    """Returns it as one JSON object."""
    document: dict[str, Any]
    if isinstance(found, RepositoryInspection):
        document = {
            "names": names_as_json(found.names),
            "tags": [_tag(tag, each) for tag, each in found.tags],
        }
    else:
        document = {
            "names": names_as_json(found.names),
            "tag": found.tag,
            "stored": stored_as_json(found.stored),
            "madeOf": None if found.made_of is None else {**stored_as_json(found.made_of), "rule": found.made_by},
            "platforms": [_entry(each) for each in found.entries],
            "clients": [received_as_json(each) for each in found.received],
            "derived": [
                {"digest": each.digest, "mediaType": each.media_type, "size": each.size, "rule": each.rule}
                for each in found.derived
            ],
        }
    return json.dumps(document, indent=2)


def _tag(tag: str, each: Stored | None) -> dict[str, Any]:
    return {"tag": tag, **(dict.fromkeys(STORED) if each is None else stored_as_json(each))}


def names_as_json(names: Names) -> dict[str, Any]:
    """Returns the names of a repository."""
    return {
        "name": names.canonical,
        "v1": names.v1,
        "aliases": list(names.aliases),
        "v1Only": names.is_v1_only,
        "note": names.note or None,
    }


def stored_as_json(stored: Stored) -> dict[str, Any]:
    """Returns what a tag or a digest names."""
    is_v1 = stored.generation == "v1"
    return {
        "generation": stored.generation,
        "mediaType": stored.media_type,
        "digest": None if is_v1 else stored.name,
        "id": stored.name if is_v1 else None,
        "size": stored.size,
        "total": stored.total,
        "layers": stored.layers,
        "set": None if stored.written is None else _rfc3339(stored.written),
        "setBy": stored.writer or None,
    }


def _entry(each: Entry) -> dict[str, Any]:
    return {
        "platform": each.platform or None,
        "kind": each.kind,
        "mediaType": each.media_type,
        "digest": each.digest,
        "size": each.size,
        "total": each.total,
        "here": each.is_here,
    }


def received_as_json(each: Received) -> dict[str, Any]:
    """Returns what a group of clients receives."""
    is_id = bool(each.name) and ":" not in each.name
    return {
        "clients": each.group.key,
        "description": each.group.text,
        "state": each.making.value,
        "mediaType": each.media_type or None,
        "digest": None if is_id else each.name or None,
        "id": each.name if is_id else None,
        "size": each.size,
        "rule": each.rule or None,
        "why": each.why or None,
    }


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
