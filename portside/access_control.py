"""Access control of this program: what must be there before a start, and what each worker makes of the settings.

The parent looks at every file once, before it forks: a start that could let nobody in, or everybody, ends with one
sentence. From then on the parts look after their files themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from backends.auth.access_control import AccessControl
from backends.auth.observing import AuthObserver, NobodyCounts
from backends.auth.rules import USERS_ALL, Rules
from backends.auth.schemes import Scheme
from backends.auth.settings import AccessSettings
from backends.auth.token_key import TokenKey
from backends.auth.v1_tokens import V1Tokens
from backends.storage.storage import Storage
from backends.web.access import AccessGate, ImageRule
from portside.settings.access_files import read_access_files, read_upstream_password
from portside.settings.settings import Settings

if TYPE_CHECKING:
    from backends.auth.check_slots import CheckSlots
    from backends.auth.exchange import Exchange, PasswordExchange
    from backends.auth.own_bearers import OwnBearers
    from backends.auth.passwords import PasswordObserver, Passwords
    from backends.auth.rules_file import RulesFile
    from portside.observe.health import Check
    from portside.openid_issuers import Issuers

    class Observer(AuthObserver, PasswordObserver, Protocol):
        """Counts all there is to count."""


OPENID_REALM = "a token of an OpenID Connect issuer"
"""What people are asked for who would have to type one; everybody else's client has it."""

_log = logging.getLogger("portside.access")


@dataclass(frozen=True, slots=True)
class PreparedAccess:
    """What the parent has made for its workers.

    Attributes:
        rules: the file of rules; None for none.
        slots: for the checks of passwords; None where there are none.
    """

    rules: RulesFile | None
    slots: CheckSlots | None = None

    def tick(self) -> None:
        """Looks after what workers that start later get; to be called in the parent about once a second."""
        if self.rules is None:
            return
        try:
            self.rules.look()  # the workers look, too, and tell of it
        except Exception:  # noqa: BLE001 - the last net: the rules stay as they are, and the file is looked at again
            _log.exception("looking at the rules of access failed")


def prepare_access(settings: Settings) -> PreparedAccess | None:
    """Makes what a first start makes, and looks at every file; None where there is no access control.

    Raises:
        Problem: a file cannot be used.
    """
    asked = settings.access
    if asked is None:
        return None
    prepared = PreparedAccess(read_access_files(asked), _make_slots(asked))
    read_upstream_password(settings.proxy)
    _import_what_asks(asked)
    users = None  # of users that others than a file know, nobody can say who can be meant
    if asked.htpasswd is not None:
        from portside.password_files.at_start import prepare_password_file  # noqa: PLC0415 - where it is wanted

        own = settings.values["auth"]
        section = "auth" if own is not None and own["htpasswd"] is not None else "gateway.auth"
        table = prepare_password_file(asked.htpasswd, f"{section}.htpasswd.path")
        users = {*table.entries, *_users_of_v1(settings)} if asked.schemes == ("htpasswd",) else None
    if prepared.rules is not None:
        _tell_of_unmet_rules(asked, prepared.rules, users)
    return prepared


def _tell_of_unmet_rules(asked: AccessSettings, file: RulesFile, users: Collection[str] | None) -> None:
    """Says which rules nobody meets."""
    from backends.auth.unmet_rules import unmet_rules  # noqa: PLC0415 - where there are rules

    for line, what in unmet_rules(file.current(), users=users, has_claims=bool(asked.openid)):
        _log.warning("%s: line %d %s", asked.rules, line, what)


def _users_of_v1(settings: Settings) -> Iterator[str]:
    """Yields whom rules name who show a token of an index elsewhere, or sign their requests."""
    if settings.v1.index is None:
        return
    from backends.auth import index_scheme  # noqa: PLC0415 - few have an index elsewhere

    yield index_scheme.USER
    if settings.v1.index.privileged_key is not None:
        from backends.auth import request_signatures  # noqa: PLC0415 - seldom wanted

        yield request_signatures.USER


def _make_slots(asked: AccessSettings) -> CheckSlots | None:
    if asked.htpasswd is None:
        return None
    from backends.auth.check_slots import CheckSlots  # noqa: PLC0415 - where it is wanted

    return CheckSlots()


def _import_what_asks(asked: AccessSettings) -> None:
    """Imports what the workers need for it, before they are forked: so it is done once, and shared."""
    import backends.auth.own_bearers  # noqa: PLC0415 - where there is access control
    import backends.storage.inmemory  # noqa: PLC0415
    import backends.v1.sight  # noqa: PLC0415
    import portside.observe.auth_metrics  # noqa: PLC0415

    if asked.htpasswd is not None:
        import bcrypt  # noqa: F401, PLC0415

        import backends.auth.htpasswd_scheme  # noqa: PLC0415
    if asked.token is not None:
        import backends.auth.exchange  # noqa: F401, PLC0415
    if asked.openid:
        import portside.openid_issuers  # noqa: PLC0415
    if asked.certificates is not None:
        import portside.told_certificates  # noqa: F401, PLC0415


class Access:
    """A worker's access control, and what it takes to end it.

    Args:
        asked: schemes and rules.
        prepared: by the parent.
        storage: where the key is kept that tokens of Portside's own are made with.
        writes: whether anything may be written there.
        prefix: what stands before `/v2/` in every path.
        observer: counts logins, refusals, and checks of passwords; None where nobody counts.
        speaks: whether this worker tells what all see.

    Attributes:
        observer: as above.
        rules: returns the rules that hold now.
    """

    def __init__(
        self,
        asked: AccessSettings,
        prepared: PreparedAccess,
        storage: Storage,
        *,
        writes: bool,
        prefix: str,
        observer: Observer | None,
        speaks: Callable[[], bool],
    ) -> None:
        self._passwords: Passwords | None = None
        self._issuers: Issuers | None = None
        self._rules = prepared.rules
        self._slots = prepared.slots
        self.observer: AuthObserver = observer or NobodyCounts()
        self._speaks = speaks
        self.rules: Callable[[], Rules] = prepared.rules.current if prepared.rules is not None else _users_all
        rules = self.rules
        key = TokenKey(storage, secret=asked.secret, writes=writes)
        self.v1_tokens = V1Tokens(key.get)
        schemes = self._make_schemes(asked, observer)
        self._exchange = _make_exchange(asked)
        self.control = AccessControl(
            schemes,
            rules,
            tokens=_make_own_bearers(asked, key, rules, prefix),
            v1_tokens=self.v1_tokens,
            exchange=_make_password_exchange(self._exchange, schemes),
        )
        self._rereading: set[asyncio.Task[None]] = set()

    def gate(self, protocol: Literal["v1", "v2"], images: ImageRule) -> AccessGate:
        """Returns the gate of a registry; `images` decides about images of v1."""
        return AccessGate(self.control, protocol, may_touch_image=images, observer=self.observer)

    async def watch(self) -> None:
        """Follows the file of rules and the keys of issuers, for ever."""
        following = [self._rules.watch(self._speaks)] if self._rules is not None else []
        if self._issuers is not None:
            following.append(self._issuers.watch())
        await asyncio.gather(*following)

    def checks(self) -> Sequence[Check]:
        """Returns what health looks at."""
        return [self._issuers.check()] if self._issuers is not None else []

    def reread(self) -> None:
        """Reads the rules at once: somebody asks for it."""
        if self._rules is not None:
            task = asyncio.create_task(self._rules.refresh(self._speaks, at_once=True))
            self._rereading.add(task)
            task.add_done_callback(self._rereading.discard)

    async def close(self) -> None:
        """Lets go of threads; called after the last request."""
        for task in self._rereading:
            task.cancel()
        if self._passwords is not None:
            await self._passwords.close()
        if self._issuers is not None:
            await self._issuers.close()
        if self._exchange is not None:
            await self._exchange.close()

    def _make_schemes(self, asked: AccessSettings, passwords: PasswordObserver | None) -> Sequence[Scheme]:
        """Returns the schemes in the order in which they are asked, and clients are offered them."""
        schemes: list[Scheme] = []
        if asked.openid:
            from backends.auth.openid import OpenIdScheme  # noqa: PLC0415 - where it is wanted
            from portside.openid_issuers import Issuers  # noqa: PLC0415

            self._issuers = Issuers(asked.openid, speaks=self._speaks)
            # Before those that would take its tokens for theirs; their challenges will do for it, too.
            others = asked.token, asked.htpasswd, asked.silly
            realm = OPENID_REALM if all(each is None for each in others) else None
            schemes.append(OpenIdScheme(self._issuers.all, realm=realm))
        if asked.token is not None:
            from backends.auth.token import TokenScheme  # noqa: PLC0415 - where it is wanted

            schemes.append(TokenScheme(asked.token))
        if asked.htpasswd is not None:
            from backends.auth.htpasswd_scheme import HtpasswdScheme  # noqa: PLC0415 - where it is wanted
            from backends.auth.password_file import PasswordFile  # noqa: PLC0415
            from backends.auth.passwords import Passwords  # noqa: PLC0415
            from backends.auth.slowing import Slowing  # noqa: PLC0415

            self._passwords = Passwords(
                PasswordFile(asked.htpasswd.path), Slowing(), slots=self._slots, observer=passwords
            )
            schemes.append(HtpasswdScheme(asked.htpasswd.realm, self._passwords))
        if asked.silly is not None:
            from backends.auth.silly import Silly  # noqa: PLC0415 - where it is wanted

            schemes.append(Silly(asked.silly.realm, asked.silly.service))
        if asked.certificates is not None:
            from backends.auth.certificates import CertificateScheme  # noqa: PLC0415 - where it is wanted

            schemes.append(CertificateScheme(asked.certificates))  # last: it takes whatever nobody else does
        return schemes


def _make_own_bearers(
    asked: AccessSettings, key: TokenKey, rules: Callable[[], Rules], prefix: str
) -> OwnBearers | None:
    """Returns what gives tokens where rules may let in those without a password, who would not be asked twice."""
    if not asked.makes_own_tokens:
        return None
    from backends.auth.own_bearers import OwnBearers  # noqa: PLC0415 - where they are wanted

    return OwnBearers(key.get, rules, prefix=prefix)


def _make_exchange(asked: AccessSettings) -> Exchange | None:
    """Returns what asks the token server about users and passwords, which is all that clients of v1 have."""
    if asked.token is None or not asked.token.realm:  # the realm is then on the host that a client names
        return None
    from backends.auth.exchange import Exchange  # noqa: PLC0415 - where it is wanted

    return Exchange(asked.token.realm, asked.token.service)


def _make_password_exchange(exchange: Exchange | None, schemes: Sequence[Scheme]) -> PasswordExchange | None:
    if exchange is None:
        return None
    from backends.auth.exchange import PasswordExchange  # noqa: PLC0415 - as above

    return PasswordExchange(exchange, next(scheme for scheme in schemes if scheme.name == "token"))


def _users_all() -> Rules:
    return USERS_ALL
