"""What stands before every handler of a registry, whatever its protocol: one gate an effect."""

from __future__ import annotations

from collections.abc import Container

from aiohttp.web import BaseRequest, StreamResponse

from backends.model.errors import ErrorCode, RegistryError
from backends.web import Handler


def read_only(handler: Handler, methods: Container[str]) -> Handler:
    """Wraps a handler of a registry that is read-only.

    Args:
        handler: what answers everything else.
        methods: those by which this protocol changes something.
    """

    async def gate(request: BaseRequest) -> StreamResponse:
        if request.method in methods:
            raise RegistryError(
                ErrorCode.UNSUPPORTED, "this registry is read-only for now (storage.maintenance.readonly)"
            )
        return await handler(request)

    return gate
