"""A small faithful Docker, one per release: push, pull, login and search as the real programs did them.

The room that joins the rest: it finds out what an address speaks in the way of its release, runs the command on
v2 or v1, falls back where the real one fell back, and reports the exit status with everything that went over the
wire. It shares no code with Portside, which it judges (WIRE sections 1, 2 and 6).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.fallback import Command, Next, RefusedError, after_refusal
from tests.support.images import Image, Pulled, V1Image, digest_of
from tests.support.profiles import LATER, PROFILES, Finding, Profile, V2Format
from tests.support.v1_calls import CommandError, Login, V1Calls, ping
from tests.support.v1_index import search, sign_up
from tests.support.v1_pull import V1Pull, V1Store
from tests.support.v1_push import V1Push, refuse_namespace
from tests.support.v2_calls import Challenge, Ping, V2Calls, V2Store, ping_v2
from tests.support.v2_pull import V2Pull
from tests.support.v2_push import V2Push
from tests.support.wire import Address, BrokenConnectionError, Call, Exchange, HttpClient, Transcript

VERSIONS = tuple(PROFILES)
"""Every release that can be replayed from what was recorded of it, oldest first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        ok: Exit status 0.
        output: The last thing printed; after a failure the reason.
        transcript: Every connection, in order.
        pulled: What a pull brought, by the order of tags.
        digests: Digest of each manifest pushed to v2, by tag.
        found: Names that a search found.
    """

    ok: bool
    output: str
    transcript: Transcript
    pulled: tuple[Pulled, ...] = ()
    digests: Mapping[str, str] | None = None
    found: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Protocols used beyond pings: ``v1``, ``v2``, ``v2+v1`` or nothing, as in WIRE section 9."""
        paths = [urlsplit(exchange.request.url).path for exchange in self.transcript.exchanges]
        v2 = any(path.startswith("/v2/") and path != "/v2/" for path in paths)
        v1 = any(path.startswith("/v1/") and path != "/v1/_ping" for path in paths)
        return "+".join([*(["v2"] if v2 else []), *(["v1"] if v1 else [])])

    @property
    def statement(self) -> str:
        """As a cell of the table of WIRE section 9: ``ok v1``, ``ERR v2+v1``, ``ok``."""
        return f"{'ok' if self.ok else 'ERR'} {self.protocol}".strip()

    @property
    def exchanges(self) -> list[Exchange]:
        return self.transcript.exchanges


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """What a release that asks first has found: where, which protocol, and whether Basic replaces tokens."""

    base: str
    ping: Ping | None
    basic_everywhere: bool

    @property
    def is_v2(self) -> bool:
        return self.ping is not None and self.ping.accepted


class Docker:
    """A docker daemon and command line of one release, talking to one registry.

    A fresh instance is a fresh machine: it knows no blobs and no images. What it pushes or pulls it keeps, as a
    daemon does, until `forget_images`.
    """

    def __init__(
        self,
        version: str,
        address: Address,
        *,
        login: Login | None = None,
        retry_delay_s: float = 0.0,
        timeout_s: float = 30.0,
    ) -> None:
        """Set up a client.

        Args:
            version: A key of `PROFILES` or `LATER`.
            login: Credentials from an earlier ``docker login``.
            retry_delay_s: Between tries of an upload; real clients wait seconds.
            timeout_s: Of one read or write on a connection.
        """
        self.profile: Profile = PROFILES.get(version) or LATER[version]
        self._address = address
        self._login = login
        self._retry_delay_s = retry_delay_s
        self._timeout_s = timeout_s
        self._v1_store = V1Store()
        self._v2_store = V2Store()

    # -- commands -----------------------------------------------------------------------------------------------

    def push(self, name: str, tag: str, image: Image) -> Outcome:
        """``docker push NAME:TAG``."""
        return self.push_all(name, {tag: image})

    def push_all(self, name: str, images: Mapping[str, Image]) -> Outcome:
        """``docker push NAME``: every tag of the repository."""
        digests: dict[str, str] = {}

        def on_v1(calls: V1Calls) -> str:
            V1Push(calls).push(name, {tag: self._chain(image) for tag, image in images.items()})
            return f"Pushing tag on {name}"

        def on_v2(calls: V2Calls) -> str:
            push = V2Push(calls, self._v2_store, retry_delay=lambda: time.sleep(self._retry_delay_s))
            digests.update(push.push(images))
            return f"digests: {digests}"

        def run(http: HttpClient) -> str:
            refuse_namespace(self.profile, name)
            return self._run(http, name, Command.PUSH, on_v1, on_v2)

        output, ok, transcript = self._command(run)
        return Outcome(ok, output, transcript, digests=digests)

    def push_chain(self, name: str, tag: str, chain: Sequence[V1Image]) -> Outcome:
        """Push v1 images as they are, base first: for what other programs have pushed in the same way."""

        def run(http: HttpClient) -> str:
            endpoint = self._find(http, v1_alone=True, session=True)
            V1Push(self._v1_calls(http, endpoint.base, standalone=endpoint.basic_everywhere)).push(name, {tag: chain})
            return f"Pushing tag on {name}"

        output, ok, transcript = self._command(run)
        return Outcome(ok, output, transcript)

    def pull(self, name: str, reference: str) -> Outcome:
        """``docker pull NAME:TAG``, or ``NAME@DIGEST``."""
        return self._pull(name, reference)

    def pull_all(self, name: str) -> Outcome:
        """``docker pull -a NAME``; in docker 1.0.1, ``docker pull NAME``."""
        return self._pull(name, None)

    def _pull(self, name: str, reference: str | None) -> Outcome:
        pulled: list[Pulled] = []

        def on_v1(calls: V1Calls) -> str:
            pulled.extend(V1Pull(calls, self._v1_store).pull(name, reference))
            return f"Status: Downloaded {name}"

        def on_v2(calls: V2Calls) -> str:
            pulled.extend(V2Pull(calls, self._v2_store).pull(reference))
            return f"Status: Downloaded {name}"

        output, ok, transcript = self._command(lambda http: self._run(http, name, Command.PULL, on_v1, on_v2))
        return Outcome(ok, output, transcript, tuple(pulled))

    def login(self, login: Login) -> Outcome:
        """``docker login -u … -p … -e … ADDRESS``; a success is remembered."""
        output, ok, transcript = self._command(lambda http: self._log_in(http, login))
        if ok:
            self._login = login
        return Outcome(ok, output, transcript)

    def search(self, term: str) -> Outcome:
        """``docker search ADDRESS/TERM``."""
        found: list[str] = []

        def run(http: HttpClient) -> str:
            if not self.profile.private_search:
                raise CommandError("Get https://index of the vendor: no such host")
            v1_alone = self.profile.search_v1_ping or self.profile.finding is Finding.V1_PING
            endpoint = self._find(http, v1_alone=v1_alone, session=True)
            found.extend(search(self._v1_calls(http, endpoint.base, standalone=endpoint.basic_everywhere), term))
            return " ".join(found)

        output, ok, transcript = self._command(run)
        return Outcome(ok, output, transcript, found=tuple(found))

    def forget_images(self) -> None:
        """``docker rmi`` of everything: the next pull fetches, the next push knows nothing of the registry."""
        self._v1_store = V1Store()
        self._v2_store = V2Store()

    def keep(self, name: str, image: Image) -> None:
        """Have the image as if it had been pulled from the registry's repository `name` before."""
        for item in self._chain(image):
            self._v1_store.images[item.id] = item
        for blob in [*(layer.packed for layer in image.stored_layers), image.config()]:
            self._v2_store.blobs[digest_of(blob)] = blob
            self._v2_store.remember(name, digest_of(blob))

    # -- how a command runs -------------------------------------------------------------------------------------

    def _command(self, run: Callable[[HttpClient], str]) -> tuple[str, bool, Transcript]:
        transcript = Transcript()
        http = HttpClient(
            self._address,
            transcript,
            newest_tls=self.profile.newest_tls,
            says_close=self.profile.says_close,
            timeout_s=self._timeout_s,
        )
        try:
            return run(http), True, transcript
        except (CommandError, RefusedError, BrokenConnectionError) as error:
            return str(error), False, transcript

    def _run(
        self,
        http: HttpClient,
        name: str,
        command: Command,
        on_v1: Callable[[V1Calls], str],
        on_v2: Callable[[V2Calls], str],
    ) -> str:
        match self.profile.finding:
            case Finding.V1_PING:
                endpoint = self._find(http, v1_alone=True, session=True)
                return on_v1(self._v1_calls(http, endpoint.base, standalone=endpoint.basic_everywhere))
            case Finding.ONE_PING:
                return self._run_by_one_ping(http, name, command, on_v1, on_v2)
            case Finding.ENDPOINTS | Finding.V2_ONLY:
                return self._run_by_endpoints(http, name, command, on_v1, on_v2)

    def _run_by_one_ping(
        self,
        http: HttpClient,
        name: str,
        command: Command,
        on_v1: Callable[[V1Calls], str],
        on_v2: Callable[[V2Calls], str],
    ) -> str:
        """Docker 1.5 to 1.7: one answer decides, but every failed pull from v2 is tried on v1."""
        endpoint = self._find(http, v1_alone=False, session=True)
        v1 = self._v1_calls(http, endpoint.base, standalone=endpoint.basic_everywhere)
        if not endpoint.is_v2:
            return on_v1(v1)
        again = self._find(http, v1_alone=False, session=False)
        basic_everywhere = endpoint.basic_everywhere
        v2 = self._v2_calls(http, again.base, name, command, again.ping, basic_everywhere=basic_everywhere)
        if command is Command.PUSH:
            return on_v2(v2)
        try:
            return on_v2(v2)
        except (CommandError, RefusedError, BrokenConnectionError):
            return on_v1(v1)

    def _run_by_endpoints(
        self,
        http: HttpClient,
        name: str,
        command: Command,
        on_v1: Callable[[V1Calls], str],
        on_v2: Callable[[V2Calls], str],
    ) -> str:
        """Docker 1.9 and later: v2 over TLS, v2 in the clear, v1 over TLS, v1 in the clear."""
        last: Exception = CommandError("no endpoint")
        confirmed = tls_answered = False
        for base in self._bases():
            if tls_answered and self.profile.keeps_to_tls:
                break
            try:
                pong = ping_v2(http, self.profile, base)
            except BrokenConnectionError as error:
                last = error
                continue
            tls_answered = tls_answered or base.startswith("https:")
            if self.profile.v2_format is V2Format.SCHEMA1_PATCHED and not pong.names_api:
                last = CommandError("endpoint does not support v2 API")
                continue
            try:
                return on_v2(self._v2_calls(http, base, name, command, pong, basic_everywhere=False))
            except RefusedError as refused:
                last = refused
                following = after_refusal(self.profile, refused, command)
                if following is Next.STOP:
                    raise
                confirmed = confirmed or (following is Next.TRY_CONFIRMED and pong.names_api)
        if confirmed or self.profile.finding is Finding.V2_ONLY:
            raise last
        base, standalone = self._v1_stage(http, last)
        return on_v1(self._v1_calls(http, base, standalone=standalone))

    def _v1_stage(self, http: HttpClient, last: Exception) -> tuple[str, bool]:
        """The v1 endpoint of docker 1.9 and later; it is pinged over TLS only."""
        for base in self._bases():
            if base.startswith("http:"):
                return base, False
            if self.profile.v1_stage_pings_v2:
                try:
                    pong = ping_v2(http, self.profile, base)
                except BrokenConnectionError as error:
                    last = error
                else:
                    if pong.accepted:
                        return base, pong.status == 200
            try:
                return base, ping(http, self.profile, base)
            except BrokenConnectionError as error:
                last = error
        raise last

    # -- finding out --------------------------------------------------------------------------------------------

    def _bases(self) -> Sequence[str]:
        """Where to try: TLS first; in the clear only what docker calls an insecure registry."""
        netloc = self._address.netloc
        return [f"https://{netloc}", *([] if self._address.ca else [f"http://{netloc}"])]

    def _find(self, http: HttpClient, *, v1_alone: bool, session: bool) -> _Endpoint:
        """Ask ``/v2/`` and then ``/v1/_ping``, over TLS and then without.

        Args:
            v1_alone: Do not ask for v2.
            session: A session is opened with it, which over TLS pings once more to learn whether the registry
                is standalone.
        """
        last: Exception = BrokenConnectionError("no endpoint")
        for base in self._bases():
            pong: Ping | None = None
            try:
                if not v1_alone:
                    pong = self._ping_v2_or_none(http, base)
                if pong is None or not pong.accepted:
                    ping(http, self.profile, base)
            except BrokenConnectionError as error:
                last = error
                continue
            basic_everywhere = False
            if session and base.startswith("https:"):
                if pong is not None and pong.accepted:
                    basic_everywhere = ping_v2(http, self.profile, base).status == 200
                else:
                    basic_everywhere = ping(http, self.profile, base)
            return _Endpoint(base, pong, basic_everywhere)
        raise last

    def _ping_v2_or_none(self, http: HttpClient, base: str) -> Ping | None:
        try:
            return ping_v2(http, self.profile, base)
        except BrokenConnectionError:
            return None

    def _log_in(self, http: HttpClient, login: Login) -> str:
        if not self.profile.sign_up_agent:
            return self._log_in_to_endpoints(http, login)
        endpoint = self._find(http, v1_alone=self.profile.finding is Finding.V1_PING, session=False)
        if not endpoint.is_v2:
            for _ in range(self.profile.pings_before_sign_up - 1):
                ping(http, self.profile, endpoint.base)
            return sign_up(http, self.profile, endpoint.base, login)
        if endpoint.ping is None or endpoint.ping.challenge is None:
            raise CommandError(f"no successful auth challenge for {endpoint.base}/v2/ - errors: []")
        return self._prove_to_v2(http, endpoint.base, endpoint.ping.challenge, login)

    def _log_in_to_endpoints(self, http: HttpClient, login: Login) -> str:
        """Docker 1.12 and later: ask, ask again with what was demanded, and try v1 where nobody spoke v2."""
        last: Exception = CommandError("no endpoint")
        for base in self._bases():
            try:
                pong = ping_v2(http, self.profile, base)
            except BrokenConnectionError as error:
                last = error
                continue
            try:
                return self._prove_to_v2(http, base, pong.challenge, login)
            except CommandError as error:
                last = error
                if pong.names_api or self.profile.finding is Finding.V2_ONLY:
                    raise
                break
        if self.profile.finding is Finding.V2_ONLY:
            raise last
        base, _ = self._v1_stage(http, last)
        return sign_up(http, self.profile, base, login)

    def _prove_to_v2(self, http: HttpClient, base: str, challenge: Challenge | None, login: Login) -> str:
        if challenge is not None and challenge.scheme != "basic":
            raise CommandError("a login to a token server is not replayed: it was never captured")
        fields = [("Authorization", login.basic)] if challenge else []
        response = http.send(Call("GET", f"{base}/v2/", self.profile.agent, fields))
        if response.status != 200:
            raise CommandError(f"login attempt to {base}/v2/ failed with status: {response.status} {response.reason}")
        return "Login Succeeded"

    # -- sessions -----------------------------------------------------------------------------------------------

    def _v1_calls(self, http: HttpClient, base: str, *, standalone: bool) -> V1Calls:
        return V1Calls(http, self.profile, base, login=self._login, standalone_tls=standalone)

    def _v2_calls(
        self,
        http: HttpClient,
        base: str,
        name: str,
        command: Command,
        pong: Ping | None,
        *,
        basic_everywhere: bool,
    ) -> V2Calls:
        return V2Calls(
            http,
            self.profile,
            base,
            name,
            login=self._login,
            challenge=pong.challenge if pong else None,
            basic_everywhere=basic_everywhere,
            actions="push,pull" if command is Command.PUSH else "pull",
        )

    def _chain(self, image: Image) -> tuple[V1Image, ...]:
        if self.profile.digest_ids:
            return image.digest_chain()
        return image.v1_chain(final_newline=self.profile.json_newline, closing_blocks=self.profile.closing_blocks)
