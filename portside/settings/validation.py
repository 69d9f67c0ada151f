"""The section `validation:` of distribution's file, and which of the two profiles holds (CONFIG_SCHEMA)."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path

from pydantic_core import SchemaError

from backends.registry.validation import Validation
from backends.storage.driver import StorageError
from portside.settings.schema.config import Config
from portside.settings.schema.validation import Validation as Section
from portside.settings.url_patterns import PatternRule, compile_pattern


class Profile(Enum):
    """Whose rules hold for pushed manifests."""

    OCI = "oci"
    DISTRIBUTION = "distribution"


def pattern_mistakes(config: Config) -> list[str]:
    """Returns a sentence for each pattern that is not a regular expression."""
    urls = config.validation.manifests.urls
    found = []
    for key, patterns in (("allow", urls.allow), ("deny", urls.deny)):
        for index, pattern in enumerate(patterns):
            try:
                compile_pattern(pattern)
            except SchemaError as error:
                why = str(error).strip().rpartition("error: ")[2]
                found.append(
                    f"validation.manifests.urls.{key}.{index}: it is not a regular expression: {why}"
                    f" (it is {pattern!r:.80})"
                )
    return found


def signing_key_file(config: Config) -> Path | None:
    """Returns where the key lies that is to sign schema 1 documents; None when the registry has its own."""
    named = config.compatibility.schema1.signingkeyfile if config.compatibility is not None else ""
    return Path(named) if named else None


def signing_key_mistakes(config: Config) -> list[str]:
    """Returns a sentence when there is no key where one is named: distribution does not start then either."""
    path = signing_key_file(config)
    if path is None:
        return []
    from backends.registry.signing import read_signing_key  # noqa: PLC0415 - cryptography is slow to import

    try:
        read_signing_key(path)
    except StorageError as error:
        return [f"compatibility.schema1.signingkeyfile: {error}; name libtrust's JSON key or a PEM file, of EC or RSA"]
    return []


def make_validation(config: Config, profile: Profile) -> Validation:
    """Returns what is required of a pushed manifest."""
    schema1 = config.compatibility.schema1.enabled if config.compatibility is not None else None
    policy = config.policy
    return replace(
        _by_profile(config, profile),
        schema1=schema1 is not False,
        classes=frozenset(policy.repository.classes if policy is not None else ()),
    )


def _by_profile(config: Config, profile: Profile) -> Validation:
    required = config.gateway.requirelayers
    if profile is Profile.OCI:
        return Validation(layers=bool(required), children=bool(required))
    section = config.validation
    layers = required is not False
    if not section.enabled and section.disabled:  # `enabled: false` alone says nothing, as in distribution
        return Validation(layers=layers, children=False, urls=PatternRule(None))
    urls, indexes = section.manifests.urls, section.manifests.indexes
    # A list of refused addresses alone allows all others; no list at all allows none.
    allow = urls.allow or (None if urls.deny else ())
    listed = indexes.platformlist if indexes.platforms == "list" else ()
    return Validation(
        layers=layers,
        children=indexes.platforms != "none",
        platforms=frozenset((each.architecture, each.os) for each in listed),
        urls=PatternRule(allow, urls.deny),
    )


def validation_notes(config: Config, profile: Profile) -> list[str]:
    """Returns a sentence where a key has no effect, or not the one that it was written for."""
    notes = []
    if config.policy is not None:
        notes += [
            f"policy.repository.classes: {name!r:.40} is not a class that an image can have; write image or plugin"
            for name in config.policy.repository.classes
            if name not in {"image", "plugin"}
        ]
    if config.compatibility is not None and config.compatibility.schema1.disablesignaturestore:
        notes.append(
            "compatibility.schema1.disablesignaturestore has no effect: signatures are kept with their manifests"
        )
    if profile is Profile.OCI and config.validation != Section():
        notes.append("validation has no effect in the profile oci: write gateway.profile: distribution")
    return notes
