"""When docker 1.9 and later give up on v2, and for what: the pure decision.

Docker asks the error that an operation ended in (its body above all) and whether the answer to ``GET /v2/``
carried ``Docker-Distribution-Api-Version`` (WIRE sections 2 and 2a).
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Final

from tests.support.profiles import Profile, V2Format
from tests.support.wire import Response


class Kind(Enum):
    """What the vendored error parser made of an answer."""

    CODED = "an error with a detail or a message of its own"
    BARE = "a code alone: detail null and the canonical message"
    EMPTY = "no errors in the body"
    UNPARSED = "a 4xx whose body is no error document"
    STATUS = "a 5xx"
    NO_CREDENTIALS = "Basic is asked for and nobody is logged in; nothing is sent"
    NONSENSE = "an answer of success that cannot be used, or none"


class RefusedError(Exception):
    """An operation on a v2 registry failed in a way that may lead elsewhere."""

    def __init__(self, kind: Kind, text: str, code: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.code = code


class Command(Enum):
    """What the operation was part of; the rules differ."""

    PULL = "pull"
    PUSH = "push"


class Next(Enum):
    """What docker does after a refusal."""

    STOP = "end with the error"
    TRY_ANY = "try the next endpoint, v1 too"
    TRY_CONFIRMED = "try the next endpoint, but no v1 once v2 is confirmed"


_MESSAGES: Final = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "UNSUPPORTED": "The operation is unsupported.",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "NAME_UNKNOWN": "repository name not known to registry",
    "NAME_INVALID": "invalid repository name",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "BLOB_UPLOAD_UNKNOWN": "blob upload unknown to registry",
    "BLOB_UPLOAD_INVALID": "blob upload invalid",
    "DIGEST_INVALID": "provided digest did not match uploaded content",
    "MANIFEST_INVALID": "manifest invalid",
    "MANIFEST_UNVERIFIED": "manifest failed signature verification",
    "SIZE_INVALID": "provided length did not match content length",
    "TAG_INVALID": "manifest tag did not match URI",
}
_NOT_RETRIED: Final = frozenset({"UNAUTHORIZED", "UNSUPPORTED", "DENIED"})


def refusal(response: Response) -> RefusedError:
    """Read an unsuccessful answer the way ``distribution/registry/client`` did."""
    if not 400 <= response.status < 500:
        return RefusedError(Kind.STATUS, f"Received unexpected HTTP status: {response.status} {response.reason}")
    try:
        errors = json.loads(response.body).get("errors") or []
        codes = [(item["code"], item.get("message", ""), item.get("detail")) for item in errors]
    except (ValueError, AttributeError, KeyError, TypeError):
        if response.status == 401:
            return RefusedError(Kind.CODED, "unauthorized: authentication required", "UNAUTHORIZED")
        text = response.body.decode(errors="replace")
        return RefusedError(Kind.UNPARSED, f"error parsing HTTP {response.status} response body: {text!r}")
    if not codes:
        return RefusedError(Kind.EMPTY, "<nil>")
    code, message, detail = codes[0]
    bare = detail is None and message in {"", _MESSAGES.get(code)}
    return RefusedError(Kind.BARE if bare else Kind.CODED, message or code, code)


def after_refusal(profile: Profile, refused: RefusedError, command: Command) -> Next:
    """Where a push or pull goes when its operation on v2 was refused."""
    if profile.v2_format is V2Format.SCHEMA1_PATCHED:
        return _after_refusal_1_9(refused, command)
    codes = {"UNAUTHORIZED", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
    coded = refused.kind is Kind.CODED
    if command is Command.PULL:
        # 1.10.3 lacks the rule for missing credentials.
        forgiven = refused.kind is Kind.NO_CREDENTIALS and profile.keeps_to_tls
        if forgiven or (coded and refused.code in codes):
            return Next.TRY_ANY
    return Next.STOP if coded and refused.code not in codes else Next.TRY_CONFIRMED


def _after_refusal_1_9(refused: RefusedError, command: Command) -> Next:
    goes_on = False
    match refused.kind:
        case Kind.CODED:
            goes_on = refused.code in {"UNAUTHORIZED", "MANIFEST_UNKNOWN"}
        case Kind.BARE:
            # Seen so; why DENIED is not among them is not explained (WIRE section 14).
            goes_on = command is Command.PULL and refused.code in {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
        case Kind.UNPARSED:
            goes_on = True
        case Kind.NO_CREDENTIALS:
            goes_on = command is Command.PULL
        case Kind.EMPTY | Kind.STATUS | Kind.NONSENSE:
            pass  # none of these makes it fall back
    return Next.TRY_ANY if goes_on else Next.STOP


def is_retried(refused: RefusedError) -> bool:
    """Whether docker 1.10 and later try an upload again (five times in all)."""
    match refused.kind:
        case Kind.CODED:
            return refused.code not in _NOT_RETRIED
        case Kind.UNPARSED | Kind.NO_CREDENTIALS:
            return False
        case Kind.BARE | Kind.EMPTY | Kind.STATUS | Kind.NONSENSE:
            return True
