"""The one place where something that went wrong becomes an answer, in the shape of the protocol at hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp.web import BaseRequest, Response, StreamResponse

from backends.http.connections import break_off, close_if_out_of_step
from backends.http.request_info import path_for_log
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.events import NoRoomToTell
from backends.storage.driver import InvalidPath, PathNotFound, StorageError, StorageFull, StorageReadOnly

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]
"""aiohttp's low-level server interface; everything that answers requests here is one."""
Render = Callable[[BaseRequest, RegistryError], Response]

_log = logging.getLogger("portside.web")


def render_errors(handler: Handler, render: Render) -> Handler:
    """Wraps a handler so that what it raises is rendered by `render`.

    A client that went away raises CancelledError, which passes. An answer that has begun cannot be replaced: the
    connection is broken instead, so that the client notices.
    """

    async def answer(request: BaseRequest) -> StreamResponse:
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            raise
        except Exception as error:
            known = _known(request, error)
            if request.writer.output_size > 0:
                _log.error("%s %s broke off in the middle: %s", request.method, path_for_log(request), known)
                raise break_off(request) from error
            response = render(request, known)
        close_if_out_of_step(request, response)
        return response

    return answer


def _known(request: BaseRequest, error: Exception) -> RegistryError:
    """Returns what the client hears of an error; the log hears the rest.

    What storage raises has a meaning of its own where a service knows one (an absent blob); here is what is left.
    """
    match error:
        case RegistryError():
            return error
        case NoRoomToTell():
            _log.error("the event of a change was not recorded: %s", error)
            return RegistryError(
                ErrorCode.INSUFFICIENT_STORAGE,
                "the registry has no room left on its disk to record this request for its notifications: send it again"
                " when its operator has freed some space",
            )
        case StorageFull():
            _log.error("storage is full: %s", error)
            is_push = request.method not in {"GET", "HEAD"}
            what = "nothing of this upload was kept: push" if is_push else "what this client needs was not made: pull"
            return RegistryError(
                ErrorCode.INSUFFICIENT_STORAGE,
                f"the registry has no room left on its disk; {what} again when its operator has freed some space",
            )
        case StorageReadOnly():
            _log.error("storage cannot be written: %s", error)
            return RegistryError(
                ErrorCode.UNAVAILABLE,
                "the registry may not read or write all of its data folder; its owner or mount must allow that",
            )
        case InvalidPath():
            _log.warning("the path is not possible in this storage: %s", error)
            return RegistryError(ErrorCode.NAME_INVALID, f"this cannot be stored: {error.why}")
        case PathNotFound():
            _log.warning("%s %s: %s has been deleted meanwhile", request.method, path_for_log(request), error)
            return RegistryError(
                ErrorCode.UNAVAILABLE, "what this request was at has been deleted meanwhile; send it again"
            )
        case StorageError(transient=True):
            _log.error("storage cannot do it now: %s", error)
            return RegistryError(
                ErrorCode.UNAVAILABLE, "the registry is too busy for this request; send it again later"
            )
        case _:
            _log.error("%s %s failed", request.method, path_for_log(request), exc_info=error)
            return RegistryError(ErrorCode.UNKNOWN, "the registry failed at this request; its log has the reason")
