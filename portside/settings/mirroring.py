"""`gateway.v1.mirroring`, `.xaccelredirect` and `.storageredirect`: where v1's layers come from, if not from here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.storage.addresses import Step
from backends.v1.mirror.settings import MirrorSettings
from portside.settings.exposure import is_exposed
from portside.settings.remarks import Remark, ignored, refused
from portside.settings.schema.config import Config
from portside.settings.schema.mirroring import Mirroring
from portside.settings.settings import Role

KEY = "gateway.v1.mirroring"


def make_mirroring(role: Role, config: Config) -> MirrorSettings | None:
    """Returns the registry that this process mirrors; None for none."""
    asked: Mirroring | None = config.gateway.v1.mirroring
    if asked is None or not asked.source or role not in {Role.SERVE, Role.V1} or _why_without_effect(role, config):
        return None
    return MirrorSettings(
        asked.source,
        source_index=asked.sourceindex,
        tags_seconds=asked.tagscachettl,
        ca=asked.ca,
        user=asked.user,
        password_file=asked.passwordfile,
    )


def v1_remarks(config: Config, role: Role, steps: Sequence[Step]) -> Iterator[Remark]:
    """Yields a remark for what cannot be, and for what has no effect.

    Args:
        config: the file, the environment and the flags together.
        role: of this process.
        steps: how addresses are made at which others serve files.
    """
    v1 = config.gateway.v1
    if role not in {Role.SERVE, Role.V1}:  # the same file may be for several processes
        return
    if v1.mirroring is not None:
        yield from _mirror_remarks(config, role, v1.mirroring)
    elsewhere = _why_elsewhere(role, config)
    if v1.xaccelredirect:
        key = "gateway.v1.xaccelredirect"
        if elsewhere:
            yield ignored(key, elsewhere)
        elif config.storage.inmemory is not None:
            yield ignored(key, "has no effect: nginx cannot serve what is in memory")
        elif not config.gateway.trustedproxies:
            why = "has no effect: gateway.trustedproxies does not name the nginx that would obey; others get layers"
            yield ignored(key, why)
    if v1.storageredirect:
        key = "gateway.v1.storageredirect"
        if elsewhere:
            yield ignored(key, elsewhere)
        elif not steps:
            why = "has no effect: middleware.storage does not say where others serve the files"
            yield ignored(key, why)
        elif v1.storagepath:
            why = "has no effect: others serve the files of the storage's root, and v1 has one of its own (storagepath)"
            yield ignored(key, why)


def _mirror_remarks(config: Config, role: Role, asked: Mirroring) -> Iterator[Remark]:
    without_effect = _why_without_effect(role, config)
    if without_effect:
        yield ignored(KEY, without_effect)
        return
    if not asked.source:
        if asked.model_fields_set:
            yield refused(f"{KEY}.source", "it must be set: the registry that is mirrored, like https://registry:5000")
        return
    if config.auth is not None or config.gateway.auth is not None or config.gateway.access:
        why = (
            "it cannot be together with access control: who asks for an image by its id names no repository, so rules"
            " could not tell whose it is; remove one, or put nginx with its own users in front"
        )
        yield refused(KEY, why)
    if bool(asked.user) != bool(asked.passwordfile):
        yield refused(KEY, "name both user and passwordfile, or neither where the source wants no credentials")
    if ":" in asked.user or not asked.user.isprintable():
        yield refused(f"{KEY}.user", "it must have no colon and no control characters, or no registry could read it")
    if asked.user and not asked.unencrypted:
        for key, place in (("source", asked.source), ("sourceindex", asked.sourceindex)):
            if is_exposed(place):
                why = (
                    "the password would go to another machine over plain http; use https, or write unencrypted: true"
                    " where nobody else is on the way"
                )
                yield refused(f"{KEY}.{key}", why)


def _why_without_effect(role: Role, config: Config) -> str:
    if config.storage.maintenance.readonly.enabled:
        return "has no effect: a registry that is read-only keeps nothing, so it mirrors nothing"
    return _why_elsewhere(role, config)


def _why_elsewhere(role: Role, config: Config) -> str:
    if role is Role.SERVE and config.gateway.v1.upstream:
        return "has no effect: gateway.v1.upstream is elsewhere, and it is decided there"
    return ""
