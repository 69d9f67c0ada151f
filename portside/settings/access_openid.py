"""`openid:` of `gateway.auth`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from backends.auth.openid_settings import OpenIdSettings, is_allowed
from portside.settings.remarks import Kind, Remark, ignored, refused
from portside.settings.schema.identities import Issuer

PATH = "gateway.auth.openid"


def openid_remarks(
    sections: Sequence[Issuer], *, has_rules: bool, token_issuer: str | None, others: Sequence[str]
) -> Iterator[Remark]:
    """Yields a remark for what is missing or not valid, and for what is worth a second look.

    Args:
        sections: each issuer's.
        has_rules: whether there is a file of rules.
        token_issuer: of the scheme `token`.
        others: the other schemes that name users.
    """
    if not has_rules:
        why = (
            "it needs gateway.access, a file of rules: without one everybody who has a token of the issuer could do"
            " everything"
        )
        yield refused(PATH, why)
    issuers = [each.issuer for each in sections]
    for number, section in enumerate(sections):
        path = f"{PATH}.{number}"
        yield from _keys(path, section)
        if not section.issuer:
            yield refused(f"{path}.issuer", "it must be set: what the issuer calls itself in its tokens (iss)")
        elif section.issuer in issuers[:number]:
            yield refused(f"{path}.issuer", f"{section.issuer} is there already; one may have several audiences")
        elif section.issuer == token_issuer:
            yield refused(f"{path}.issuer", "it is the issuer of token, too, and its tokens would be taken for these")
        if not section.audience:
            why = "it must be set: what tokens must be for (aud), else one for any other service would be good here"
            yield refused(f"{path}.audience", why)
        if not section.user:
            yield refused(f"{path}.user", "it must name the claim that names the user")
    bare = [each for each in sections if not each.prefix]
    if bare and (others or len(sections) > 1):
        beside = f" and of {', '.join(others)}" if others else ""
        why = f"users of {bare[0].issuer} may have the names of others{beside}: give it a prefix, such as 'ci:'"
        yield Remark(Kind.DANGEROUS, PATH, f"{PATH}: {why}")


def make_issuers(sections: Sequence[Issuer]) -> tuple[OpenIdSettings, ...]:
    """Returns the scheme's settings."""
    return tuple(
        OpenIdSettings(
            each.issuer,
            each.audience,
            each.jwks if _is_url(each.jwks) or not each.jwks else Path(each.jwks),
            Path(each.ca) if each.ca else None,
            Path(each.token) if each.token else None,
            each.user,
            each.groups,
            each.prefix,
        )
        for each in sections
    )


def _keys(path: str, section: Issuer) -> Iterator[Remark]:
    """Yields a remark for each mistake in where the keys are."""
    how = "keys are asked for by https, or by http on this machine alone"
    if not section.jwks and section.issuer and not is_allowed(section.issuer):
        why = f"it is asked for the address of its keys, and {how}; write https://, or set jwks beside it"
        yield refused(f"{path}.issuer", why)
    elif _is_url(section.jwks) and not is_allowed(section.jwks):
        yield refused(f"{path}.jwks", f"{how}; write https://, or the path of a file")
    if section.jwks and not _is_url(section.jwks):
        for key in ("ca", "token"):
            if getattr(section, key):
                yield ignored(f"{path}.{key}", "has no effect: jwks is a file, and nobody is asked")


def _is_url(text: str) -> bool:
    return "://" in text
