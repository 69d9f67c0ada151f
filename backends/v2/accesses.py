"""What an operation of the v2 API touches beyond the repository in its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp.web import BaseRequest

from backends.http.request_info import parse_query
from backends.model.actions import Action
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, parse_repository_name
from backends.web.operations import Access, RegistryAccess, RepositoryAccess, Values


def touches_mount_source(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:  # noqa: ARG001 - as every `touches`
    """Returns the push to the repository in the path, and for a mount the pull from the one in the query.

    A mount that is refused is not an error: it becomes an upload, as if the blob were not there.
    """
    target, source = RepositoryAccess(action, values["name"]), values.get("source")
    return (target,) if source is None else (target, RepositoryAccess(Action.PULL, source, required=False))


def touches_its_caller(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:  # noqa: ARG001 - as every `touches`
    """Returns what finds out who asks; nobody in particular may, but not who shows wrong credentials."""
    return (RegistryAccess(action, required=False),)


def parse_mount_source(request: BaseRequest) -> RepositoryName | None:
    """Returns the repository that a blob is to be mounted from; None when none is named validly."""
    mount = parse_mount(parse_query(request))
    return None if mount is None else mount[1]


def parse_anonymous_mount(query: Mapping[str, str]) -> Digest | None:
    """Returns the blob that is to be mounted from anywhere; None when a source is named, or no valid digest."""
    if "mount" not in query or "from" in query:
        return None
    try:
        return parse_digest(query["mount"])
    except RegistryError:
        return None


def parse_mount(query: Mapping[str, str]) -> tuple[Digest, RepositoryName] | None:
    """Returns the blob and the repository that it is to be mounted from; None when they are not both named validly."""
    if "mount" not in query or "from" not in query:
        return None
    try:
        return parse_digest(query["mount"]), parse_repository_name(query["from"])
    except RegistryError:
        return None
