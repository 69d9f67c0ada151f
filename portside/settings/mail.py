"""The section `log.hooks`: whom mail about lines of the log goes to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from portside.observe.mail import MailSettings
from portside.settings.remarks import Remark, ignored

if TYPE_CHECKING:
    from portside.settings.schema.config import Config
    from portside.settings.schema.log_hooks import Hook

PORT = 25
# logrus' names, which distribution takes in any case.
_LEVELS: Mapping[str, int] = {
    **dict.fromkeys(("panic", "fatal", "error"), logging.ERROR),
    **dict.fromkeys(("warn", "warning"), logging.WARNING),
    "info": logging.INFO,
    **dict.fromkeys(("debug", "trace"), logging.DEBUG),
}


def make_mail(config: Config) -> tuple[tuple[MailSettings, ...], list[Remark]]:
    """Returns the hooks that can do something, and a remark for each that cannot, as distribution starts with these."""
    found: list[MailSettings] = []
    remarks: list[Remark] = []
    for index, hook in enumerate(config.log.hooks):
        path = f"log.hooks.{index}"
        if hook.disabled:
            continue
        remarks += [
            ignored(f"{path}.levels", f"names {name!r:.40}, which is not a level")
            for name in hook.levels
            if name.lower() not in _LEVELS
        ]
        why = _useless(hook)
        if why:
            remarks.append(ignored(path, f"has no effect: {why}"))
            continue
        host, port = _place(hook.options.smtp.addr)
        levels = frozenset(_LEVELS[name.lower()] for name in hook.levels if name.lower() in _LEVELS)
        smtp, options = hook.options.smtp, hook.options
        found.append(
            MailSettings(
                levels=levels,
                host=host,
                port=port,
                username=smtp.username,
                password=smtp.password,
                insecure=smtp.insecure,
                sender=options.sender,
                to=options.to,
            )
        )
    return tuple(found), remarks


def _useless(hook: Hook) -> str:
    """Returns why a hook can never send anything; "" when it can."""
    options = hook.options
    if hook.type != "mail":
        return f"type {hook.type!r:.40} is not known; the only one is mail"
    if not any(name.lower() in _LEVELS for name in hook.levels):
        return "no level is named; write levels: [error]"
    if not options.to:
        return "options.to names nobody"
    if not all(_is_address(each) for each in (*options.to, *((options.sender,) if options.sender else ()))):
        return "an address in options.from or options.to is not one, such as ops@example.com"
    try:
        _place(options.smtp.addr)
    except ValueError:
        return "options.smtp.addr must be like mail.example.com:25"
    return ""


def _place(addr: str) -> tuple[str, int]:
    """Returns host and port.

    Raises:
        ValueError: there are none in it.
    """
    parts = urlsplit(f"//{addr}")
    if not parts.hostname or "@" in parts.netloc or parts.netloc != addr or not addr.isprintable():
        raise ValueError(addr)
    return parts.hostname, parts.port or PORT


def _is_address(text: str) -> bool:
    name, mark, host = text.rpartition("@")
    return bool(name and mark and host) and text.isprintable() and not set(text) & set(",;")
