"""What conversions made, and manifests as clients of v1 see them."""

from __future__ import annotations

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName, is_image_id, parse_repository_name
from backends.model.targets import Target, V1Target, V2Target
from backends.storage.layout.index import referrer_of
from backends.storage.layout.primary import PRIMARY

_V1, _V1_COPY = "v1", "v1copy"
DERIVED = f"{PRIMARY}/derived"
DERIVED_REPOSITORIES = f"{DERIVED}/repositories"
DERIVED_V1_IMAGES = f"{DERIVED}/v1/images"
DERIVED_V1_CLAIMS = f"{DERIVED}/v1/claims"
DERIVED_V1_SOURCES = f"{DERIVED}/v1/sources"
DERIVED_USERS = f"{DERIVED}/users"
DERIVED_GZIPS = f"{DERIVED}/gzips"


def derived_blob(digest: Digest) -> str:
    return f"{DERIVED}/blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_gzip(digest: Digest) -> str:
    """Where it is recorded which gzip was made of a layer."""
    return f"{DERIVED_GZIPS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_users(digest: Digest) -> str:
    """The folder of the repositories that have, or have had, something that conversions made."""
    return f"{DERIVED_USERS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def derived_user(digest: Digest, name: RepositoryName) -> str:
    return f"{derived_users(digest)}/{name.replace('/', '%')}"


def derived_user_of(entry: str) -> RepositoryName | None:
    """Returns the repository that an entry is for; None when it is for none."""
    try:
        return parse_repository_name(entry.replace("%", "/"))
    except RegistryError:
        return None


def derived(name: RepositoryName) -> str:
    """The folder of all that conversions made for a repository, and of repositories below it."""
    return f"{DERIVED_REPOSITORIES}/{name}"


def derivation_source(target: Target) -> str:
    """Returns the name of what something was made of, as a part of a path."""
    match target:
        case V1Target(image_id, is_copy):
            return f"{_V1_COPY if is_copy else _V1}-{image_id}"
        case V2Target(digest):
            return f"{digest.algorithm}-{digest.hex}"


def source_of_derivation(entry: str) -> Target | None:
    """Returns the source that a name stands for; None when it stands for none."""
    kind, _, rest = entry.partition("-")
    if kind in {_V1, _V1_COPY}:
        return V1Target(ImageId(rest), is_copy=kind == _V1_COPY) if is_image_id(rest) else None
    digest = referrer_of(entry)
    return None if digest is None else V2Target(digest)


def derived_manifests(name: RepositoryName) -> str:
    return f"{derived(name)}/_manifests"


def derived_manifest(name: RepositoryName, digest: Digest) -> str:
    """The folder of a derived manifest's records, one for each source."""
    return f"{derived_manifests(name)}/{digest.algorithm}/{digest.hex}"


def derived_record(name: RepositoryName, digest: Digest, source: Target) -> str:
    return f"{derived_manifest(name, digest)}/{derivation_source(source)}"


def derived_members(name: RepositoryName, digest: Digest) -> str:
    """The folder of the sources by which a repository may serve a blob."""
    return f"{derived(name)}/_blobs/{digest.algorithm}/{digest.hex}"


def derived_member(name: RepositoryName, digest: Digest, source: Target) -> str:
    return f"{derived_members(name, digest)}/{derivation_source(source)}"


def derivation_sources(name: RepositoryName) -> str:
    """The folder of the sources of which something was made."""
    return f"{derived(name)}/_sources"


def derivations(name: RepositoryName, source: Target) -> str:
    """The folder of what was made of a source."""
    return f"{derivation_sources(name)}/{derivation_source(source)}"


def derivation(name: RepositoryName, source: Target, digest: Digest) -> str:
    return f"{derivations(name, source)}/{digest.algorithm}-{digest.hex}"


def derivation_plan(name: RepositoryName, source: Target, plan: str) -> str:
    """Takes the plan as `Plan.key` writes it."""
    return f"{derivation_plans(name, source)}/{plan}"


def derivation_plans(name: RepositoryName, source: Target) -> str:
    """The folder of what clients were given of a source, by their plans."""
    return f"{derived(name)}/_plans/{derivation_source(source)}"


# manifests as v1 shows them


def derived_v1_image(image_id: ImageId) -> str:
    return f"{DERIVED_V1_IMAGES}/{image_id[:2]}/{image_id}"


def claimed_v1_image(image_id: ImageId) -> str:
    """Where an image is kept whose id a schema 1 manifest claims."""
    return f"{DERIVED_V1_CLAIMS}/{image_id[:2]}/{image_id}"


def derived_v1_sources(image_id: ImageId) -> str:
    """The folder of the manifests whose topmost v1 image this is, a file for each and each repository."""
    return f"{DERIVED_V1_SOURCES}/{image_id[:2]}/{image_id}"


def derived_v1_source(image_id: ImageId, name: RepositoryName, digest: Digest) -> str:
    return f"{derived_v1_sources(image_id)}/{digest.algorithm}-{digest.hex}{_mark_of_repository(name)}"


def is_derived_v1_source_of(entry: str, name: RepositoryName) -> bool:
    """Whether a file in `derived_v1_sources` is for a manifest of this repository."""
    return entry.endswith(_mark_of_repository(name))


def _mark_of_repository(name: RepositoryName) -> str:
    """Stands for a name of any length at the end of a file's name."""
    return f"-{Digest.of(name.encode()).hex[:32]}"


def source_of_derived_v1(entry: str) -> Digest | None:
    """Returns the manifest that a file in `derived_v1_sources` is for; None when it is for none."""
    return referrer_of(entry.rpartition("-")[0])


def derived_v1_tops(name: RepositoryName) -> str:
    """The folder of the topmost v1 images of all manifests of a repository, for each algorithm of these."""
    return f"{derived(name)}/_v1"


def derived_v1_top(name: RepositoryName, digest: Digest) -> str:
    """Where a repository keeps the topmost v1 image of a manifest."""
    return f"{derived_v1_tops(name)}/{digest.algorithm}/{digest.hex}"
