"""What docker-registry's file and variables say, put into Portside's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portside.settings.docker_registry.flavors import Flavor, Source
from portside.settings.docker_registry.outcomes import Outcome, of_variable
from portside.settings.docker_registry.program import USUAL_PORT, translate_program, yaml_value
from portside.settings.docker_registry.reading import CONFIG, FLAVOR, Chosen, choose
from portside.settings.docker_registry.recognizing import is_meant
from portside.settings.docker_registry.translating import translate
from portside.settings.files import SettingsFile
from portside.settings.remarks import Kind, Remark
from portside.settings.settings import Role

_ADDRESS = "http.addr"
_STANDALONE = "STANDALONE"
_PASSED_OVER = (FLAVOR, "STORAGE_PATH", "MIRROR_SOURCE")
_UNSAFE_TO_PASS_OVER = frozenset({"GUNICORN_OPTS", "GUNICORN_USER", "GUNICORN_GROUP"})
# Whoever sets one of them, and has it in no `_env:` of an own file, expects something of it.
_EXPECTED = (
    "STORAGE_PATH",
    "STANDALONE",
    "INDEX_ENDPOINT",
    "PRIVILEGED_KEY",
    "SEARCH_BACKEND",
    "MIRROR_SOURCE",
    "LOGLEVEL",
)


@dataclass(frozen=True, slots=True)
class Older:
    """All of it.

    Attributes:
        path: the file that was read; None for none.
        flavor: the name of the flavor, or "".
        settings: what the flavor holds; None where it cannot be used.
        outcomes: what becomes of each key and variable.
        values: Portside's settings that somebody decided, by dotted path; they go before Portside's file.
        defaults: settings that a flavor brings along; Portside's file goes before them.
        origins: what decided each of the values, in a person's words.
        variables: variables by the setting that they decide.
        remarks: what keeps it from starting, and what has no effect.
        takes_address: whether `REGISTRY_HOST` and `REGISTRY_PORT` are obeyed.
    """

    path: Path | None = None
    flavor: str = ""
    settings: Flavor | None = None
    outcomes: tuple[Outcome, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    takes_address: bool = False


def read_older(
    role: Role, older_file: SettingsFile | None, environment: Mapping[str, str], *, has_file: bool = False
) -> Older:
    """Reads what docker-registry's file and variables say to the v1 registry.

    Args:
        role: V1, or SERVE.
        older_file: docker-registry's file, where the argument names one.
        environment: all variables.
        has_file: whether a file of Portside's is read too, beside which nothing changes what SERVE does.
    """
    if role is not Role.V1 and (has_file or not is_meant(environment)):
        return _passed_over(environment)
    chosen = choose(older_file, environment)
    outcomes: list[Outcome] = []
    if chosen.flavor is not None:
        outcomes += translate(chosen.flavor, chosen.name if chosen.asked else "")
    else:
        outcomes.append(_unusable(chosen))
    if older_file is not None and environment.get(CONFIG):
        why = f"has no effect: {older_file.path} was named instead"
        outcomes.append(Outcome("", Kind.IGNORED, CONFIG, told=True, why=why))
    if chosen.path is not None and chosen.flavor is not None:
        outcomes += _unexpected(chosen.flavor, environment, chosen.path)
    outcomes += translate_program(environment)
    values, defaults, origins, variables = _settings(outcomes, chosen.path, asked=chosen.asked)
    if chosen.asked:
        defaults.setdefault(_ADDRESS, f":{USUAL_PORT}")
    return Older(
        path=chosen.path,
        flavor=chosen.name,
        settings=chosen.flavor,
        outcomes=tuple(outcomes),
        values=values,
        defaults=defaults,
        origins=origins,
        variables=variables,
        remarks=tuple(_remarks(outcomes, chosen.path)),
        takes_address=True,
    )


def subject_of(outcome: Outcome, path: Path | None) -> str:
    """Returns what a sentence about it begins with: the variable, the key and where it stands, or the flavor."""
    if outcome.source is Source.VARIABLE and outcome.variable:
        return outcome.variable
    if path is None:
        return FLAVOR
    return f"{outcome.key} (line {outcome.line} of {path})" if outcome.line else outcome.key


def _unusable(chosen: Chosen) -> Outcome:
    if chosen.subject in {CONFIG, FLAVOR}:
        return Outcome("", Kind.REFUSED, chosen.subject, why=chosen.mistake)
    return Outcome(chosen.subject, Kind.REFUSED, source=Source.DEFAULT, why=chosen.mistake)


def _passed_over(environment: Mapping[str, str]) -> Older:
    """Returns what is said where docker-registry's settings are not read, and what is unsafe to pass over.

    Other programs have variables of these names, so none changes what a file of Portside's says, or leaves unsaid.
    """
    outcomes = [
        each
        for each in translate_program(environment)
        if each.kind is Kind.REFUSED and each.variable in _UNSAFE_TO_PASS_OVER
    ]
    if environment.get(CONFIG):
        why = (
            "a settings file of Portside's is read, and its settings are not mixed with docker-registry's; write these"
            " into it (portside v1 config check says what they are called) and remove the variable"
        )
        outcomes.append(of_variable(CONFIG, Kind.REFUSED, why))
    if _STANDALONE in environment and yaml_value(environment, _STANDALONE) is not True:
        why = (
            "it is not true, so tokens of an index would be wanted; where they are, write gateway.v1.standalone: false"
            " and gateway.v1.index into the settings file; then remove the variable"
        )
        outcomes.append(of_variable(_STANDALONE, Kind.REFUSED, why))
    why = "has no effect beside a settings file of Portside's, which says what it means itself"
    outcomes += [of_variable(name, Kind.IGNORED, why) for name in _PASSED_OVER if environment.get(name)]
    return Older(outcomes=tuple(outcomes), remarks=tuple(_remarks(outcomes, None)))


def _unexpected(flavor: Flavor, environment: Mapping[str, str], path: Path) -> list[Outcome]:
    """Returns variables that the official image's settings obey, and the file does not."""
    named = {each.variable for each in flavor.values()}
    why = f"has no effect: {path} does not name it (_env:NAME) in this flavor"
    return [
        Outcome("", Kind.IGNORED, name, told=True, why=why)
        for name in _EXPECTED
        if environment.get(name) and name not in named
    ]


def _settings(
    outcomes: Iterable[Outcome], path: Path | None, *, asked: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str], dict[str, str]]:
    values: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    origins: dict[str, str] = {}
    variables: dict[str, str] = {}
    for each in outcomes:
        for dotted, value in each.becomes.items():
            if each.chosen:
                values[dotted] = value
                origins[dotted] = subject_of(each, path)
                if each.source is Source.VARIABLE:
                    variables[dotted] = each.variable
            elif asked:
                defaults[dotted] = value
    return values, defaults, origins, variables


def _remarks(outcomes: Iterable[Outcome], path: Path | None) -> list[Remark]:
    remarks = []
    for each in outcomes:
        subject = subject_of(each, path)
        name = each.variable if each.source is Source.VARIABLE else ""
        if each.kind is Kind.REFUSED:
            remarks.append(Remark(Kind.REFUSED, name, f"{subject}: {each.why}"))
        elif each.kind is Kind.IGNORED and each.told:
            remarks.append(Remark(Kind.IGNORED, name, f"{subject} {each.why}"))
    return remarks
