"""What callers see of images, and may push, where an index elsewhere says so (V1API section 7).

The holder of a token sees what its repository holds, as everywhere (`sight.py`). Beyond that the index is asked: of a
private repository about each image that is read, and of a push about each image that it rests on without its
repository having it, if that is public. So neither side gives away what the other one would not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from aiohttp.web import BaseRequest

from backends.auth.index_tokens import Index, IndexGrants
from backends.auth.rules import is_somebody
from backends.auth.schemes import Busy
from backends.model.actions import Action
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy
from backends.model.names import ImageId
from backends.model.v1images import ImageJson
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.store import Store
from backends.v1.sight import PUSH_LOOK_SECONDS, CallerSight
from backends.web.operations import ImageAccess
from backends.web.refusals import come_again
from backends.web.rights import Rights, rights_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IndexSight:
    """What the holder of an index's token sees (`Sight`).

    Attributes:
        sight: what its repository holds.
        store: knows what the repository has pushed itself, of which the index need not be asked, and what is public.
        index: what is asked about other images; None for those who read.
    """

    sight: CallerSight
    store: Store
    index: Index | None

    @property
    def owner(self) -> V1Name | None:
        """The token's repository, if its holder may pull that."""
        return self.sight.owner

    @property
    def sees_others(self) -> bool:
        """Whether other repositories count by what the rules say: no, since the index says it of each image."""
        return False

    def may_pull(self, owner: V1Name) -> bool:
        """Whether the holder may pull a repository."""
        return self.sight.may_pull(owner)

    async def may_read(self, image_id: ImageId) -> bool:
        """Whether the repository holds the shared image of this id, or a push may rest on it."""
        if await self.sight.may_read(image_id):
            return True
        if self.index is None:
            return False
        owner = self.owner
        if owner is not None and await self.store.v1_copies.has_pushed(ImageCopy(owner, image_id)):
            return True
        return await _answer(self.index.lets_have(image_id)) and await self._is_public(image_id)

    async def _is_public(self, image_id: ImageId) -> bool:
        """Whether a repository holds an image that is not marked private.

        An index may go by its list of a repository, which is what somebody has announced who pushes there. So its word
        alone gives nobody what only private repositories hold.
        """
        private: set[str] = set()
        while True:
            name = await self.store.v1_view.tagged.holder(
                image_id, lambda each: each not in private, max_age=PUSH_LOOK_SECONDS
            )
            if name is None:
                return False
            if not await self.store.v1_repositories.is_private(parse_v1_name(name)):
                return True
            private.add(name)

    async def may_read_made(self, image_id: ImageId) -> bool:
        """Whether the repository has a manifest of which an image with this id was made."""
        return await self.sight.may_read_made(image_id)

    def told(self, ancestry: Sequence[ImageId]) -> None:
        """Takes note that the caller was told what lies below an image."""
        self.sight.told(ancestry)


def index_sight_of(request: BaseRequest, rights: Rights, sight: CallerSight, store: Store) -> IndexSight | CallerSight:
    """Returns what a request's caller sees, who may have shown an index's token."""
    grants = rights.identity.grants
    if not isinstance(grants, IndexGrants):
        return sight
    return IndexSight(replace(sight, is_push=False), store, grants.index if request.method == "PUT" else None)


@dataclass(frozen=True, slots=True)
class IndexImageRule:
    """Whether a caller may do something with an image (`backends.web.access.ImageRule`)."""

    store: Store

    async def __call__(self, rights: Rights, access: ImageAccess) -> bool:
        identity = rights.identity
        grants = identity.grants
        if not is_somebody(identity):
            return False
        if not isinstance(grants, IndexGrants):
            if access.action is Action.PUSH:
                raise RegistryError(
                    ErrorCode.DENIED,
                    "a signed push names its repository: send"
                    ' Authorization: Token repository="namespace/repository" with it',
                )
            return True
        if access.action is Action.PUSH:
            return rights.may(Action.PUSH, grants.repository)
        if not rights.may_pull(grants.repository):
            return False
        if grants.index is None or not await self.store.v1_repositories.is_private(grants.name):
            return True
        return await _answer(grants.index.lets_have(access.image))


async def require_listed(store: Store, request: BaseRequest, image: ImageJson) -> None:
    """Requires of an image that is pushed what the index must say of it, and keeps its list as docker-registry does.

    Raises:
        RegistryError: IMAGE_INVALID, in docker-registry's words: the index does not list the image in the repository,
            or does not let the caller build upon its parent.
    """
    rights = rights_of(request)
    grants = None if rights is None else rights.identity.grants
    if not isinstance(grants, IndexGrants) or grants.index is None:
        return
    ids = grants.ids
    if image.image_id not in ids:  # what is remembered may be older than the list
        ids = await _answer(grants.index.images())
    if image.image_id not in ids:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "This image does not belong to the repository")
    # Before it is looked for: so nobody learns whether an image is there that it may not have.
    if image.parent is not None and not await _answer(grants.index.lets_have(image.parent)):
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on an unauthorized parent")
    await store.v1_repositories.keep_images_list(grants.name, ids)


async def _answer(asking: Awaitable[T]) -> T:
    """Returns what the index answers.

    Raises:
        RegistryError: UNAVAILABLE or TOOMANYREQUESTS, while it cannot say.
    """
    try:
        return await asking
    except Busy as busy:
        raise come_again(busy) from None
