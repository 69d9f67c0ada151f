"""Who may: the gate before every operation that touches something, whatever the protocol, once there is access control.

What is told to a caller never depends on whether the thing is there:
    nobody, and nobody may                   401 and the challenges
    wrong credentials                        401 and the challenges
    a token that does not reach so far       401 insufficient_scope, and the challenge for one that does
    somebody, who may not pull               what is answered where nothing is: its handler runs over an empty store
    somebody, who may not push or delete     403 and a sentence
    a mount whose source may not be pulled   an upload, as if the source were not there
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

from aiohttp.web import BaseRequest

from backends import request_context
from backends.auth.access_control import AccessControl, Unauthenticated
from backends.auth.identity import ANONYMOUS, Identity
from backends.auth.observing import AuthObserver
from backends.auth.rules import USERS_ALL, is_somebody
from backends.auth.schemes import Busy, Failure
from backends.dependencies import NOTED, Dependencies
from backends.http.request_info import client_agent, forwarded_scheme, remote_address, told_address
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.names import canonical_name
from backends.web.callers import caller_of
from backends.web.logins import Logins
from backends.web.operations import Access, ImageAccess, Operation, RegistryAccess, RepositoryAccess, Values
from backends.web.refusals import Asked, come_again, denied, described, unauthorized
from backends.web.rights import Rights, set_rights
from backends.web.verdicts import Verdict, judge

ImageRule = Callable[[Rights, ImageAccess], Awaitable[bool]]
"""Whether a caller may do something with an image of v1, whose address names no repository."""


async def touches_no_image(rights: Rights, access: ImageAccess) -> bool:  # noqa: ARG001 - as every rule
    """Refuses: the registry has no image whose address names no repository."""
    return False


def _may_do_everything(control: AccessControl, identity: Identity) -> bool:
    """Whether nothing limits somebody: so it is in a team without a rules file, and looked at first."""
    return control.rules is USERS_ALL and identity.grants is None and is_somebody(identity)


def _reach(identity: Identity, action: Action, name: str) -> bool:
    """Whether somebody's credentials reach an action; whoever pushes reads what is there, and asks for both."""
    grants = identity.grants
    if grants is None:
        return True
    return grants.allow(action, name) and (action is not Action.PUSH or grants.allow(Action.PULL, name))


_log = logging.getLogger("portside.auth")


class Admission(NamedTuple):
    """An operation that goes on; made at every request, so of the cheapest kind.

    Attributes:
        values: for its handler.
        is_hidden: the handler must run where nothing is: the caller may not know what there is.
    """

    values: Values
    is_hidden: bool = False


class AccessGate:
    """The gate of one registry.

    Args:
        control: schemes and rules.
        protocol: of the registry.
        may_touch_image: decides about images of v1.
        observer: counts logins and refusals.
    """

    def __init__(
        self,
        control: AccessControl,
        protocol: Literal["v1", "v2"],
        *,
        may_touch_image: ImageRule,
        observer: AuthObserver,
    ) -> None:
        self._control = control
        self._protocol: Literal["v1", "v2"] = protocol
        self._may_touch_image = may_touch_image
        self._observer = observer
        self._logins = Logins(observer)

    def admit_known(self, operation: Operation, values: Values, request: BaseRequest) -> bool:
        """Admits who is known again by its header and may do all that a request needs; False says nothing.

        So it is with most requests, and it is all that they pay for; the others are for `admit`.
        """
        authorization = request.headers.get("Authorization")
        if authorization is None or operation.action is Action.NONE:
            return False
        control = self._control
        identity = control.recall(authorization)
        if identity is None:
            return False
        if not _may_do_everything(control, identity) and not self._are_allowed(
            identity, operation.accesses(values, request)
        ):
            return False
        self._note(Rights(control, identity), request)
        if operation.action is Action.LOGIN:
            self._tell(operation, identity, request)
        if (noted := NOTED.get()) is not None:
            self._depend(noted, authorization, identity, operation, operation.accesses(values, request), request)
        return True

    def _depend(
        self,
        noted: Dependencies,
        authorization: str,
        identity: Identity,
        operation: Operation,
        accesses: Sequence[Access],
        request: BaseRequest,
    ) -> None:
        """Has the same decided for each request to which the answer is given again, and a login told."""
        control, are_allowed = self._control, self._are_allowed
        recall = control.recalling(authorization)

        def ask() -> bool:
            return recall() is identity and (_may_do_everything(control, identity) or are_allowed(identity, accesses))

        noted.add(ask)
        if operation.action is Action.LOGIN and identity.user:
            agent, told = client_agent(request), told_address(request)
            noted.tell(lambda address, _: self._logins.tell(identity, told or address, agent))

    async def admit(self, operation: Operation, values: Values, request: BaseRequest) -> Admission:
        """Decides about a request; from here on it carries its caller's rights.

        Args:
            operation: what it asks for.
            values: the values as the client named them: challenges repeat its names.
            request: the request.

        Raises:
            RegistryError: UNAUTHORIZED, DENIED, or TOOMANYREQUESTS and UNAVAILABLE while nobody can tell.
        """
        accesses = operation.accesses(values, request)
        if not accesses:  # open to everybody, wrong credentials included
            set_rights(request, Rights(self._control, ANONYMOUS))
            return Admission(values)
        authorization = request.headers.get("Authorization")
        known = None if authorization is None else self._control.recall(authorization)
        asked = Asked(caller_of(request, self._protocol), operation, values, request)
        identity = await self._identify(authorization, asked) if known is None else known
        rights = Rights(self._control, identity)
        self._note(rights, request)
        is_hidden = False
        for access in accesses if not _may_do_everything(self._control, identity) else ():
            verdict = await self._verdict(rights, access)
            if verdict is Verdict.ALLOWED:
                continue
            if isinstance(access, RepositoryAccess) and not access.required:
                values = {**values, "source": None}
                continue
            if isinstance(access, RegistryAccess) and not access.required:
                continue
            self._refuse(asked, identity, access, verdict)
            is_hidden = True
        self._tell(operation, rights.identity, request)
        return Admission(values, is_hidden)

    def _are_allowed(self, identity: Identity, accesses: Sequence[Access]) -> bool:
        """Whether the rules surely allow somebody all of this; False says nothing."""
        control = self._control
        for access in accesses:
            if isinstance(access, RepositoryAccess):
                name = canonical_name(access.name)
                if (
                    not _reach(identity, access.action, name)
                    or not control.decide(identity, access.action, name).is_allowed
                ):
                    return False
            elif isinstance(access, ImageAccess) or access.action is not Action.LOGIN or not is_somebody(identity):
                return False
        return True

    def _note(self, rights: Rights, request: BaseRequest) -> None:
        """Has a request carry its caller's rights and name."""
        set_rights(request, rights)
        user = rights.identity.user
        if user:
            request[request_context.USER] = user

    def _tell(self, operation: Operation, identity: Identity, request: BaseRequest) -> None:
        """Tells of a login."""
        if operation.action is Action.LOGIN and identity.user:
            self._logins.tell(identity, remote_address(request), client_agent(request))

    async def _identify(self, authorization: str | None, asked: Asked) -> Identity:
        try:
            needed = asked.needed() if self._control.exchange is not None and self._protocol == "v1" else ()
            return await self._control.identify(authorization, asked.caller, needed)
        except Unauthenticated as wrong:
            self._observer.failed(wrong.scheme, wrong.failure)
            user = f" for {wrong.user[:200]}" if wrong.user else ""
            _log.log(
                # A token that is good for something else is no attempt: Docker shows its token for a push to look, too.
                logging.INFO if wrong.failure is Failure.SCOPE else logging.WARNING,
                "wrong credentials%s from %s, to %s: %s (%s)",
                user,
                asked.caller.address,
                asked.what(),
                wrong.reason,
                described(wrong.scheme or "no scheme", asked.caller.agent),
            )
            raise self._unauthorized(asked, wrong.error) from None
        except Busy as busy:
            self._observer.failed(busy.scheme, busy.failure)
            _log.warning(
                "%s was asked to come again in %d s: %s (%s)",
                asked.caller.address,
                busy.retry_after,
                busy.reason,
                described(busy.scheme, asked.caller.agent),
            )
            raise come_again(busy) from None

    async def _verdict(self, rights: Rights, access: Access) -> Verdict:
        control, identity = rights.control, rights.identity
        match access:
            case ImageAccess(action=action):
                may = await self._may_touch_image(rights, access)
                # A client of v1 has no scopes: what its token does not reach is not there, or not its to push.
                return judge(identity, action, is_granted=True, is_allowed=may, may_pull=False)
            case RepositoryAccess(action=action):
                name = canonical_name(access.name)
                is_granted = _reach(identity, action, name)
                is_allowed = control.decide(identity, action, name).is_allowed
                may_pull = action is Action.DELETE and control.may(identity, Action.PULL, name)
                return judge(identity, action, is_granted=is_granted, is_allowed=is_allowed, may_pull=may_pull)
            case RegistryAccess(action=action):
                if action is Action.LOGIN:  # whoever has shown something that is good may come in
                    is_allowed = not identity.is_anonymous or not control.schemes
                    return Verdict.ALLOWED if is_allowed else Verdict.UNKNOWN_CALLER
                is_granted = control.grants(identity, action, "")
                is_allowed = control.decide(identity, action, "").is_allowed
                return judge(identity, action, is_granted=is_granted, is_allowed=is_allowed, may_pull=False)

    def _refuse(self, asked: Asked, identity: Identity, access: Access, verdict: Verdict) -> None:
        """Notes a refusal; returns where it is to look like something that is not there.

        Raises:
            RegistryError: in all other cases.
        """
        what = asked.what(access)
        failure = verdict.failure
        is_first_question = isinstance(access, RegistryAccess) and access.action is Action.LOGIN
        if verdict is Verdict.UNKNOWN_CALLER and is_first_question:
            _log.debug("%s was asked for credentials (%s)", asked.caller.address, asked.caller.agent[:100])
        else:
            self._observer.failed(identity.scheme, failure)
            _log.info(
                "%s at %s was refused to %s: %s (%s)",
                identity.user[:200] or "somebody without a name",
                asked.caller.address,
                what,
                self._reason(identity, access, verdict),
                described(identity.scheme, asked.caller.agent),
            )
        if verdict in {Verdict.UNKNOWN_CALLER, Verdict.OUT_OF_SCOPE}:
            raise self._unauthorized(asked, "insufficient_scope" if verdict is Verdict.OUT_OF_SCOPE else "")
        if verdict is Verdict.DENIED and not isinstance(access, RegistryAccess):  # what lists is hidden, never denied
            raise denied(identity, access)

    def _reason(self, identity: Identity, access: Access, verdict: Verdict) -> str:
        if verdict in {Verdict.UNKNOWN_CALLER, Verdict.OUT_OF_SCOPE}:
            return str(verdict.value)
        if isinstance(access, ImageAccess):
            return "it may not in any repository that holds the image"
        name = canonical_name(access.name) if isinstance(access, RepositoryAccess) else ""
        return self._control.decide(identity, access.action, name).reason

    def _unauthorized(self, asked: Asked, error: str) -> RegistryError:
        caller = asked.caller._replace(told_scheme=forwarded_scheme(asked.request))
        return unauthorized(asked, self._control.challenges(caller, asked.wanted(), error))
