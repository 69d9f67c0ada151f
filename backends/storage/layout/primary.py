"""Truth of ours, but for what conversions make; and the files by which processes agree."""

from __future__ import annotations

from backends.model.digest import Digest
from backends.model.names import RepositoryName, TagName

PRIMARY = "/docker/registry/portside/primary"
TAG_RECORDS = f"{PRIMARY}/tags"
SCHEMA1_KEY = f"{PRIMARY}/keys/schema1.pem"
TOKEN_KEY = f"{PRIMARY}/keys/tokens"
SECRETS = frozenset({TOKEN_KEY})
"""Files that no other users of the machine may read: whoever has their content can pass for anybody."""

EVENTS = f"{PRIMARY}/events"
EVENT_LOG = f"{EVENTS}/log"
EVENT_ENDPOINTS = f"{EVENTS}/endpoints"

TEMPORARY = "/docker/registry/portside/tmp"
LOCKS = "/docker/registry/portside/locks"
PURGED = "/docker/registry/portside/purged"
ROOM_SOUGHT = "/docker/registry/portside/room-sought"
UNSYNCED = "/docker/registry/portside/unsynced"


def tag_records(name: RepositoryName) -> str:
    """The folder of the records of a repository's tags."""
    return f"{TAG_RECORDS}/{name}/_tags"


def tag_record(name: RepositoryName, tag_name: TagName) -> str:
    return f"{TAG_RECORDS}/{name}/_tags/{tag_name}"


def all_signed_schema1(name: RepositoryName) -> str:
    """The folder of all signed schema 1 documents of a repository."""
    return f"{PRIMARY}/schema1/{name}/_signed"


def signed_schema1(name: RepositoryName, digest: Digest) -> str:
    return f"{all_signed_schema1(name)}/{digest.algorithm}/{digest.hex}"


def event_endpoint(key: str) -> str:
    """The folder of what is known about an endpoint."""
    return f"{EVENT_ENDPOINTS}/{key}"
