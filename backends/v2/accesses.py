"""What an operation of the v2 API touches beyond the repository in its path."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp.web import BaseRequest

from backends.http.request_info import parse_query
from backends.model.errors import RegistryError
from backends.model.names import parse_repository_name
from backends.web.operations import Access, Action, RepositoryAccess, Values


def touches_mount_source(action: Action, values: Values, request: BaseRequest) -> Sequence[Access]:
    """Returns the push to the repository in the path, and for a mount the pull from the one in the query.

    A mount that may not be is no error: it becomes an upload, as if the blob were not there.
    """
    target = RepositoryAccess(action, values["name"])
    query = parse_query(request)
    if "mount" not in query or "from" not in query:
        return (target,)
    try:
        source = parse_repository_name(query["from"])
    except RegistryError:
        return (target,)  # names no repository, so nothing of it can be mounted
    return (target, RepositoryAccess(Action.PULL, source, required=False))
