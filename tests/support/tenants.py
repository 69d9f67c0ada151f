"""Teams that share an installation and may not read each other's repositories, as clients of the v1 protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backends.model.conversion.plans import Form, Plan
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.model.v1images import parse_image_json
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.store import Store
from backends.registry.v1_view.viewer import Viewer
from backends.storage.driver import PathNotFound
from tests.support.actors import ACTOR
from tests.support.derivations import pulled
from tests.support.layers import Compression, pack
from tests.support.v1pushes import chunks_of
from tests.support.v1server import Pushed, make_pushed


@dataclass(slots=True)
class Tenant:
    """A client of one repository, who may pull others.

    Attributes:
        store: of the process that it talks to.
        name: the repository.
        readable: the others.
    """

    store: Store
    name: str
    readable: Sequence[str] = field(default=())

    @property
    def owner(self) -> V1Name:
        return parse_v1_name(self.name)

    @property
    def viewer(self) -> Viewer:
        return Viewer(patience=None, sight=self)

    @property
    def sees_others(self) -> bool:
        return True

    def may_pull(self, owner: V1Name) -> bool:
        return owner.text in {self.name, *self.readable}

    async def may_read(self, image_id: ImageId) -> bool:
        for name in map(parse_v1_name, (self.name, *self.readable)):
            try:
                tags = await self.store.tags.images_of_v1(name)
            except PathNotFound:
                continue
            for place in tags.values():
                if image_id in await self.store.v1_images.places(place):
                    return True
        return False

    async def may_read_made(self, image_id: ImageId) -> bool:  # noqa: ARG002 - they push by v1 alone
        return False

    # what a client asks for, one request each

    async def put_json(self, image: Pushed) -> None:
        document = parse_image_json(image.json, ImageId(image.id))
        await self.store.v1_view.images.put_json(document, actor=ACTOR, sight=self)

    async def put_layer(self, image: Pushed) -> None:
        await self.store.v1_view.images.put_layer(ImageId(image.id), chunks_of(image.layer, 4096), self)

    async def put_checksum(self, image: Pushed) -> None:
        payload = image.payload.removeprefix("sha256:")
        await self.store.v1_view.images.put_checksum(ImageId(image.id), payload, actor=ACTOR, sight=self)

    async def put_tag(self, tag: str, image: Pushed) -> None:
        await self.store.v1_view.repositories.put_tag(
            self.owner, tag, ImageId(image.id), viewer=self.viewer, actor=ACTOR, now=1
        )

    async def get_json(self, image: Pushed) -> tuple[bytes, int | None, list[str]]:
        stored = await self.store.v1_view.images.get(ImageId(image.id), self.viewer)
        return stored.content, stored.layer_size, list(stored.checksums)

    async def get_ancestry(self, image: Pushed) -> list[str]:
        return list(await self.store.v1_view.images.ancestry(ImageId(image.id), self.viewer))

    async def get_layer(self, image: Pushed) -> bytes:
        reader = await self.store.v1_view.images.open_layer(ImageId(image.id), self.viewer)
        try:
            return b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
        finally:
            reader.close()

    async def get_tags(self) -> dict[str, str]:
        return dict(await self.store.v1_view.repositories.tags(self.owner, self.viewer))

    # what its user does

    async def push(self, *chain: Pushed, tag: str | None = None) -> None:
        """Pushes as Docker does, base first: what it is told is there already it does not send."""
        for image in chain:
            try:
                await self.put_json(image)
            except RegistryError as error:
                if error.code is not ErrorCode.IMAGE_EXISTS:
                    raise
                continue
            await self.put_layer(image)
            await self.put_checksum(image)
        if tag is not None:
            await self.put_tag(tag, chain[-1])

    async def pull(self, tag: str) -> list[Pushed]:
        """Pulls as Docker does, base first."""
        top = (await self.get_tags())[tag]
        found: list[Pushed] = []
        for image_id in reversed(await self.get_ancestry(Pushed(top, b"", b""))):
            wanted = Pushed(image_id, b"", b"")
            content, size, checksums = await self.get_json(wanted)
            found.append(Pushed(image_id, content, await self.get_layer(wanted)))
            assert (size, checksums) == (len(found[-1].layer), [found[-1].payload])
        return found

    async def pull_as(self, form: Form, tag: str) -> tuple[str, list[bytes]]:
        """Pulls what another generation's client gets: the manifest's digest, and what its layers hold, base first."""
        name = self.owner.v2
        assert name is not None
        target = await self.store.tags.target(name, tag)
        made = await self.store.conversions.convert(name, target, Plan(form), tag=tag, patience=None)
        ((_, layers),) = await pulled(self.store, name, made.digest)
        return str(made.digest), layers


def image_of(letter: str, text: str, *, parent: Pushed | None = None) -> Pushed:
    """An image with a layer of its own that other generations can read, too."""
    tar = text.encode().ljust(512, b".") + bytes(1024)
    return make_pushed(letter, parent=None if parent is None else parent.id, layer=pack(tar, Compression.GZIP), by=text)


def chain_of(owner: str, *letters: str) -> list[Pushed]:
    """A chain, base first, whose bytes are its owner's."""
    chain: list[Pushed] = []
    for letter in letters:
        chain.append(image_of(letter, f"{owner} {letter}", parent=chain[-1] if chain else None))
    return chain
