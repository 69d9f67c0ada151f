"""What the caller of one request sees of images, whose addresses name no repository (`Sight`).

A caller without a token names no repository, and sees what any repository holds that it may pull. One with a token
sees what the token's repository holds. Beyond that a push asks for each image whether it is there, and names it in a
tag: for that, the images of other repositories count that the caller may pull, so that a base that all build on is
pushed once. Their layers are not to be had with that token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp.web import BaseRequest

from backends.auth.index_tokens import IndexGrants
from backends.auth.v1_tokens import V1Grants
from backends.model.actions import Action
from backends.model.names import ImageId, canonical_name
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.v1_view.holders import Holders
from backends.registry.v1_view.service import V1View
from backends.web.operations import ImageAccess
from backends.web.rights import Rights

PUSH_LOOK_SECONDS = 2.0
"""A push asks for dozens of images; for these, other repositories are looked at once in so many seconds."""

_CONTENTS = ("/layer", "/ancestry", "/files", "/diff")
_OF_ONE_REPOSITORY = (V1Grants, IndexGrants)


@dataclass(frozen=True, slots=True)
class CallerSight:
    """What a caller sees.

    Attributes:
        view: all images.
        rights: the caller's.
        is_push: whether it asks as one who pushes: for no layer.
    """

    view: V1View
    rights: Rights
    is_push: bool = False

    @property
    def owner(self) -> V1Name | None:
        """The repository of the caller's token, if it may pull that."""
        first = self._first
        return parse_v1_name(first) if first and self._may_pull(first) else None

    @property
    def sees_others(self) -> bool:
        """Whether other repositories count than the token's."""
        grants = self.rights.identity.grants
        return not isinstance(grants, _OF_ONE_REPOSITORY) or self._pushes_by(grants)

    def may_pull(self, owner: V1Name) -> bool:
        """Whether the caller may pull a repository."""
        return self._may_pull(canonical_name(owner.canonical))

    async def may_read(self, image_id: ImageId) -> bool:
        """Whether the caller may pull a repository that holds the shared image of this id."""
        if await self._is_held(self.view.tagged, image_id):
            return True
        # Docker 1.6 to 1.9 may have pushed the same image by v2.
        return await self.view.made_images.is_as_pushed(image_id) and await self.may_read_made(image_id)

    async def may_read_made(self, image_id: ImageId) -> bool:
        """Whether the caller may pull a repository that has a manifest of which an image with this id was made."""
        return await self.view.made_images.is_made(image_id) and await self._is_held(self.view.made, image_id)

    def told(self, ancestry: Sequence[ImageId]) -> None:
        """Takes note that the caller was told what lies below an image, so that it is found quickly."""
        if self._first:
            for holders in (self.view.tagged, self.view.made):
                holders.spread(self._first, ancestry)

    async def _is_held(self, holders: Holders, image_id: ImageId) -> bool:
        first = self._first
        if first and not self.sees_others:  # the others need not be looked at
            return self._may_pull(first) and await holders.holds(first, image_id)
        # Who pushes sends once more what was missed.
        max_age = PUSH_LOOK_SECONDS if first else 0.0
        return await holders.is_held(image_id, self._may_pull, first=first, max_age=max_age)

    @property
    def _first(self) -> str:
        grants = self.rights.identity.grants
        return grants.repository if isinstance(grants, _OF_ONE_REPOSITORY) else ""

    def _may_pull(self, name: str) -> bool:
        rights, grants = self.rights, self.rights.identity.grants
        if not isinstance(grants, _OF_ONE_REPOSITORY) or name == grants.repository:
            return rights.may_pull(name)
        if not self._pushes_by(grants):
            return False
        return rights.control.decide(rights.identity, Action.PULL, canonical_name(name)).is_allowed

    def _pushes_by(self, grants: V1Grants | IndexGrants) -> bool:
        return self.is_push and grants.knows_others and grants.access == "write"


def sight_of(request: BaseRequest, rights: Rights, view: V1View) -> CallerSight:
    """Returns what a request's caller sees."""
    path = request.raw_path.partition("?")[0]
    reads_content = request.method in {"GET", "HEAD"} and path.endswith(_CONTENTS)
    return CallerSight(view, rights, is_push=not reads_content)


@dataclass(frozen=True, slots=True)
class ImageRule:
    """Whether a caller may do something with an image (`backends.web.access.ImageRule`).

    Whether the image is there for whom has shown who it is, is decided where it is looked for: so what it may not know
    is answered by the same lines as what is not there. Only who has shown nothing is decided about here, since it is
    asked who it is.
    """

    view: V1View

    async def __call__(self, rights: Rights, access: ImageAccess) -> bool:
        identity = rights.identity
        grants = identity.grants
        if access.action is Action.PULL:
            if identity.user or grants is not None:
                return True
            return await self.view.images.is_seen(access.image, CallerSight(self.view, rights))
        if isinstance(grants, V1Grants):
            return rights.may_pull(grants.repository) and rights.may(Action.PUSH, grants.repository)
        return bool(identity.user) or grants is not None  # it names no repository, which is what it is told
