"""Which file and flavor hold: those of `DOCKER_REGISTRY_CONFIG` and `SETTINGS_FLAVOR`, or the file of an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from portside.settings.docker_registry.document import Entry, parse
from portside.settings.docker_registry.flavors import Flavor, look_up
from portside.settings.docker_registry.official import FILE, FOLDER, OTHER_STORAGES, USUAL_FLAVOR, official_settings
from portside.settings.files import SettingsFile, SettingsProblem, read_file

CONFIG = "DOCKER_REGISTRY_CONFIG"
FLAVOR = "SETTINGS_FLAVOR"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings that docker-registry would have run with.

    Attributes:
        path: the file; None where those of the official image hold.
        name: of the flavor; "" for a file without flavors.
        asked: whether a file or a flavor is named, so that its defaults hold too.
        flavor: its settings; None where there is a mistake.
        mistake: why they cannot be used, or "".
        subject: what the mistake is about: a variable, or the file.
    """

    path: Path | None
    name: str
    asked: bool
    flavor: Flavor | None
    mistake: str = ""
    subject: str = ""


def choose(file: SettingsFile | None, environment: Mapping[str, str]) -> Chosen:
    """Finds file and flavor.

    Args:
        file: docker-registry's file where it was named as an argument; None for what the variables say.
        environment: all variables.
    """
    name = environment.get(FLAVOR, USUAL_FLAVOR)
    asked = file is not None or bool(environment.get(CONFIG)) or bool(environment.get(FLAVOR))
    subject = str(file.path) if file is not None else CONFIG
    if file is None and environment.get(CONFIG):
        path = _path(environment[CONFIG])
        try:
            file = read_file(path) if path is not None else None
        except SettingsProblem as problem:
            return Chosen(path, name, asked, None, _of_image(str(problem), environment[CONFIG]), CONFIG)
    if file is None:
        # An empty variable is what compose files give where nothing was meant.
        return _of(official_settings(), None, name or USUAL_FLAVOR, environment, asked=asked)
    try:
        settings = parse(file.text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        why = f"{file.path} is not valid YAML for docker-registry{where}: {_reason(error)}"
        return Chosen(file.path, name, asked, None, why, subject)
    if not isinstance(settings, dict):
        return Chosen(file.path, name, asked, None, f"{file.path} holds no flavors, such as dev: and local:", subject)
    return _of(settings, file.path, name, environment, asked=asked)


def _of(
    settings: dict[Any, Entry], path: Path | None, name: str, environment: Mapping[str, str], *, asked: bool
) -> Chosen:
    if not name:
        return Chosen(path, name, asked, Flavor(settings, environment))
    entry = settings.get(name)
    if entry is None:
        return Chosen(path, name, asked, None, _missing(name, settings, path), FLAVOR)
    found = look_up("", entry, environment)
    if isinstance(found.value, Flavor):
        return Chosen(path, name, asked, found.value)
    why = f"the flavor {name[:40]!r} of {path} is not a section; write settings below it, such as storage: local"
    return Chosen(path, name, asked, None, why, FLAVOR)


def _path(named: str) -> Path | None:
    """Returns the file; None for the official image's own, which is not here."""
    path = Path(FOLDER, named)  # as there: a relative name counts from the program's folder
    return None if path == Path(FOLDER, FILE) and not path.exists() else path


def _of_image(problem: str, named: str) -> str:
    if named.startswith("/"):
        return problem
    return f"{problem} (a relative name counts from {FOLDER}, as in the official image: write the file's whole path)"


def _missing(name: str, settings: Mapping[Any, Entry], path: Path | None) -> str:
    shown = f"{name[:40]!r}"
    if path is None:
        there = ", ".join(each for each in settings if each not in OTHER_STORAGES)
        return f"{shown} is not a flavor of docker-registry's own settings; use one of {there}"
    flavors = [str(each) for each, entry in settings.items() if isinstance(entry.value, dict)]
    if "storage" in settings and not isinstance(settings["storage"].value, dict):
        return f"{path} has no flavor {shown}, and seems to have none at all: set {FLAVOR} to nothing ({FLAVOR}=)"
    there = f"use one of {', '.join(flavors)}" if flavors else "write one as a top-level key"
    return f"{path} has no flavor {shown}; {there}"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "a section contains itself"
    if isinstance(error, yaml.composer.ComposerError):
        return "it must be one document, and each *name must have its &name before it"
    return str(getattr(error, "problem", None) or "it holds characters that YAML forbids")
