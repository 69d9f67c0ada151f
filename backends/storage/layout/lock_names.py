"""The names of locks, each with what it is held for."""

from __future__ import annotations

from backends.model.digest import Digest
from backends.model.image_places import ImagePlace
from backends.model.names import ImageId, RepositoryName, UploadId, canonical_name
from backends.model.v1names import escape_v1


def repository_lock(name: str) -> str:
    """Shared to make a manifest, a tag or an image of its own visible, held alone to delete the repository.

    Before all other locks. Takes any of its names: v1 and v2 agree.
    """
    return f"repository {canonical_name(name)}"


def upload_lock(name: RepositoryName, upload_id: UploadId) -> str:
    """Held to append to an upload, to finish or to remove it."""
    return f"upload {name} {upload_id}"


def tag_lock(name: str, tag_name: str) -> str:
    """Held to move or delete a tag; takes the repository's canonical name, so that v1 and v2 agree.

    Tags of which one's file is the other's description share it, a row of twins (`v1_twin`) that ends without `_`.
    """
    bare = tag_name.lstrip("_")
    last_twin = (bare or "json") + "_json" * (len(tag_name) - len(bare))
    return f"tag {name.replace('%', '%25').replace(':', '%3A')}:{last_twin}"


def blob_lock(digest: Digest) -> str:
    """Held from putting content into the blob store until it is linked: till then it may be removed again.

    It is held too to link content that is already there, and to delete a manifest. Before
    the lock of a tag, never after.
    """
    return f"blob {digest}"


def derived_lock(digest: Digest) -> str:
    """Held to keep a derived manifest or config, in any repository, or to forget it: till then it may go again.

    After the locks of a repository and of a blob. Of several, the least digest first.
    """
    return f"derived {digest}"


def layer_lock(digest: Digest) -> str:
    """Held to find out what a layer is."""
    return f"layer {digest}"


def v1_layer_file_lock(place: ImagePlace) -> str:
    """Held to find out what the layer of a v1 image is."""
    return f"v1 layer file {place}"


def gzip_lock(digest: Digest) -> str:
    """Held to make a gzip of a layer."""
    return f"gzip {digest}"


def layer_list_lock(path: str) -> str:
    """Held to make a list of a layer's files; takes its path. That of a diff before those of the layers' files."""
    return f"layer list {path.rpartition('/')[2]}"


def derived_v1_lock(image_id: ImageId) -> str:
    """Held to add a layer to a v1 image that was made of a manifest."""
    return f"derived v1 {image_id}"


def v1_image_lock(place: ImagePlace) -> str:
    """Held to make a v1 image of what is staged; that of a repository's own before that of the image that all share."""
    return f"v1 image {place}"


def v1_layer_lock(place: ImagePlace, layer: str) -> str:
    """Held to receive a layer of a v1 image; takes the layer's name within the staging."""
    return f"v1 layer {place} {layer}"


def v1_mirror_lock(image_id: ImageId) -> str:
    """Held to have a v1 image from the registry that is mirrored; before the locks of images and layers."""
    return f"v1 mirror {image_id}"


def v1_images_lock(namespace: str, repository_name: str) -> str:
    """Held to merge a list of images into a v1 repository's; takes the names as `v1_repository` does."""
    return f"v1 images {escape_v1(namespace)}/{escape_v1(repository_name)}"


INDEXER_LOCK = "indexer"
"""Held to look through what is stored, and to give it its entries in the index."""

LAYER_READER_LOCK = "layer reader"
"""Held to read the layers of an old volume in the background."""

PURGER_LOCK = "purger"
"""Held to look for abandoned uploads."""

SEARCH_LOCK = "search"
"""Held to write the index of a search."""

FACTS_KEY_LOCK = "facts key"
"""Held to make the key."""

SCHEMA1_KEY_LOCK = "schema 1 key"
"""Held to make the key."""

TOKEN_KEY_LOCK = "token key"  # noqa: S105 - the name of a lock
"""Held to make the key."""
