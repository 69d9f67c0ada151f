"""`DELETE /v2/<name>/_portside/repository`: a whole repository, which neither OCI nor distribution can delete.

It has a path of its own, below a component that no repository can have, and not `/v2/<name>/`: where a script forgets
to fill in a tag or a digest, that would delete everything.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.model.names import RepositoryName
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts


async def delete_repository(parts: Parts, request: BaseRequest, name: RepositoryName) -> StreamResponse:
    """Deletes a repository with its tags, manifests and uploads, of v1 too."""
    await parts.store.deletions.delete(name, actor=parts.actor(request))
    return respond(request, 202, API_HEADERS)
