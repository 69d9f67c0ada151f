"""`GET /v2/<name>/referrers/<digest>` (OCI distribution specification, "Listing referrers").

It comes together with the header `OCI-Subject` of a push: some clients ask only for the one, some only for the other,
and where it is missing they write a tag `sha256-<hex>` instead.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.request_info import parse_query
from backends.http.sending import respond
from backends.model import media_types
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName
from backends.v2.headers import API_HEADERS
from backends.v2.paging import next_link, parse_page_size
from backends.v2.parts import Parts

PAGE = 1000
MAX_ARTIFACT_TYPE = 255
"""Characters of a filter; RFC 6838 allows no longer types, and it stands in the `Link` to the next page."""


async def list_referrers(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest) -> StreamResponse:
    """Lists the manifests that refer to one, whether it exists or not: an index, empty where nothing is known."""
    query = parse_query(request)
    size = parse_page_size(query, default=PAGE, most=PAGE) or PAGE
    wanted = query.get("artifactType") or None
    if wanted is not None and len(wanted) > MAX_ARTIFACT_TYPE:
        raise RegistryError(
            ErrorCode.UNSUPPORTED,
            f"artifactType has {len(wanted)} characters; {MAX_ARTIFACT_TYPE} are allowed",
            status=400,
        )
    page = await parts.store.open(name).referrers(digest, artifact_type=wanted, after=query.get("last", ""), limit=size)
    headers = {**API_HEADERS, "Content-Type": media_types.OCI_INDEX}
    path = f"{parts.settings.prefix}/v2/{name}/referrers/{digest}"
    if wanted is not None:
        headers["OCI-Filters-Applied"] = "artifactType"
    if page.last:
        kept = "" if wanted is None else f"artifactType={quote(wanted, safe='')}"
        headers |= next_link(path, last=page.last, size=size, kept=kept)
    start = f'{{"schemaVersion":2,"mediaType":"{media_types.OCI_INDEX}","manifests":['.encode()
    return respond(request, 200, headers, start + b",".join(page.descriptors) + b"]}")
