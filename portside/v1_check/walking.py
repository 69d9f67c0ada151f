"""Everything on a volume that is to be looked at: repositories, images, repositories' own images, staged pushes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId, is_image_id
from backends.storage import layout
from portside.v1_check.findings import Finding
from portside.v1_check.leftovers import unknown
from portside.v1_check.repository_checks import Folder
from portside.v1_check.volume import Gone, Unreadable, Volume


def repositories(volume: Volume) -> Iterator[Folder]:
    """Yields the folders of repositories, and what lies among them."""
    for namespace in _names(volume, layout.V1_REPOSITORIES):
        for entry in _names(volume, f"{layout.V1_REPOSITORIES}/{namespace}"):
            yield Folder(namespace, entry)


def shared_images(volume: Volume) -> Iterator[ImageId]:
    """Yields the images that all repositories share."""
    yield from map(ImageId, filter(is_image_id, _names(volume, layout.V1_IMAGES)))


def own_images(volume: Volume) -> Iterator[ImageCopy]:
    """Yields the images that repositories have for themselves (ADR 20)."""
    for namespace in _names(volume, layout.V1_COPIES):
        for entry in _names(volume, f"{layout.V1_COPIES}/{namespace}"):
            name = layout.v1_name_of(namespace, entry)
            if name is not None:
                for image_id in filter(is_image_id, _names(volume, layout.v1_copies(name))):
                    yield ImageCopy(name, ImageId(image_id))


def check_folders(volume: Volume) -> Iterator[Finding]:
    """Yields what is wrong with the folders above, and what lies in them that nobody knows."""
    for folder in (layout.V1_IMAGES, layout.V1_COPIES):
        yield from _check_folder(volume, folder)
    yield from _check_folder(volume, layout.V1_REPOSITORIES)
    for name in _names(volume, layout.V1_IMAGES):
        if not is_image_id(name):
            yield unknown(f"{layout.V1_IMAGES}/{name}".lstrip("/"), name)
    for namespace in _names(volume, layout.V1_REPOSITORIES):
        yield from _check_folder(volume, f"{layout.V1_REPOSITORIES}/{namespace}")
    for namespace in _names(volume, layout.V1_COPIES):
        for entry in _names(volume, f"{layout.V1_COPIES}/{namespace}"):
            path = f"{layout.V1_COPIES}/{namespace}/{entry}"
            if layout.v1_name_of(namespace, entry) is None:
                yield unknown(path.lstrip("/"), entry)
                continue
            for image_id in _names(volume, path):
                if not is_image_id(image_id):
                    yield unknown(f"{path}/{image_id}".lstrip("/"), image_id)


def _check_folder(volume: Volume, folder: str) -> Iterator[Finding]:
    try:
        volume.entries(folder)
    except Gone:  # a file in its place, too
        if volume.is_there(folder):
            yield unknown(folder.lstrip("/"), folder.rpartition("/")[2])
    except Unreadable as error:
        yield error.finding


def _names(volume: Volume, folder: str) -> Sequence[str]:
    try:
        return list(volume.entries(folder))
    except (Gone, Unreadable):
        return ()


def places(volume: Volume) -> Iterator[ImagePlace]:
    """Yields all images."""
    yield from shared_images(volume)
    yield from own_images(volume)
