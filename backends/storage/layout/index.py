"""What is made again of the rest after it was deleted."""

from __future__ import annotations

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName
from backends.model.v1names import escape_v1
from backends.storage.layout.v1 import V1_TAG

INDEX = "/docker/registry/portside/index"
HOLDERS = f"{INDEX}/holders"
REFERRERS_BUILT = f"{INDEX}/referrers-built"
LAYER_LISTS = f"{INDEX}/layer-lists"
LAYERS_READ = f"{INDEX}/layers-read"
FACTS_KEY = f"{INDEX}/facts-key"
SEARCH = f"{INDEX}/search"
SEARCH_NAMES = f"{SEARCH}/names"
SEARCH_CHANGES = f"{SEARCH}/changes"


def all_referrers(name: RepositoryName) -> str:
    """The folder of the entries of all subjects, of each algorithm."""
    return f"{INDEX}/referrers/{name}/_subjects"


def referrers(name: RepositoryName, subject: Digest) -> str:
    """The folder of all entries of a subject."""
    return f"{all_referrers(name)}/{subject.algorithm}/{subject.hex}"


def referrer(name: RepositoryName, subject: Digest, digest: Digest) -> str:
    return f"{referrers(name, subject)}/{digest.algorithm}-{digest.hex}"


def referrer_of(entry: str) -> Digest | None:
    """Returns the manifest that an entry is for; None when it is for none."""
    try:
        return parse_digest(entry.replace("-", ":", 1))
    except RegistryError:
        return None


def holder_hint(digest: Digest) -> str:
    """Where it is noted who has a blob; blobs share it whose digests begin alike."""
    return f"{HOLDERS}/{digest.hex[:2]}/{digest.hex[2:4]}"


def layer_facts(digest: Digest) -> str:
    """Where it is noted what a layer is."""
    return f"{INDEX}/layers/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def v1_layer_file(image_id: ImageId) -> str:
    """Where it is noted which blob the file of a v1 image's layer is."""
    return f"{INDEX}/v1-layer-files/{image_id[:2]}/{image_id}"


def v1_mirrored(namespace: str, repository_name: str) -> str:
    """The folder of what a mirror was told of a repository; takes the names as `v1_repository` does."""
    return f"{INDEX}/v1-mirrored/{escape_v1(namespace)}/{escape_v1(repository_name)}"


def v1_mirrored_images(namespace: str, repository_name: str) -> str:
    return f"{v1_mirrored(namespace, repository_name)}/images"


def v1_mirrored_tags(namespace: str, repository_name: str) -> str:
    return f"{v1_mirrored(namespace, repository_name)}/tags"


def v1_mirrored_tag(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_mirrored(namespace, repository_name)}/{V1_TAG}{escape_v1(tag_name)}"


def v1_layer_blob(payload: str) -> str:
    """Where it is noted which blob a v1 image's layer is; takes the image's payload checksum, in hex."""
    return f"{INDEX}/v1-layers/{payload[:2]}/{payload}"


def layer_list(key: str) -> str:
    """A list of files or of changes that has no place beside a v1 image; takes the sha256 of what it is of, in hex."""
    return f"{LAYER_LISTS}/{key[:2]}/{key}"
