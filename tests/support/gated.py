"""Both registries behind access control, on loopback sockets of this process, with a handful of users.

Passwords are plain here: what is shown is what the registries make of the answers. Schemes have tests of their own.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backends.auth.access_control import AccessControl
from backends.auth.credentials import Basic, Bearer, Credentials
from backends.auth.identity import Caller, Identity
from backends.auth.observing import AuthObserver, NobodyCounts
from backends.auth.own_bearers import OwnBearers
from backends.auth.rules import USERS_ALL, Rules
from backends.auth.rules_text import parse_rules
from backends.auth.schemes import Busy, Failure, Scheme, Wanted, WrongCredentials
from backends.auth.token_key import TokenKey
from backends.auth.v1_tokens import V1Tokens
from backends.model.actions import Action
from backends.registry.store import Store
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v1.sight import ImageRule
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.access import AccessGate
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.loopback import serve
from tests.support.serving_here import Client

PASSWORD = "the right one"
Protocol = Literal["v1", "v2"]


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    """The header of a user."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token}"}


class Passwords:
    """Everybody whose password is PASSWORD; `busy` asks to be left alone."""

    name = "htpasswd"

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        if not isinstance(credentials, Basic):
            return None
        if credentials.user == "busy":
            raise Busy(7, "too many passwords are being checked")
        if credentials.password != PASSWORD:
            raise WrongCredentials("the password is wrong")
        return Identity(credentials.user, self.name)

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        return 'Basic realm="here"'


@dataclass(frozen=True, slots=True)
class Limits:
    """Grants: `pull:team/app` and the like; `catalog:` for the catalog."""

    granted: frozenset[str]

    def allow(self, action: Action, name: str) -> bool:
        return f"{action.value}:{name}" in self.granted


@dataclass(frozen=True, slots=True)
class Tokens:
    """Bearer tokens by their text: whose, and what they are limited to."""

    known: Mapping[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    name: str = "token"

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        if not isinstance(credentials, Bearer):
            return None
        if credentials.token not in self.known:
            raise WrongCredentials("nobody signed it", failure=Failure.TOKEN, error="invalid_token")
        user, granted = self.known[credentials.token]
        return Identity(user, self.name, grants=Limits(frozenset(granted)))

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        scope = " ".join(each.scope for each in wanted)
        return f'Bearer realm="https://tokens",service="s",scope="{scope}"' + (f',error="{error}"' if error else "")


@dataclass(frozen=True, slots=True)
class Gated:
    """Both registries.

    Attributes:
        v1: a client of v1.
        v2: a client of v2.
        open: a client of v2 over the same store, without access control.
        open_v1: the same of v1.
        store: what they share.
        storage: where it is kept.
        change_rules: has another text of rules hold from now on.
    """

    v1: Client
    v2: Client
    open: Client
    open_v1: Client
    store: Store
    storage: Storage
    change_rules: Callable[[str], None]

    def client(self, protocol: str) -> Client:
        """The client of a protocol."""
        return self.v1 if protocol == "v1" else self.v2


@contextlib.asynccontextmanager
async def gated(
    *schemes: Scheme,
    rules: str = "",
    observer: AuthObserver | None = None,
    gates: GateSettings = GateSettings(delete_enabled=True),  # noqa: B008 - frozen
    has_tokens: bool = False,
    storage: Storage | None = None,
) -> AsyncIterator[Gated]:
    """Serves them until the end of the block.

    Args:
        schemes: in the order in which they are asked.
        rules: what stands in the rules file; "" for none.
        observer: counts logins and refusals.
        gates: what the registries refuse besides.
        has_tokens: whether they give tokens of their own.
        storage: where all is kept; None for a place of its own.
    """
    read: list[Rules] = [parse_rules(rules) if rules else USERS_ALL]
    storage = storage or open_memory()
    tokens = OwnBearers(TokenKey(storage).get, lambda: read[-1]) if has_tokens else None
    v1_tokens = V1Tokens(TokenKey(storage).get)
    control = AccessControl(schemes, lambda: read[-1], tokens=tokens, v1_tokens=v1_tokens)
    store, nothing = Store(storage, own_images=True), Store(open_memory(), own_images=True)
    checks = make_gates(gates)

    def access(protocol: Protocol) -> AccessGate:
        rule = ImageRule(store.v1_view)
        return AccessGate(control, protocol, may_touch_image=rule, observer=observer or NobodyCounts())

    settings = V1Settings()

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(nothing.close)
        stack.push_async_callback(store.close)
        registries = [
            V1Registry(store, settings, gates=checks, access=access("v1"), nothing=nothing, tokens=v1_tokens).handle,
            V2Registry(store, V2Settings(), gates=checks, access=access("v2"), nothing=nothing).handle,
            V2Registry(store, V2Settings(), gates=checks).handle,
            V1Registry(store, settings, gates=checks).handle,
        ]
        ports = [await stack.enter_async_context(serve(each)) for each in registries]
        v1, v2, open_v2, open_v1 = (Client("127.0.0.1", port) for port in ports)
        yield Gated(v1, v2, open_v2, open_v1, store, storage, lambda text: read.append(parse_rules(text)))
