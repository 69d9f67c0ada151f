"""Clients of the v2 protocol that ask for what takes long: a conversion, or a blob that must be found again.

They are redirected to the same address while the work goes on; containerd gives up after 30 seconds without an answer.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.asking_again import next_address
from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.still_working import StillWorking
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts
from backends.web.errors import Handler


def asking_again(handler: Handler, parts: Parts) -> Handler:
    """Wraps a handler so that a client whose answer takes long asks again.

    Raises:
        RegistryError: UNAVAILABLE, with how far the work is: the client has asked as often as it is sure to follow.
    """
    prefix = parts.settings.prefix
    retry = str(max(1, round(parts.settings.patience_seconds)))

    async def answer(request: BaseRequest) -> StreamResponse:
        try:
            return await handler(request)
        except StillWorking as working:
            progress = working.progress
        address = next_address(request.raw_path)
        if address is None or request.method not in {"GET", "HEAD"}:
            raise RegistryError(
                ErrorCode.UNAVAILABLE,
                f"this image is being prepared for this client: {progress}; the work goes on, so ask again later",
                headers={"Retry-After": retry},
            )
        location = parts.location(request, address.removeprefix(prefix))
        return respond(request, 307, {**API_HEADERS, "Location": location}, b"")

    return answer
