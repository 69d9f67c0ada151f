"""v2's tree, as distribution writes it."""

from __future__ import annotations

from backends.model.digest import Digest
from backends.model.names import RepositoryName, TagName, UploadId

V2 = "/docker/registry/v2"
BLOBS = f"{V2}/blobs"
REPOSITORIES = f"{V2}/repositories"
MANIFESTS = "_manifests"


def blob_data(digest: Digest) -> str:
    return f"{BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}/data"


def repository(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}"


def layer_link(name: RepositoryName, digest: Digest) -> str:
    return f"{REPOSITORIES}/{name}/_layers/{digest.algorithm}/{digest.hex}/link"


def layers(name: RepositoryName) -> str:
    """The folder of all links of blobs, of each algorithm."""
    return f"{REPOSITORIES}/{name}/_layers"


def manifests(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}/{MANIFESTS}"


def revision_link(name: RepositoryName, digest: Digest) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/revisions/{digest.algorithm}/{digest.hex}/link"


def revisions(name: RepositoryName) -> str:
    """The folder of all links of manifests, of each algorithm."""
    return f"{REPOSITORIES}/{name}/_manifests/revisions"


def tags(name: RepositoryName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags"


def tag(name: RepositoryName, tag_name: TagName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags/{tag_name}"


def tag_current_link(name: RepositoryName, tag_name: TagName) -> str:
    return f"{REPOSITORIES}/{name}/_manifests/tags/{tag_name}/current/link"


def tag_index_link(name: RepositoryName, tag_name: TagName, digest: Digest) -> str:
    return f"{tag(name, tag_name)}/index/{digest.algorithm}/{digest.hex}/link"


def uploads(name: str) -> str:
    """The folder of all uploads of a repository."""
    return f"{REPOSITORIES}/{name}/_uploads"


def upload(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}"


def upload_data(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/data"


def upload_started_at(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/startedat"


def upload_owner(name: RepositoryName, upload_id: UploadId) -> str:
    """The user who began an upload; absent where nobody said who that is."""
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/owner"


def upload_progress(name: RepositoryName, upload_id: UploadId) -> str:
    return f"{REPOSITORIES}/{name}/_uploads/{upload_id}/progress"
