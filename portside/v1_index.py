"""An index elsewhere, in a worker: the gate of the v1 registry that asks it, beside the rules if there are some.

What must be there before a start is looked at by the parent: a start that could let nobody in, or everybody, ends with
one sentence.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from backends.auth.access_control import AccessControl
from backends.auth.followed_file import UnusableFile
from backends.auth.index_scheme import IndexScheme, beside_an_index
from backends.auth.index_server import IndexServer
from backends.auth.index_tokens import parse_index_authorization
from backends.auth.observing import AuthObserver, NobodyCounts
from backends.auth.rules import USERS_ALL, Rules
from backends.auth.schemes import Scheme
from backends.auth.v1_index_settings import V1IndexSettings
from backends.registry.store import Store
from backends.web.access import AccessGate
from portside.problems import Problem


def read_index_files(asked: V1IndexSettings) -> None:
    """Looks at the files that a worker needs.

    Raises:
        Problem: one cannot be used.
    """
    if asked.ca is not None:
        try:
            ssl.create_default_context(cafile=asked.ca)
        except OSError as error:  # ssl's own errors are among them
            raise Problem(
                f"gateway.v1.indexca: {asked.ca} cannot be used ({error.strerror or error});"
                " name a PEM file that holds the CA of the index"
            ) from None
    if asked.privileged_key is not None:
        from backends.auth.request_signatures import SignatureScheme  # noqa: PLC0415 - seldom wanted

        try:
            SignatureScheme(asked.privileged_key)
        except UnusableFile as error:
            raise Problem(str(error)) from None


class IndexAccess:
    """A worker's index.

    Args:
        asked: which.
        rules: returns the rules that hold, too; those for everybody with credentials where there are none.
        observer: counts refusals; None where nobody counts.
    """

    def __init__(
        self, asked: V1IndexSettings, rules: Callable[[], Rules] | None, observer: AuthObserver | None
    ) -> None:
        self._server = IndexServer(asked)
        schemes: list[Scheme] = [IndexScheme(self._server)]
        if asked.privileged_key is not None:
            from backends.auth.request_signatures import SignatureScheme  # noqa: PLC0415 - seldom wanted

            schemes.insert(0, SignatureScheme(asked.privileged_key))
        self._control = AccessControl(schemes, beside_an_index(rules or _users_all), parse=parse_index_authorization)
        self._observer = observer or NobodyCounts()

    def gate(self, store: Store) -> AccessGate:
        """Returns the gate of the v1 registry over a store."""
        from backends.v1.index_mode import IndexImageRule  # noqa: PLC0415 - only where v1 is here

        rule = IndexImageRule(store)
        return AccessGate(self._control, "v1", may_touch_image=rule, observer=self._observer)

    async def close(self) -> None:
        """Lets go of connections; called after the last request."""
        await self._server.close()


def _users_all() -> Rules:
    return USERS_ALL
