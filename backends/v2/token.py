"""`GET /v2/_portside/token`: a token of Portside's own, where its challenges name this address (`auth/own_bearers.py`).

As of any token server: Basic credentials or none; `service`, `scope` and `account` are what clients send and change
nothing, for the token says who they are alone. There is no POST: clients that try it go on with GET after a 405, and so
a password is never part of a body.
"""

from __future__ import annotations

import datetime as dt
import json

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.v2.headers import JSON_HEADERS
from backends.v2.parts import Parts
from backends.web.rights import rights_of


async def get_token(_: Parts, request: BaseRequest) -> StreamResponse:
    """Answers with a token for whoever asks.

    Raises:
        RegistryError: NOT_FOUND: there are no such tokens here. DENIED: a token was shown for a token, or would have to
            say more than it has room for.
    """
    from backends.auth.credentials import Basic, parse_authorization  # noqa: PLC0415 - few registries give tokens
    from backends.auth.identity import ANONYMOUS  # noqa: PLC0415
    from backends.auth.schemes import Busy  # noqa: PLC0415
    from backends.web.callers import caller_of  # noqa: PLC0415
    from backends.web.refusals import come_again  # noqa: PLC0415

    rights = rights_of(request)
    tokens = None if rights is None else rights.control.tokens
    if rights is None or tokens is None:
        raise RegistryError(ErrorCode.NOT_FOUND, "this registry gives no tokens: it is asked by Basic, or not at all")
    credentials = parse_authorization(request.headers.get("Authorization"))
    # A token must not be changed into another: that would hold longer, or reach farther.
    if not isinstance(credentials, Basic | None) or rights.identity.grants is not None:
        raise RegistryError(ErrorCode.DENIED, "a token is given for user and password, or to nobody in particular")
    identity = ANONYMOUS if credentials is None else rights.identity
    try:
        issued = await tokens.issue(identity, caller_of(request, "v2"))
    except ValueError as error:
        raise RegistryError(ErrorCode.DENIED, f"{identity.user} is in too many groups: {error}") from None
    except Busy as busy:
        raise come_again(busy) from None
    says = {
        "token": issued.text,
        "access_token": issued.text,
        "expires_in": issued.seconds,
        "issued_at": dt.datetime.fromtimestamp(issued.at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return respond(request, 200, {**JSON_HEADERS, "Cache-Control": "no-store"}, json.dumps(says).encode())
