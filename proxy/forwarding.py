"""Forwarding a request to a registry in another process, streaming in both directions.

- The target is passed on as it came, never decoded.
- A request that changes something gets a connection of its own: a pooled one may have been closed meanwhile, and only
  requests that can be repeated may be sent twice.
- A client that waits for `100 Continue` gets it when the registry sends it.
- An answer that comes before the body has been read is passed on at once, and the rest of the body is not read.
- A registry that breaks off in the middle breaks the client's connection too: a truncated body never looks complete.
- A registry that cannot be reached or breaks off is 502, one that stays silent 504; a client that does 408.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from backends import request_context
from backends.dependencies import NOTED
from backends.http.address_doubts import AddressDoubts
from backends.http.connections import break_off, close_if_out_of_step
from backends.http.handed_files import HandedFile
from backends.http.receiving import expects_continue, require_expectation
from backends.http.request_info import client_authority, location_origin, path_for_log
from backends.http.sending import add_outer_headers
from backends.http.text import printable
from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError
from backends.request_context import OuterHeaders
from proxy.answer_heads import AnswerHead
from proxy.answers import registry_error
from proxy.credentials import KEPT, OwnCredentials
from proxy.handed_files import SharedFolder, handed_by, open_handed, send_handed
from proxy.headers import Addresses, Header, response_headers
from proxy.passages import SMALL_BODY, Passage, Passing, split_at_address
from proxy.passing_back import KEPT_BYTES, Asked, KeptAnswer, KeptHead, make_kept, may_be_kept, takes_kept, weigh
from proxy.receiving import ClientBody, nothing
from proxy.replying import reply
from proxy.request_heads import KeptRequest, RequestHeads, encode_request
from proxy.routing import Backend, origin_form
from proxy.settings import HEALTH_PATH, UpstreamSettings
from proxy.upstream_address import UpstreamAddress
from proxy.upstream_answers import Body, UpstreamAnswer, ask
from proxy.upstream_failures import UpstreamFailure
from proxy.upstream_pool import UpstreamPool

PROBE_SECONDS = 3.0
_CATALOG = ("registry:catalog:*",)

_log = logging.getLogger("portside.proxy")


EXPECT_SECONDS = 3.0
"""How long a registry may take to answer `Expect: 100-continue` with anything at all; then the body is sent all the
same, since there are servers that never send `100 Continue`."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to the proxy itself.

    Attributes:
        more: whether it names a next page.
    """

    status: int
    more: bool
    body: bytes


class Forwarder:
    """An upstream: a registry behind a unix socket or a URL. Made inside a running event loop.

    Args:
        backend: which registry it is.
        settings: where it is.
        certificate_key: what it is told of a client's certificate is sealed with this; None: it is told nothing.
        files: the folder of which it may hand files over; None: it sends all bytes itself.

    Raises:
        OSError: its CA cannot be used.
        UnusableFile: there is no password for it.
    """

    def __init__(
        self,
        backend: Backend,
        settings: UpstreamSettings,
        *,
        certificate_key: bytes | None = None,
        files: SharedFolder | None = None,
    ) -> None:
        self._backend = backend
        self._files = files
        self._settings = settings
        self._address = UpstreamAddress(settings, name=backend.value)
        self._pool = UpstreamPool(self._address, read_seconds=settings.read_seconds)
        self._where = f"the {backend.value} registry at {settings.address}"
        key = f"gateway.{backend.value}.credentials"
        own = settings.credentials
        self._credentials = OwnCredentials(own, key=key, ca=settings.ca) if own is not None else None
        self._refused = ""
        self._doubts = AddressDoubts()
        self._heads = RequestHeads(
            backend,
            self._address,
            own=self._credentials,
            certificate_key=certificate_key,
            takes_files=files is not None,
        )
        self._kept: Cache[Asked, KeptHead] = Cache(bound=KEPT_BYTES, weigh=weigh)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forwards a request and streams the answer back."""
        body = ClientBody(request, idle_seconds=self._settings.body_idle_seconds) if request.body_exists else None
        try:
            require_expectation(request)
            answer = await self._ask(request, body)
            if self._credentials is not None:
                if answer.head.status == HTTPStatus.UNAUTHORIZED and body is None:
                    answer = await self._ask_again(request, answer, self._credentials)
                self._require_welcome(answer, self._credentials)
            async with answer:
                return await self._answer(request, answer)
        except RegistryError as error:
            return self._error(request, error)
        except UpstreamFailure as failure:
            return self._failed(request, body, failure)

    async def _answer(self, request: web.BaseRequest, answer: UpstreamAnswer) -> web.StreamResponse:
        """Gives the client an answer.

        Raises:
            UpstreamFailure: it breaks off, and nothing has been sent to the client.
            RegistryError: a file was handed over that cannot be sent.
        """
        head = answer.head
        carries = request.method != "HEAD" and not head.has_no_content
        small = await _small_body(answer) if carries else b""
        if self._files is not None and request.method == "GET" and (file := handed_by(head)) is not None:
            answer.close()  # its connection serves others while the file is sent
            return await self._send_file(request, head, self._files, file)
        kept = None
        if small is not None and self._credentials is None and takes_kept(request):  # else more is changed further out
            kept = self._kept_head(request.get(request_context.RESPONSE_HEADERS), head, bool(small))
        if kept is not None and small is not None:
            response: web.Response = KeptAnswer(head, kept, small)
        elif small is None or not carries:
            return await self._stream_back(request, answer)
        else:
            headers = self._headers_back(request, head)
            headers.popall("Content-Length", None)
            response = web.Response(status=head.status, reason=head.reason, headers=headers, body=small)
            add_outer_headers(request, response)
        close_if_out_of_step(request, response)
        return response

    async def _send_file(
        self, request: web.BaseRequest, head: AnswerHead, files: SharedFolder, file: HandedFile
    ) -> web.StreamResponse:
        """Sends a file that the registry has handed over.

        Raises:
            RegistryError: UNAVAILABLE, 502: it cannot be sent.
        """
        try:
            opened = await open_handed(files, file)
        except RegistryError as error:
            _log.error("%s: %s", printable(path_for_log(request)), printable(error.detail))
            raise
        return await send_handed(request, self._streaming(request, head), opened, file)

    async def _ask(self, request: web.BaseRequest, body: ClientBody | None) -> UpstreamAnswer:
        """Sends the request and returns the answer as soon as its head is there."""
        passed = request.get(request_context.PASSED_ON)
        if isinstance(passed, Passing) and (answer := await passed.answer()) is not None:
            return answer
        if body is None or not expects_continue(request):
            return await self._send(request, body, expects=False)
        patience = asyncio.timeout(EXPECT_SECONDS)
        try:
            async with patience:
                body.when_begun = lambda: patience.reschedule(None)
                return await self._send(request, body, expects=True)
        except TimeoutError:
            if not patience.expired():
                raise
            body.when_begun = nothing
        # It said nothing, and nothing of the body was sent: ask again, and send the body without its 100 Continue.
        return await self._send(request, body, expects=False)

    async def _send(self, request: web.BaseRequest, body: ClientBody | None, *, expects: bool) -> UpstreamAnswer:
        if body is None:
            head, kept = await self._heads.of(request)
            noted = NOTED.get()
            if noted is not None and kept is not None:
                noted.passage = self._passage(request, kept)
            return await ask(self._pool, head, method=request.method)
        has_length = "Content-Length" in request.headers
        head = await self._heads.with_body(request, chunked=not has_length, expects=expects)
        sent = Body(body.pour, body.close, chunked=not has_length, expects=expects)
        return await ask(self._pool, head, method=request.method, body=sent)

    def _passage(self, request: web.BaseRequest, asked: KeptRequest) -> Passage | None:
        """Returns how requests of the same bytes may go on; None where more than these and the address decides."""
        if not self._heads.are_by_bytes or request_context.TRUSTED_PEER in request:
            return None
        parts = split_at_address(asked.data, request.remote or "")
        if parts is None:
            return None
        kept = partial(self._kept_head, request.get(request_context.RESPONSE_HEADERS))
        return Passage(self._pool, parts, kept, shows=asked.shows, is_head=request.method == "HEAD")

    async def _ask_again(self, request: web.BaseRequest, answer: UpstreamAnswer, own: OwnCredentials) -> UpstreamAnswer:
        """Asks once more with another token, where there may be one: nothing was done, and no body is gone."""
        if not own.may_ask_again(request.get(request_context.SCOPES, ())):
            return answer
        answer.close()
        return await self._ask(request, None)

    def _require_welcome(self, answer: UpstreamAnswer, own: OwnCredentials) -> None:
        """Requires that the registry takes the proxy's own credentials: it would ask clients for what is not theirs.

        Raises:
            RegistryError: UNAVAILABLE, 502.
        """
        if answer.head.status != HTTPStatus.UNAUTHORIZED:
            self._refused = ""
            return
        answer.close()
        challenges = [value for name, value in answer.head.headers if name.lower() == "www-authenticate"]
        sentence = own.refused(challenges, where=self._where)
        if sentence != self._refused:
            self._refused = sentence
            _log.error("%s", sentence)
        raise RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)

    async def fetch(self, target: str, *, most: int) -> Page:
        """Asks for a page for the proxy itself, with its own credentials.

        Args:
            target: path and query.
            most: bytes that it may have.

        Raises:
            RegistryError: UNAVAILABLE: there is no such page to be had.
        """
        own = await self._credentials.headers(_CATALOG) if self._credentials is not None else []
        try:
            async with await self._get(target, own) as answer:
                if self._credentials is not None:
                    self._require_welcome(answer, self._credentials)
                body = bytearray()
                while chunk := await answer.read():
                    body += chunk
                    if len(body) > most:
                        sentence = f"{self._where} answers with more than {most} bytes"
                        raise RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)
                has_next = any(name.lower() == "link" for name, _ in answer.head.headers)
                return Page(answer.head.status, has_next, bytes(body))
        except UpstreamFailure as failure:
            raise self._unreachable(failure) from None

    async def _get(self, target: str, headers: list[Header]) -> UpstreamAnswer:
        """Asks for something for the proxy itself."""
        named = [("Host", self._address.host), *headers]
        head = encode_request("GET", self._address.hidden + target, named)
        return await ask(self._pool, head, method="GET")

    def _headers_back(self, request: web.BaseRequest, head: AnswerHead) -> CIMultiDict[str]:
        passed = response_headers(head.headers, partial(self._addresses, request))
        if self._credentials is not None:
            passed = [each for each in passed if each[0].lower() not in KEPT]
        headers_back = CIMultiDict(passed)
        headers_back.setdefault("Server", "Portside")
        return headers_back

    def _kept_head(self, outer: OuterHeaders | None, head: AnswerHead, has_content: bool) -> KeptHead | None:  # noqa: FBT001 - a key
        """Returns what a head becomes for clients of HTTP/1.1, where it is the same for all of them."""
        asked = (head, outer, has_content)
        try:
            return self._kept[asked]
        except KeyError:
            if not may_be_kept(head):
                return None
            kept = make_kept(head, outer, has_content=has_content)
            self._kept.put(asked, kept)
            return kept

    def _addresses(self, request: web.BaseRequest) -> Addresses:
        settings, host = self._settings, client_authority(request)
        if not settings.host:
            self._doubts.check(request)
        return Addresses(
            asked=self._address.origin + origin_form(request.raw_path),
            host=host,
            client=settings.host or location_origin(request),
            endpoint=settings.host.partition("://")[2] or host,
            rooted=settings.relative_urls,
            hidden=self._address.hidden,
        )

    async def _stream_back(self, request: web.BaseRequest, answer: UpstreamAnswer) -> web.StreamResponse:
        response = self._streaming(request, answer.head)
        await response.prepare(request)
        while chunk := await self._next(request, answer):
            await response.write(chunk)
        await response.write_eof()
        return response

    def _streaming(self, request: web.BaseRequest, head: AnswerHead) -> web.StreamResponse:
        """Returns an answer whose body is yet to be written."""
        headers = self._headers_back(request, head)
        response = web.StreamResponse(status=head.status, reason=head.reason, headers=headers)
        add_outer_headers(request, response)
        close_if_out_of_step(request, response)
        return response

    async def _next(self, request: web.BaseRequest, answer: UpstreamAnswer) -> bytes:
        try:
            return await answer.read()
        except UpstreamFailure as failure:
            name, path = self._backend.value, printable(path_for_log(request))
            _log.error("the %s registry failed in the middle of %s: %s", name, path, printable(failure.why))
            raise break_off(request) from failure

    def _failed(
        self, request: web.BaseRequest, body: ClientBody | None, failure: UpstreamFailure
    ) -> web.StreamResponse:
        if body is not None and body.failure is not None:
            return self._error(request, body.failure)
        return self._error(request, self._unreachable(failure))

    def _unreachable(self, failure: UpstreamFailure) -> RegistryError:
        remedy = failure.remedy.replace("{}", f"gateway.{self._backend.value}")
        detail = f"{self._where} does not answer: {printable(failure.why)}; {remedy}"
        _log.error("%s", detail)
        return RegistryError(ErrorCode.UNAVAILABLE, detail, status=failure.status)

    def _error(self, request: web.BaseRequest, error: RegistryError) -> web.StreamResponse:
        return reply(request, registry_error(self._backend, error))

    async def available(self) -> bool:
        """Whether the registry answers now; 400 is what servers of TLS say to who speaks plain HTTP."""
        path = f"{self._settings.prefix}/v2/" if self._backend is Backend.V2 else "/v1/_ping"
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                own = await self._credentials.headers(()) if self._credentials is not None else []
                async with await self._get(path, own) as answer:
                    if self._credentials is not None:
                        self._require_welcome(answer, self._credentials)
                    status = answer.head.status
                    return status < 500 and status != HTTPStatus.BAD_REQUEST  # noqa: PLR2004 - HTTP's own border
        except (UpstreamFailure, TimeoutError, RegistryError):
            return False

    async def ask_health(self) -> str:
        """Returns "" when the registry can do its work, else a sentence that says what is wrong.

        One of ours is asked for its health, which leaves no line in its access log; another must only answer.
        """
        where = self._where
        try:
            async with asyncio.timeout(PROBE_SECONDS), await self._get(HEALTH_PATH, []) as answer:
                status = answer.head.status
                if status == 200:  # noqa: PLR2004 - well
                    return ""
                found = _findings(await _read_some(answer)) if status == 503 else ""  # noqa: PLR2004
        except TimeoutError:
            return f"{where} does not answer: it said nothing for {PROBE_SECONDS:g} seconds"
        except UpstreamFailure as failure:
            return f"{where} does not answer: {printable(failure.why)}"
        if found:
            return f"{where} is not well: {printable(found)}"
        if await self.available():
            return ""
        if status == HTTPStatus.BAD_REQUEST and not self._address.is_https:
            name = f"gateway.{self._backend.value}.upstream"
            return f"{where} answers 400: where it speaks TLS, write https:// in {name}"
        return self._refused or f"{where} does not answer its own ping"

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._pool.close()
        if self._files is not None:
            await self._files.close()
        if self._credentials is not None:
            await self._credentials.close()


def _findings(body: bytes) -> str:
    """Returns what a registry of ours says is wrong; "" when this is not such an answer."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return "; ".join(f"{what}: {reason}" for what, reason in found.items()) if isinstance(found, dict) else ""


async def _small_body(answer: UpstreamAnswer) -> bytes | None:
    """Returns a body that is small and of known length whole, so that head and body are sent in one write."""
    head = answer.head
    if head.length is None or head.chunked or head.length > SMALL_BODY:
        return None
    return await answer.read_whole()


async def _read_some(answer: UpstreamAnswer) -> bytes:
    """Returns a body; as much of it as is looked at."""
    body = bytearray()
    while len(body) < SMALL_BODY and (chunk := await answer.read()):
        body += chunk
    return bytes(body)
