"""v1's tree, as docker-registry 0.9.1 writes it; and the images that repositories have for themselves, in ours."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import unquote_plus

from backends.model.cache import Cache
from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.model.v1names import V1Name, escape_v1, parse_v1_name, parse_v1_tag, quote_v1, unescape_v1
from backends.storage.layout.primary import PRIMARY

V1_IMAGES = "/images"
V1_REPOSITORIES = "/repositories"
V1_COPIES = f"{PRIMARY}/v1/repositories"
V1_OWNERS = f"{PRIMARY}/v1/owners"
V1_STAGING = f"{PRIMARY}/v1/staging"
V1_STAGED_COPIES = f"{PRIMARY}/v1/staged-copies"
V1_TAG = "tag_"
V1_REPOSITORY_FILES = frozenset({"json", "_index_images", "_images_list", "_private"})
"""What a repository's folder has beside tags."""
AFTER_V1_TAGS = "tag`"


def v1_image(place: ImagePlace) -> str:
    return _copy(V1_COPIES, place) if isinstance(place, ImageCopy) else f"{V1_IMAGES}/{place}"


def v1_image_json(place: ImagePlace) -> str:
    return f"{v1_image(place)}/json"


def v1_image_layer(place: ImagePlace) -> str:
    return f"{v1_image(place)}/layer"


def v1_image_ancestry(place: ImagePlace) -> str:
    return f"{v1_image(place)}/ancestry"


def v1_image_checksum(place: ImagePlace) -> str:
    return f"{v1_image(place)}/_checksum"


def v1_image_files(place: ImagePlace) -> str:
    """Where the list of the files in an image's layer is kept, once somebody has asked for it."""
    return f"{v1_image(place)}/_files"


def v1_image_diff(place: ImagePlace) -> str:
    """Likewise, what its layer changes of those below it."""
    return f"{v1_image(place)}/_diff"


def v1_image_mark(place: ImagePlace) -> str:
    """The mark `_inprogress`: its presence says that the upload has not finished."""
    return f"{v1_image(place)}/_inprogress"


def v1_copies(owner: V1Name) -> str:
    """The folder of the images that a repository has for itself, and of what it has pushed of those that all share."""
    return f"{V1_COPIES}/{escape_v1(owner.namespace)}/{escape_v1(owner.stored)}"


def v1_pushed(copy: ImageCopy) -> str:
    """Where it is noted that a repository has pushed the shared image of an id: that image's payload checksum."""
    return f"{v1_image(copy)}/pushed"


def v1_owners(image_id: ImageId) -> str:
    """The folder of the repositories that have pushed an image with an id, whether it is theirs alone or shared."""
    return f"{V1_OWNERS}/{image_id[:2]}/{image_id}"


def v1_owner(copy: ImageCopy) -> str:
    """The file of one of these; a name may be longer than that of a file, so it is in the content."""
    return f"{v1_owners(copy.image_id)}/{sha256(copy.owner.text.encode()).hexdigest()[:32]}"


def v1_shared_ancestors(copy: ImageCopy) -> str:
    """Where it is noted which ancestors of a repository's own image are those that all share."""
    return f"{v1_image(copy)}/shared"


def v1_staging(place: ImagePlace) -> str:
    return _copy(V1_STAGED_COPIES, place) if isinstance(place, ImageCopy) else f"{V1_STAGING}/{place}"


def v1_staged(place: ImagePlace, entry: str) -> str:
    return f"{v1_staging(place)}/{entry}"


def v1_mirrored_layer(image_id: ImageId) -> str:
    """Where it is noted which staged layer of an image comes from the registry that v1 mirrors."""
    return v1_staged(image_id, "mirrored")


def _copy(tree: str, copy: ImageCopy) -> str:
    return f"{tree}/{escape_v1(copy.owner.namespace)}/{escape_v1(copy.owner.stored)}/{copy.image_id}"


def v1_repository(namespace: str, repository_name: str) -> str:
    """Takes the namespace raw and the repository as 0.9.1 keeps it: already escaped once (`V1Name.stored`)."""
    return _repositories[namespace, repository_name]


def _v1_repository(names: tuple[str, str]) -> str:
    namespace, repository_name = names
    return f"{V1_REPOSITORIES}/{escape_v1(namespace)}/{escape_v1(repository_name)}"


_repositories = Cache(_v1_repository, bound=4096)


def v1_name_of(namespace_entry: str, entry: str) -> V1Name | None:
    """Returns the repository that a folder is of, by its name and that of the folder above; None when it is of none."""
    namespace, stored = unescape_v1(namespace_entry), unescape_v1(entry)
    if namespace is None or stored is None or "/" in namespace:
        return None
    repository = unquote_plus(stored)
    if quote_v1(repository) != stored or repository.endswith("/"):
        return None
    return V1Name(namespace, repository)


def v1_older_name_of(namespace_entry: str, entry: str) -> V1Name | None:
    """Returns the repository that a folder is of that docker-registry made up to 0.8.0; None when it is of none.

    It escaped what stands behind the namespace once only, and the namespace not at all. What 0.9.1 takes for a folder
    of its own is one.
    """
    if not entry.isascii() or v1_name_of(namespace_entry, entry) is not None:  # it may be no UTF-8 either
        return None
    namespace = unescape_v1(namespace_entry) or namespace_entry
    repository = unquote_plus(entry)
    if "/" in namespace or repository.endswith("/") or quote_v1(repository) != entry:
        return None
    try:
        return parse_v1_name(f"{namespace}/{repository}")
    except RegistryError:
        return None


def v1_tag(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/{V1_TAG}{escape_v1(tag_name)}"


def v1_tag_of(entry: str) -> str | None:
    """Returns the tag that a file of a repository's folder is for; None when it is for none."""
    return unescape_v1(entry.removeprefix(V1_TAG)) if entry.startswith(V1_TAG) else None


def v1_older_tag_of(entry: str) -> str | None:
    """Returns the tag that a file is for that docker-registry made up to 0.8.0, unescaped; None when it is for none."""
    if not entry.startswith(V1_TAG) or v1_tag_of(entry) is not None:
        return None
    try:
        return parse_v1_tag(entry.removeprefix(V1_TAG))
    except RegistryError:
        return None


def v1_twin(tag_name: str) -> str:
    """Returns the tag whose file is that which says who set a tag: `x_json` of `_x`; of others, the tag itself.

    docker-registry gives one file two meanings there, so one of both has to do without.
    """
    return f"{tag_name[1:]}_json" if tag_name.startswith("_") else tag_name


def v1_tag_json(namespace: str, repository_name: str, tag_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/tag{escape_v1(tag_name)}_json"


def v1_repository_json(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/json"


def v1_index_images(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_index_images"


def v1_images_list(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_images_list"


def v1_private(namespace: str, repository_name: str) -> str:
    return f"{v1_repository(namespace, repository_name)}/_private"
