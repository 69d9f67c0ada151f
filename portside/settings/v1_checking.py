"""`portside v1 config check`: what becomes of each key of a flavor and of each variable, without a server.

The verdicts are those of a start: `loading.examine` gives both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.http.masking import MASK, masked
from portside.settings.docker_registry.flavors import Flavor, Source
from portside.settings.docker_registry.older import Older, read_older
from portside.settings.docker_registry.outcomes import Outcome
from portside.settings.docker_registry.reading import CONFIG, FLAVOR
from portside.settings.docker_registry.recognizing import is_docker_registry_s
from portside.settings.files import SettingsProblem, read_file
from portside.settings.loading import Examined, examine
from portside.settings.remarks import Kind
from portside.settings.settings import Role, Settings


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of a key, or of a variable that the program reads itself.

    Attributes:
        line: in the file; 0 where no line says it.
        key: docker-registry's; "" for a variable of the program's.
        variable: that `_env:` names, or that the program reads; "".
        source: whether the value is written, the variable's, or a default.
        verdict: what becomes of it.
        becomes: Portside's settings, without secrets.
        text: why; "" where it is simply used.
    """

    line: int
    key: str
    variable: str
    source: Source
    verdict: Kind
    becomes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of them.

    Attributes:
        path: the file; None where the official image's settings hold.
        flavor: its name; "" for a file without flavors.
        chosen_by: whether `SETTINGS_FLAVOR` names the flavor.
        starts: whether `portside v1` would start.
        settings: what it would start with; None where it would not.
        lines: those of the file in their order, then the program's variables, then what concerns neither.
    """

    path: Path | None
    flavor: str
    chosen_by: bool
    starts: bool
    settings: Settings | None
    lines: tuple[Line, ...]


def explain(path: Path | None, environment: Mapping[str, str]) -> Explanation:
    """Looks at a file and the environment as `portside v1` would.

    Args:
        path: docker-registry's file; None for what the variables name.
        environment: all variables.

    Raises:
        SettingsProblem: the file cannot be read, is not YAML, or is not docker-registry's.
    """
    file = read_file(path)
    if path is not None and not is_docker_registry_s(file.raw):
        raise SettingsProblem(
            f"{path} is not docker-registry's file: it has no flavor, such as dev: {{storage: local}};"
            f" `portside config check {path}` explains Portside's and distribution's"
        )
    older = read_older(Role.V1, file if path is not None else None, environment)
    examined = examine(Role.V1, file, environment, {})
    lines = [_line(each, older, examined) for each in older.outcomes if each.chosen or _is_asked(path, environment)]
    if older.settings is not None and _is_asked(path, environment):
        lines += _unmentioned(older.settings, older.outcomes)
    lines.sort(key=lambda each: (not each.key, each.line))
    lines += _further(older, examined)
    starts = not any(each.kind is Kind.REFUSED for each in examined.remarks)
    return Explanation(older.path, older.flavor, FLAVOR in environment, starts, examined.settings, tuple(lines))


def _is_asked(path: Path | None, environment: Mapping[str, str]) -> bool:
    """Whether the defaults of a flavor hold."""
    return path is not None or bool(environment.get(CONFIG) or environment.get(FLAVOR))


def _line(outcome: Outcome, older: Older, examined: Examined) -> Line:
    def line(verdict: Kind, text: str = "", *, becomes: bool = True) -> Line:
        shown = {key: _shown(key, value) for key, value in outcome.becomes.items()} if becomes else {}
        return Line(outcome.line, outcome.key, outcome.variable, outcome.source, verdict, shown, text)

    for ours in outcome.becomes:
        variable = examined.variables.get(ours, "")
        if variable and variable != older.variables.get(ours):
            return line(Kind.OVERRIDDEN, f"{ours} is overridden by {variable}", becomes=False)
        said = [each for each in examined.remarks if f"{each.path}.".startswith(f"{ours}.")]
        for kind in (Kind.REFUSED, Kind.IGNORED, Kind.DANGEROUS):
            if found := next((each for each in said if each.kind is kind), None):
                # A note on what is as it was asked for is no word on what has no effect.
                obeyed = kind is Kind.IGNORED and "has no effect" not in found.text
                text = found.text.partition(", set by ")[0]
                return line(Kind.DANGEROUS if obeyed else kind, text, becomes=kind is not Kind.REFUSED)
    return line(outcome.kind, outcome.why)


def _unmentioned(flavor: Flavor, outcomes: tuple[Outcome, ...]) -> Iterator[Line]:
    """Yields the keys that mean nothing as they are: most of a file that leaves all to variables."""
    mentioned = {each.key for each in outcomes}
    for value in flavor.values():
        if value.key in mentioned:
            continue
        section = value.key.partition(".")[0]
        used = [each for each in outcomes if each.key.startswith(f"{section}.") and each.kind is Kind.USED]
        verdict, text = Kind.IGNORED, f"is not set; {value.variable} sets it" if value.variable else "is not set"
        if value.value is not None and used:
            verdict, text = Kind.USED, ", ".join(key for each in used for key in each.becomes)
        elif value.value is not None:
            text = f"has no effect while nothing else in {section} has" if "." in value.key else "has no effect"
        yield Line(value.line, value.key, value.variable, value.source, verdict, text=text)


def _further(older: Older, examined: Examined) -> Iterator[Line]:
    """Yields what is said of neither a key nor a variable of docker-registry's."""
    ours = {key for each in older.outcomes for key in each.becomes}
    said = {each.text for each in older.remarks}
    for remark in examined.remarks:
        if remark.text not in said and not any(f"{remark.path}.".startswith(f"{key}.") for key in ours):
            yield Line(0, "", "", Source.DEFAULT, remark.kind, text=remark.text)


def _shown(key: str, value: Any) -> Any:
    """Returns a value without secrets."""
    if isinstance(value, Mapping):
        return {name: _shown(str(name), part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(key, part) for part in value]
    if key == "password":
        return MASK
    return masked(value) if isinstance(value, str) else value
