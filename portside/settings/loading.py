"""From file, environment and flags to the parts' frozen settings; all mistakes at once.

Flags override the environment, which overrides the file. `http.addr` and `http.tls` describe the address that clients
use: the proxy's for `serve` and `proxy`, the registry's own for `v1` and `v2`; `gateway:` may name others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from portside.settings.conflicts import conflicts
from portside.settings.docker_registry.recognizing import has_variables, is_docker_registry_s
from portside.settings.environment import apply_environment
from portside.settings.files import SettingsFile, SettingsProblem, read_file
from portside.settings.listeners import V1 as DEFAULT_V1
from portside.settings.listeners import V2 as DEFAULT_V2
from portside.settings.listeners import Ports, proxy_ports, registry_ports
from portside.settings.middleware import key_mistakes, make_addresses
from portside.settings.mistakes import describe_mistake
from portside.settings.older_names import remarks as older_names
from portside.settings.parts import make_settings
from portside.settings.places import settings_path
from portside.settings.rare import access_remarks, files_remarks, rare_mistakes, rare_notes, v1_remarks
from portside.settings.remarks import Kind, Remark, ignored, remarks_of
from portside.settings.schema.config import Config
from portside.settings.settings import Role, Settings
from portside.settings.unsupported import notes as unsupported_notes
from portside.settings.unsupported import refusals, unknown_keys, variable_refusals
from portside.settings.validation import Profile, pattern_mistakes, signing_key_mistakes, validation_notes
from portside.settings.yaml_values import is_empty

if TYPE_CHECKING:
    from portside.observe.mail import MailSettings
    from portside.settings.docker_registry.older import Older

LISTENING = frozenset({"REGISTRY_HOST", "REGISTRY_ADDRESS", "REGISTRY_PORT"})
"""docker-registry's, whose names look like distribution's."""
_V1_ELSEWHERE = "gateway.v1.upstream"
_V1_ELSEWHERE_BY = "REGISTRY_GATEWAY_V1_UPSTREAM"
_UNKNOWN = "is not a known variable and is ignored"

__all__ = ["Role", "Settings", "SettingsProblem", "load_settings", "settings_path"]


@dataclass(frozen=True, slots=True)
class Examined:
    """Settings, and all there is to say about them.

    Attributes:
        settings: None where they cannot be used; then some remark is REFUSED.
        remarks: in the order in which they are to be said.
        variables: those that set a key, by that key.
    """

    settings: Settings | None
    remarks: tuple[Remark, ...]
    variables: Mapping[str, str]


def load_settings(role: Role, path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Reads settings.

    Args:
        role: which parts are to run.
        path: the file; None for none.
        environment: all variables.
        flags: what the command line gave: settings by their dotted path, and `addr` and `data`, which mean whatever
            setting decides where the role listens and where its data is. None values are left out.

    Raises:
        SettingsProblem: with every mistake there is.
    """
    examined = examine(role, read_file(path), environment, flags)
    if examined.settings is None:
        mistakes = [each.text for each in examined.remarks if each.kind is Kind.REFUSED]
        raise SettingsProblem(_listed(path, mistakes))
    return examined.settings


def examine(role: Role, file: SettingsFile, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Examined:
    """Puts file, environment and flags together; the arguments are those of `load_settings`."""
    file, older_file = _of_whom(role, file)
    raw = file.raw
    # distribution loads no file without a version
    profile = Profile.OCI if is_empty(raw.get("version")) else Profile.DISTRIBUTION
    remarks = [*file.remarks]
    older = _read_older(role, file, older_file, environment)
    has_address = not is_empty(_get(raw, "http.addr"))
    if older is not None:
        _put_older(raw, older)
        remarks += [each for each in older.remarks if each.kind is Kind.IGNORED]
    overrides = apply_environment(raw, environment, Config)
    remarks += overrides.remarks
    if older is not None and (role is Role.V1 or not _get(raw, _V1_ELSEWHERE)):
        remarks += [each for each in older.remarks if each.kind is Kind.REFUSED]
    taken = LISTENING if older is not None and older.takes_address else ()
    unknown = [name for name in overrides.unknown if name not in taken]
    protecting = variable_refusals(unknown)
    remarks += protecting
    for name in sorted({*unknown} - {each.path for each in protecting}):
        remarks.append(ignored(name, _UNKNOWN))
    for dotted, value in flags.items():
        if value is not None:
            _put_flag(raw, role, dotted, value)
    remarks += [*refusals(raw), *unsupported_notes(raw), *older_names(raw), *unknown_keys(raw)]
    variables = {**(older.variables if older is not None else {}), **overrides.applied}
    settings = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes = [describe_mistake(found) for found in error.errors(include_url=False)]
        origins = {**(older.origins if older is not None else {}), **overrides.applied}
        remarks += [_with_origin(each, origins) for each in mistakes]
    else:
        settings, more = _settings(role, config, profile)
        if older is not None and older.takes_address and not has_address:
            more = [_as_docker_registry(each, overrides.applied) for each in more]
        # What a part says of a value of its own goes before what is said of every value of its kind.
        told = {each.path for each in more}
        remarks = [each for each in remarks if each.kind is not Kind.DANGEROUS or each.path not in told] + more
    if settings is None or any(each.kind is Kind.REFUSED for each in remarks):
        return Examined(None, tuple(remarks), variables)
    source = file.path if older is None else file.path or older.path
    settings = replace(settings, notes=_notes(remarks), source=source)
    return Examined(settings, tuple(remarks), variables)


def _of_whom(role: Role, file: SettingsFile) -> tuple[SettingsFile, SettingsFile | None]:
    """Returns Portside's file and docker-registry's, of which one at most was named.

    Raises:
        SettingsProblem: it is docker-registry's, and the role is not its registry.
    """
    if not is_docker_registry_s(file.raw):
        return file, None
    if role is not Role.V1:
        raise SettingsProblem(
            f"{file.path} is docker-registry's file, not Portside's: use `portside v1 {file.path}`, or name it to"
            f" `portside serve` by DOCKER_REGISTRY_CONFIG; `portside v1 config check {file.path}` explains it"
        )
    return SettingsFile(None, {}, None, ()), file


def _read_older(
    role: Role, file: SettingsFile, older_file: SettingsFile | None, environment: Mapping[str, str]
) -> Older | None:
    """Returns what is said to docker-registry; None where nothing is, or its registry is not run here."""
    if role not in {Role.V1, Role.SERVE} or (older_file is None and not has_variables(environment)):
        return None
    if role is Role.SERVE and (_get(file.raw, _V1_ELSEWHERE) or environment.get(_V1_ELSEWHERE_BY)):
        return None
    from portside.settings.docker_registry.older import read_older  # noqa: PLC0415 - only where there is some of it

    return read_older(role, older_file, environment, has_file=file.path is not None)


def _put_older(raw: dict[str, Any], older: Older) -> None:
    """Writes docker-registry's settings into the file: what somebody decided, and defaults where the file has none."""
    in_memory = "inmemory" in (_get(raw, "storage") or ())
    for dotted, value in older.defaults.items():
        if is_empty(_get(raw, dotted)) and not (in_memory and dotted.startswith("storage.")):
            _put(raw, dotted, value)
    for dotted, value in older.values.items():
        _put(raw, dotted, value)


def _as_docker_registry(remark: Remark, variables: Mapping[str, str]) -> Remark:
    """Says of plain HTTP where it comes from, if nobody has written http.addr."""
    if remark.path != "http.addr" or remark.kind is not Kind.DANGEROUS or "http.addr" in variables:
        return remark
    addr = remark.text.partition(" ")[0]
    why = "speaks plain HTTP, as docker-registry does: for TLS, name http.tls or gateway.certs"
    return replace(remark, text=f"{addr} {why}")


def _with_origin(mistake: Remark, origins: Mapping[str, str]) -> Remark:
    """Names what a mistake was set by, where nobody would find it in the file: a variable, docker-registry's file."""
    for key, origin in origins.items():
        if f"{mistake.path}.".startswith(f"{key}."):
            return replace(mistake, text=f"{mistake.text}, set by {origin}")
    return mistake


def _settings(role: Role, config: Config, profile: Profile) -> tuple[Settings | None, list[Remark]]:
    """Returns what was made of the file, and remarks about it; None where some key fits no other."""
    ports = _ports(role, config)
    key = signing_key_mistakes(config) if role in {Role.SERVE, Role.V2} else ()
    sentences = [*pattern_mistakes(config), *rare_mistakes(config), *key, *ports.mistakes]
    steps, of_middleware = make_addresses(config)
    of_keys = key_mistakes(steps) if role in {Role.SERVE, Role.V2} else ()
    mail, of_mail = _mail(config)
    of_access = access_remarks(config, role, ports.listeners)
    remarks = [*conflicts(config), *of_access, *of_middleware, *of_keys, *of_mail, *v1_remarks(config, role, steps)]
    remarks += files_remarks(config, role)
    remarks += remarks_of(Kind.REFUSED, sentences)
    profile = Profile(config.gateway.profile) if config.gateway.profile else profile
    sentences = [*validation_notes(config, profile), *rare_notes(config)]
    remarks += [*remarks_of(Kind.IGNORED, sentences), *ports.notes]
    if any(each.kind is Kind.REFUSED for each in remarks):
        return None, remarks
    settings, more = make_settings(role, config, ports, profile=profile, addresses=steps, mail=mail)
    return settings, remarks + remarks_of(Kind.IGNORED, more)


def _mail(config: Config) -> tuple[tuple[MailSettings, ...], list[Remark]]:
    if not config.log.hooks:
        return (), []
    from portside.settings.mail import make_mail  # noqa: PLC0415 - few are mailed

    return make_mail(config)


def _notes(remarks: Sequence[Remark]) -> tuple[str, ...]:
    """Returns what is to be said at start; the unknown variables are one sentence."""
    unknown = [each.path for each in remarks if each.text.endswith(_UNKNOWN)]
    one = [f"unknown variables, ignored: {', '.join(unknown)}"] if unknown else []
    return (*one, *(each.text for each in remarks if not each.text.endswith(_UNKNOWN)))


def _put_flag(raw: dict[str, Any], role: Role, name: str, value: Any) -> None:
    if name == "data":
        storage = raw.get("storage")
        if isinstance(storage, dict):
            storage.pop("inmemory", None)
        elif storage == "inmemory":
            raw["storage"] = {}
        _put(raw, "storage.filesystem.rootdirectory", value)
        if role is Role.V1:
            _put(raw, "gateway.v1.storagepath", "")
    elif name != "addr":
        _put(raw, name, value)
    elif role in {Role.V1, Role.V2}:
        _put(raw, f"gateway.{role.value}.addr", value)
    elif _get(raw, "gateway.addr") or not _get(raw, "http.addr"):
        _put(raw, "gateway.addr", value)
    else:
        _put(raw, "http.net", "tcp")
        _put(raw, "http.addr", value)


def _put(raw: dict[str, Any], dotted: str, value: Any) -> None:
    *above, last = dotted.split(".")
    for key in above:
        below = raw.get(key)
        if isinstance(below, str) and key == "storage":
            below = {below: {}}
        raw[key] = below if isinstance(below, dict) else {}
        raw = raw[key]
    raw[last] = value


def _get(raw: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw


def _ports(role: Role, config: Config) -> Ports:
    match role:
        case Role.V1:
            return registry_ports(config, "v1", config.gateway.v1, default=DEFAULT_V1)
        case Role.V2:
            return registry_ports(config, "v2", config.gateway.v2, default=DEFAULT_V2)
        case Role.SERVE | Role.PROXY:
            return proxy_ports(config, with_registries=role is Role.SERVE)


def _listed(path: Path | None, mistakes: list[str]) -> str:
    where = f"the settings file {path}" if path is not None else "the settings"
    if len(mistakes) == 1:
        return f"{where} cannot be used: {mistakes[0]}"
    return f"{where} cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in mistakes)
