"""`portside config check`: what becomes of each line of a settings file, and of each variable, without a server.

The verdicts are those of a start: `loading.examine` gives both. Certificates are read as a start would read them;
nothing is written, and no address is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from portside.problems import Problem
from portside.settings.files import read_file
from portside.settings.loading import Examined, examine
from portside.settings.remarks import Kind, Remark, remarks_of
from portside.settings.schema.storage import DRIVERS
from portside.settings.settings import Role, Settings
from portside.settings.walking import step
from portside.tls.contexts import TlsProfile, TlsVersion

_OF_ENVIRONMENT = " (environment)"
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
# Naming these says enough.
_SAID_BY_NAME = frozenset({*(f"storage.{driver}" for driver in DRIVERS), "auth.none"})
# What holds for a whole section holds for the keys in it, which need no line of their own but for what is said of them.
_WHOLE = frozenset({Kind.IGNORED, Kind.OVERRIDDEN, Kind.REFUSED})


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of a line of the file, or of a variable.

    Attributes:
        line: its number in the file; 0 for a variable, and for what no line says.
        variable: the variable's name, or "".
        key: what it sets, by its dotted path; "" for nothing.
        verdict: what becomes of it.
        text: why, as a sentence; "" where it is simply used.
    """

    line: int
    variable: str
    key: str
    verdict: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of them.

    Attributes:
        starts: whether it would start with these settings.
        lines: those of the file in their order, then variables, then what concerns neither.
    """

    starts: bool
    lines: tuple[Line, ...]


def check(role: Role, path: Path | None, environment: Mapping[str, str]) -> Report:
    """Looks at a file and the environment as a start would.

    Raises:
        SettingsProblem: the file cannot be read, or is not YAML.
    """
    file = read_file(path)
    examined = examine(role, file, environment, {})
    looked_at = [
        *_tls_remarks(examined.settings),
        *_access_remarks(examined.settings),
        *_folder_remarks(examined.settings),
    ]
    remarks = [*examined.remarks, *looked_at, *_cautions(examined.settings)]
    by_path: dict[str, list[Remark]] = {}
    for remark in remarks:
        by_path.setdefault(remark.path, []).append(remark)
    lines: list[Line] = []
    if file.node is not None:
        lines += _lines(file.node, "", by_path, examined)
    lines += [Line(each.line, "", "", each.kind, each.text) for each in remarks if each.line]
    lines.sort(key=lambda each: each.line)
    lines += _variables(environment, by_path, examined)
    shown = {each.text for each in lines if each.text}
    rest = [each for each in remarks if each.text not in shown and not each.line]
    lines += [Line(0, "", each.path, each.kind, each.text) for each in rest]
    return Report(not any(each.kind is Kind.REFUSED for each in remarks), tuple(lines))


def _lines(
    node: yaml.Node,
    path: str,
    remarks: Mapping[str, Sequence[Remark]],
    examined: Examined,
    *,
    line: int = 0,
    settled: bool = False,
) -> Iterator[Line]:
    """Yields lines for a value and what is in it.

    Args:
        node: the value.
        path: its key.
        remarks: all there are, by key.
        examined: what the environment did is in it.
        line: that of its key.
        settled: whether a line of a section above has said what becomes of it.
    """
    line = line or node.start_mark.line + 1
    found = remarks.get(path, ()) if path else ()
    variable = examined.variables.get(path, "")
    if variable:
        yield Line(line, "", path, Kind.OVERRIDDEN, f"{path} is overridden by {variable}")
        return
    for remark in found:
        yield Line(line, "", path, remark.kind, remark.text)
    settled = settled or any(remark.kind in _WHOLE for remark in found)
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, value in _pairs(node):
            below = f"{path}.{step(key.value)}" if path else step(key.value)
            at = key.start_mark.line + 1
            yield from _lines(value, below, remarks, examined, line=at, settled=settled)
    elif isinstance(node, yaml.SequenceNode) and any(isinstance(each, yaml.CollectionNode) for each in node.value):
        for number, value in enumerate(node.value):
            yield from _lines(value, f"{path}.{number}", remarks, examined, settled=settled)
    elif not found and not settled:
        beneath = next((each for key, some in remarks.items() if key.startswith(f"{path}.") for each in some), None)
        if beneath is not None:
            yield Line(line, "", path, beneath.kind, beneath.text)
        elif _says_nothing(node) and path not in _SAID_BY_NAME:
            yield Line(line, "", path, Kind.IGNORED, f"{path} is empty, and so not set")
        else:
            yield Line(line, "", path, Kind.USED, "")


def _says_nothing(node: yaml.Node) -> bool:
    return node.tag == _NULL or (isinstance(node, yaml.MappingNode) and not node.value)


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yields the keys of a section with their values; of what is merged into it, those that it does not have itself."""
    own = {str(key.value) for key, _ in node.value}
    for key, value in node.value:
        if key.tag != _MERGE:
            yield key, value
            continue
        for merged in value.value if isinstance(value, yaml.SequenceNode) else (value,):
            if isinstance(merged, yaml.MappingNode):
                yield from (pair for pair in _pairs(merged) if str(pair[0].value) not in own)


def _variables(
    environment: Mapping[str, str], remarks: Mapping[str, Sequence[Remark]], examined: Examined
) -> Iterator[Line]:
    keys = {variable: key for key, variable in examined.variables.items()}
    named = {name.removesuffix(_OF_ENVIRONMENT) for name in remarks}
    for name in sorted(keys.keys() | (named & environment.keys())):
        key = keys.get(name, "")
        found = (
            [*_about(key, remarks)] if key else [*remarks.get(name, ()), *remarks.get(f"{name}{_OF_ENVIRONMENT}", ())]
        )
        for remark in found:
            yield Line(0, name, key, remark.kind, remark.text)
        if not found:
            yield Line(0, name, key, Kind.USED, "")


def _about(key: str, remarks: Mapping[str, Sequence[Remark]]) -> Iterator[Remark]:
    """Yields what is said about a key, about what is in it, and about a section that it is in."""
    for path, some in remarks.items():
        inside, above = f"{path}.".startswith(f"{key}."), bool(path) and f"{key}.".startswith(f"{path}.")
        yield from (each for each in some if inside or (above and each.kind in _WHOLE))


def _tls_remarks(settings: Settings | None) -> Iterator[Remark]:
    """Yields what is wrong with certificates that the settings name; those that Portside makes are not there yet."""
    if settings is None or settings.certificates is not None:
        return
    from portside.tls.contexts import build_context  # noqa: PLC0415 - only here

    problems: dict[str, None] = {}  # several listeners have the same files
    for tls in dict.fromkeys(each.tls for each in settings.listeners if each.tls is not None):
        try:
            build_context(tls)
        except Problem as problem:
            problems[str(problem)] = None
    yield from (Remark(Kind.REFUSED, _tls_key(settings), each) for each in problems)


def _access_remarks(settings: Settings | None) -> Iterator[Remark]:
    """Yields what is wrong with files of access control; a file of users that is missing is made by a start."""
    if settings is not None and settings.v1.index is not None:
        from portside.v1_index import read_index_files  # noqa: PLC0415 - only here

        try:
            read_index_files(settings.v1.index)
        except Problem as problem:
            yield from remarks_of(Kind.REFUSED, [str(problem)])
    if settings is None or settings.access is None:
        return
    from portside.settings.access_files import read_access_files, read_upstream_password  # noqa: PLC0415 - only here

    try:
        read_access_files(settings.access)
        read_upstream_password(settings.proxy)
    except Problem as problem:
        yield from remarks_of(Kind.REFUSED, [str(problem)])


def _folder_remarks(settings: Settings | None) -> Iterator[Remark]:
    """Yields which folders of files that registries hand over are not there."""
    if settings is None:
        return
    for name, elsewhere in (("v1", settings.proxy.v1), ("v2", settings.proxy.v2)):
        if elsewhere is not None and elsewhere.files:
            from portside.shared_files import require_folder  # noqa: PLC0415 - few proxies are told of such

            try:
                require_folder(Path(elsewhere.files), key=f"gateway.{name}.files")
            except Problem as problem:
                yield from remarks_of(Kind.REFUSED, [str(problem)])


def _cautions(settings: Settings | None) -> Iterator[Remark]:
    """Yields what is as it was asked for, and worth a second look before it is served."""
    if settings is None:
        return
    for tls in dict.fromkeys(each.tls for each in settings.listeners if each.tls is not None):
        if tls.minimum in {TlsVersion.TLS_1_0, TlsVersion.TLS_1_1} and tls.profile is TlsProfile.DEFAULT:
            key = f"{_tls_key(settings)}.minimumtls"
            why = "it has been broken, and every Docker since 1.0.1 speaks tls1.2"
            yield Remark(Kind.DANGEROUS, key, f"{key} is {tls.minimum.value}: {why}")


def _tls_key(settings: Settings) -> str:
    own: Any = settings.values["gateway"]["tls"]["certificates"]
    return "gateway.tls" if own and settings.role in {Role.SERVE, Role.PROXY} else "http.tls"
