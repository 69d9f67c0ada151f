"""The answer at `/debug/health`, on every listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from portside.observe.health import Health

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADERS = {"Server": "Portside", "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


def health_page(health: Health, *, private: bool) -> Handler:
    """Returns the handler.

    Args:
        health: of this process.
        private: only operators reach this listener: they see everything. Elsewhere other clients see the status,
            and the reasons, which name folders and addresses, only who asks from this machine.
    """

    async def page(request: web.BaseRequest) -> web.StreamResponse:
        report = await health.report()
        body = report.body(whole=private or _is_local(request))
        return web.Response(status=report.status, headers=HEADERS, body=body)

    return page


def _is_local(request: web.BaseRequest) -> bool:
    """Whether the caller is on this machine and asks only for itself: a reverse proxy may be here too."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    remote = request.remote
    return not remote or remote == "::1" or remote.startswith("127.")
