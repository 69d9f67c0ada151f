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
from portside.settings.rare import access_remarks, rare_mistakes, rare_notes, v1_remarks
from portside.settings.remarks import Kind, Remark, ignored, remarks_of
from portside.settings.schema.config import Config
from portside.settings.settings import Role, Settings
from portside.settings.unsupported import notes as unsupported_notes
from portside.settings.unsupported import refusals, unknown_keys, variable_refusals
from portside.settings.v1_environment import LISTENING, V1Environment, v1_environment, v1_refusals
from portside.settings.validation import Profile, pattern_mistakes, signing_key_mistakes, validation_notes
from portside.settings.yaml_values import is_empty

if TYPE_CHECKING:
    from portside.observe.mail import MailSettings

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
    raw = file.raw
    # distribution loads no file without a version
    profile = Profile.OCI if is_empty(raw.get("version")) else Profile.DISTRIBUTION
    older = V1Environment()
    if role is Role.V1:
        older = v1_environment(environment)
        for dotted, value in older.values.items():
            _put(raw, dotted, value)
    elif role is Role.SERVE:
        older.mistakes += v1_refusals(environment)
        if environment.get("STORAGE_PATH"):
            older.notes.append("only `portside v1` uses STORAGE_PATH; name the folder with --data")
    remarks = [*file.remarks, *remarks_of(Kind.IGNORED, older.notes)]
    overrides = apply_environment(raw, environment, Config)
    remarks += overrides.remarks
    if role is Role.V1 or not _get(raw, "gateway.v1.upstream"):
        remarks += remarks_of(Kind.REFUSED, older.mistakes)
    unknown = [name for name in overrides.unknown if role is not Role.V1 or name not in LISTENING]
    protecting = variable_refusals(unknown)
    remarks += protecting
    for name in sorted({*unknown} - {each.path for each in protecting}):
        remarks.append(ignored(name, _UNKNOWN))
    for dotted, value in flags.items():
        if value is not None:
            _put_flag(raw, role, dotted, value)
    remarks += [*refusals(raw), *unsupported_notes(raw), *older_names(raw), *unknown_keys(raw)]
    settings = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes = [describe_mistake(found) for found in error.errors(include_url=False)]
        remarks += [_with_variable(each, overrides.applied) for each in mistakes]
    else:
        settings, more = _settings(role, config, profile)
        # What a part says of a value of its own goes before what is said of every value of its kind.
        told = {each.path for each in more}
        remarks = [each for each in remarks if each.kind is not Kind.DANGEROUS or each.path not in told] + more
    if settings is None or any(each.kind is Kind.REFUSED for each in remarks):
        return Examined(None, tuple(remarks), overrides.applied)
    settings = replace(settings, notes=_notes(remarks), source=file.path)
    return Examined(settings, tuple(remarks), overrides.applied)


def _with_variable(mistake: Remark, variables: Mapping[str, str]) -> Remark:
    """Names the variable that a mistake is in, which nobody would find in the file."""
    for key, variable in variables.items():
        if f"{mistake.path}.".startswith(f"{key}."):
            return replace(mistake, text=f"{mistake.text}, set by {variable}")
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
