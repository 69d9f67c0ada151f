"""The section `middleware:`: which of distribution's there are here, and what their options mean to a file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from backends.storage.addresses import CLOUDFRONT_SECONDS, Cloudfront, Redirect, Rewrite, Step
from portside.settings.durations import parse_duration
from portside.settings.mistakes import shown_address
from portside.settings.remarks import Remark, ignored, refused

if TYPE_CHECKING:
    from portside.settings.schema.config import Config

_OPTIONS: Mapping[str, frozenset[str]] = {
    "redirect": frozenset({"baseurl"}),
    "cloudfront": frozenset({"baseurl", "privatekey", "keypairid", "duration", "ipfilteredby", "awsregion",
                             "updatefrequency", "updatefrenquency", "iprangesurl"}),
    "rewrite": frozenset({"scheme", "host", "trimpathprefix"}),
}  # fmt: skip
_FILTERS = frozenset({"", "none", "aws", "awsregion"})


def make_addresses(config: Config) -> tuple[tuple[Step, ...], list[Remark]]:
    """Returns how addresses of blobs are made, and what there is to say about the section.

    An entry that is `disabled` is left out, whatever it says; distribution has the key, and never looks at it.
    """
    section = config.middleware
    if section is None:
        return (), []
    remarks: list[Remark] = []
    for kind, layers in (("registry", section.registry), ("repository", section.repository)):
        for index, layer in enumerate(layers):
            if not layer.disabled:
                why = (
                    f"there is no {kind} middleware in distribution, so none called {layer.name!r:.40} here; remove it"
                )
                remarks.append(refused(f"middleware.{kind}.{index}.name", why))
    steps: list[Step] = []
    for index, layer in enumerate(section.storage):
        path = f"middleware.storage.{index}"
        if layer.disabled:
            continue
        if layer.name not in _OPTIONS:
            why = (
                f"there is no storage middleware called {layer.name!r:.40}; there are cloudfront, redirect and rewrite"
            )
            remarks.append(refused(f"{path}.name", why))
            continue
        unknown = sorted(set(map(str, layer.options)) - _OPTIONS[layer.name])
        remarks += [
            ignored(f"{path}.options.{key}", f"is not an option of {layer.name} and is ignored") for key in unknown
        ]
        try:
            steps.append(_STEPS[layer.name](layer.options))
        except _MistakeError as mistake:
            remarks.append(refused(f"{path}.options.{mistake.key}", mistake.why))
            continue
        remarks += [ignored(f"{path}.options.{key}", why) for key, why in _without_effect(layer.name, layer.options)]
        if layer.name == "rewrite" and len(steps) == 1:
            remarks.append(ignored(path, "has no effect: there is no address to rewrite; put it behind redirect"))
    if steps and config.storage.inmemory is not None:
        remarks.append(ignored("middleware.storage", "has no effect: nobody else can serve what is in memory"))
        steps = []
    redirect = config.storage.redirect
    if (redirect is not None and redirect.disable) or all(isinstance(step, Rewrite) for step in steps):
        steps = []
    return tuple(steps), remarks


def key_mistakes(steps: tuple[Step, ...]) -> Iterator[Remark]:
    """Yields a remark for each key that cannot be used; only who serves blobs must be able to read it."""
    for step in steps:
        if isinstance(step, Cloudfront):
            # cryptography is slow to import, and few sign
            from backends.storage.addressed_driver import read_cloudfront_key  # noqa: PLC0415
            from backends.storage.driver import StorageError  # noqa: PLC0415

            try:
                read_cloudfront_key(step.key)
            except StorageError as error:
                yield refused("middleware.storage", f"{error}; name the RSA key that CloudFront knows as privatekey")


class _MistakeError(Exception):
    """An option that keeps it from starting, as in distribution."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why


def _redirect(options: Mapping[str, Any]) -> Redirect:
    return Redirect(_base(options, schemes=True))


def _cloudfront(options: Mapping[str, Any]) -> Cloudfront:
    base, key = _base(options, schemes=False), _text(options, "privatekey", needed=True)
    key_pair_id = _text(options, "keypairid", needed=True)
    if not (key_pair_id.isascii() and key_pair_id.isalnum()):
        raise _MistakeError("keypairid", "it has letters and digits only")
    seconds, duration = CLOUDFRONT_SECONDS, options.get("duration")
    if isinstance(duration, str):
        try:
            seconds = parse_duration(duration)
        except ValueError as error:
            raise _MistakeError("duration", str(error)) from None
        if seconds < 1:
            raise _MistakeError("duration", "an address must be good for a second at least")
    if str(options.get("ipfilteredby") or "").strip().lower() not in _FILTERS:
        raise _MistakeError("ipfilteredby", "it is none, aws or awsregion")
    return Cloudfront(base, Path(key), key_pair_id, seconds)


def _rewrite(options: Mapping[str, Any]) -> Rewrite:
    return Rewrite(*(_text(options, key) for key in ("scheme", "host", "trimpathprefix")))


_STEPS: Mapping[str, Callable[[Mapping[str, Any]], Step]] = {
    "redirect": _redirect,
    "cloudfront": _cloudfront,
    "rewrite": _rewrite,
}


def _base(options: Mapping[str, Any], *, schemes: bool) -> str:
    """Returns the base address; without `schemes` it may be a host alone."""
    base = _text(options, "baseurl", needed=True)
    try:
        parts = urlsplit(base if schemes or "://" in base else f"https://{base}")
        usable = bool(parts.hostname) and parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not (base.isascii() and base.isprintable()) or " " in base:
        raise _MistakeError("baseurl", f"write it like https://cdn.example/path (it is {shown_address(base)})")
    return base


def _text(options: Mapping[str, Any], key: str, *, needed: bool = False) -> str:
    value = options.get(key)
    if value is None or value == "":
        if needed:
            raise _MistakeError(key, "it is missing")
        return ""
    if isinstance(value, bool | dict | list):
        raise _MistakeError(key, "it must be text")
    return str(value)


def _without_effect(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields options that mean nothing here, or nothing in distribution either, and why."""
    if str(options.get("ipfilteredby") or "").strip().lower() in {"aws", "awsregion"}:
        yield "ipfilteredby", "has no effect: there is no S3 for clients of AWS to go to, so all go to CloudFront"
    if "duration" in options and not isinstance(options["duration"], str):
        yield "duration", f"has no effect, as in distribution: a number without a unit; it is {CLOUDFRONT_SECONDS:g}s"
    if name == "redirect":
        parts = urlsplit(str(options["baseurl"]))
        if parts.query or parts.fragment or "@" in parts.netloc:
            yield "baseurl", "has a user, a query or a fragment, which is left out, as in distribution"
