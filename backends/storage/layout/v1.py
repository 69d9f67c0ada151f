"""v1's tree, as docker-registry 0.9.1 writes it."""

from __future__ import annotations

import re
from urllib.parse import quote_plus, unquote_plus

from backends.model.cache import Cache
from backends.model.names import ImageId

V1_IMAGES = "/images"
V1_REPOSITORIES = "/repositories"
V1_TAG = "tag_"
AFTER_V1_TAGS = "tag`"

_UNESCAPED = re.compile(r"[A-Za-z0-9_.~-]*")
"""What `quote_plus` leaves as it is: almost all names, in a tenth of its time."""


def escape_v1(component: str) -> str:
    """Escapes one path component as 0.9.1's file driver does (V1API section 11)."""
    if component == "..":
        component = "%2E%2E"
    elif component == ".":
        component = "%2E"
    return component if _UNESCAPED.fullmatch(component) else quote_plus(component)


def v1_image(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}"


def v1_image_json(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/json"


def v1_image_layer(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/layer"


def v1_image_ancestry(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/ancestry"


def v1_image_checksum(image_id: ImageId) -> str:
    return f"{V1_IMAGES}/{image_id}/_checksum"


def v1_image_mark(image_id: ImageId) -> str:
    """The mark `_inprogress`: its presence says that the upload has not finished."""
    return f"{V1_IMAGES}/{image_id}/_inprogress"


def v1_repository(namespace: str, repository_name: str) -> str:
    """Takes the namespace raw and the repository as 0.9.1 keeps it: already passed through quote_plus once."""
    return _repositories[namespace, repository_name]


def _v1_repository(names: tuple[str, str]) -> str:
    namespace, repository_name = names
    return f"{V1_REPOSITORIES}/{escape_v1(namespace)}/{escape_v1(repository_name)}"


_repositories = Cache(_v1_repository, bound=4096)


def v1_tag(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/{V1_TAG}{escape_v1(tag_name)}"


def v1_tag_of(entry: str) -> str | None:
    """Returns the tag that a file of a repository's folder is for; None when it is for none."""
    if not entry.startswith(V1_TAG) or not entry.isascii():
        return None
    tag_name = unquote_plus(entry.removeprefix(V1_TAG))
    return {"%2E%2E": "..", "%2E": "."}.get(tag_name, tag_name)


def v1_tag_json(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/tag{escape_v1(tag_name)}_json"


def v1_repository_json(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/json"


def v1_index_images(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_index_images"


def v1_private(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_private"
