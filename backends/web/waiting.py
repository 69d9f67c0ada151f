"""Clients that ask for what takes long: a conversion, or what a layer holds.

They are redirected to the same address while the work goes on, and wait anew: containerd gives up after 30 seconds
without an answer, Docker up to 1.5 after a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.asking_again import next_address
from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.still_working import StillWorking
from backends.web.errors import Handler


def asking_again(
    handler: Handler,
    *,
    patience_seconds: float,
    location: Callable[[BaseRequest, str], str],
    headers: Mapping[str, str],
) -> Handler:
    """Wraps a handler so that a client whose answer takes long asks again.

    Args:
        handler: answers, or raises StillWorking.
        patience_seconds: how long it waits before it does.
        location: returns the value of `Location` for path and query of the next request.
        headers: of a redirect.

    Raises:
        RegistryError: UNAVAILABLE, with how far the work is: the client has asked as often as it is sure to follow.
    """
    retry = str(max(1, round(patience_seconds)))

    async def answer(request: BaseRequest) -> StreamResponse:
        try:
            return await handler(request)
        except StillWorking as working:
            progress = working.progress
        address, is_pull = next_address(request.raw_path), request.method in {"GET", "HEAD"}
        if address is None or not is_pull:
            again = "pull it again later" if is_pull else "push it again later"
            raise RegistryError(
                ErrorCode.UNAVAILABLE,
                f"this image is being prepared for this client: {progress}; the work goes on, so {again}",
                headers={"Retry-After": retry},
            )
        return respond(request, 307, {**headers, "Location": location(request, address)}, b"")

    return answer
