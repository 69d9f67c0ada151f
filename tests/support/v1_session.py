"""A client of v1 that speaks by hand: credentials with the first request, then the token that it got for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.serving_here import Answer, Client
from tests.support.v1server import Pushed


@dataclass(slots=True)
class Session:
    """One command of Docker.

    Attributes:
        client: the registry.
        login: the headers of its credentials; none for nobody.
        token: what `X-Docker-Token` said last.
    """

    client: Client
    login: Mapping[str, str] = field(default_factory=dict)
    token: str = ""

    async def begin_push(self, name: str, images: Sequence[Pushed]) -> Answer:
        listed = json.dumps([{"id": image.id} for image in images]).encode()
        return self._with_token(await self.client.ask("PUT", f"/v1/repositories/{name}/", self._first(), body=listed))

    async def begin_pull(self, name: str) -> Answer:
        return self._with_token(await self.client.ask("GET", f"/v1/repositories/{name}/images", self._first()))

    async def begin_deletion(self, name: str) -> Answer:
        return self._with_token(await self.client.ask("DELETE", f"/v1/repositories/{name}/images", self._first()))

    def _first(self) -> dict[str, str]:
        return {**self.login, "X-Docker-Token": "true"}

    def _with_token(self, answer: Answer) -> Answer:
        self.token = answer.head.value("X-Docker-Token") or ""
        return answer

    async def ask(self, method: str, target: str, *headers: tuple[str, str], body: bytes | None = None) -> Answer:
        """Asks with the token."""
        shown = [("Authorization", f"Token {self.token}")] if self.token else []
        return await self.client.ask(method, target, [*shown, *headers], body=body)

    async def part(self, image: Pushed, part: str) -> Answer:
        """Asks for a part of an image."""
        return await self.ask("GET", f"/v1/images/{image.id}/{part}")

    async def put_image(self, image: Pushed) -> Sequence[int]:
        """Pushes an image in its three steps; returns their statuses up to the first that fails."""
        path = f"/v1/images/{image.id}"
        statuses: list[int] = []
        for part, header, body in (
            ("json", None, image.json),
            ("layer", None, image.layer),
            ("checksum", ("X-Docker-Checksum-Payload", image.payload), b""),
        ):
            answer = await self.ask("PUT", f"{path}/{part}", *([header] if header else []), body=body)
            statuses.append(answer.status)
            if answer.status != 200:
                break
        return statuses

    async def put_tag(self, name: str, tag: str, image: Pushed) -> Answer:
        return await self.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body=json.dumps(image.id).encode())

    async def push(self, name: str, tag: str, images: Sequence[Pushed]) -> Sequence[str]:
        """Pushes as Docker does, asking for each image first; returns the ids of those that it sent.

        Raises:
            AssertionError: something was refused.
        """
        answer = await self.begin_push(name, images)
        assert answer.status == 200, answer
        sent = []
        for image in images:
            if (await self.part(image, "json")).status != 200:
                assert await self.put_image(image) == [200, 200, 200]
                sent.append(image.id)
        answer = await self.put_tag(name, tag, images[-1])
        assert answer.status == 200, answer
        listed = {"X-Docker-Token": "true", **(self.login or {"Authorization": f"Token {self.token}"})}
        answer = await self.client.ask("PUT", f"/v1/repositories/{name}/images", listed, body=b"[]")
        assert answer.status == 204, answer
        return sent

    async def pull(self, name: str, tag: str) -> list[Pushed]:
        """Pulls as Docker does.

        Raises:
            AssertionError: something was refused.
        """
        answer = await self.begin_pull(name)
        assert answer.status == 200, answer
        answer = await self.ask("GET", f"/v1/repositories/{name}/tags/{tag}")
        assert answer.status == 200, answer
        answer = await self.ask("GET", f"/v1/images/{answer.json}/ancestry")
        assert answer.status == 200, answer
        found = []
        for image_id in reversed(answer.json):
            parts = [await self.ask("GET", f"/v1/images/{image_id}/{part}") for part in ("json", "layer")]
            assert [part.status for part in parts] == [200, 200], parts
            found.append(Pushed(image_id, parts[0].body, parts[1].body))
        return found
