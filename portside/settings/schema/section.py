"""What all sections have in common: how their values are read, and how a rare one is loaded when a file has it."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from portside.settings.settings import SectionValues
from portside.settings.yaml_values import is_empty, plain


class Section(BaseModel):
    """A section; keys that it does not know are kept aside, to be named at start. An empty one counts as `{}`."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)
    without: ClassVar[frozenset[str]] = frozenset()
    """Keys that have a default and may be `""` to go without."""
    variables: ClassVar[Mapping[str, str]] = {}
    """How variables call a key where distribution's own name differs from the file's, both in lower case."""
    inlined: ClassVar[frozenset[str]] = frozenset()
    """Elements of a variable's name that stand for this section itself."""

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, value: Any) -> Any:
        """Leaves out what is empty, and gives each key text or a value, as its type wants it."""
        if is_empty(value):
            return {}
        if not isinstance(value, Mapping):
            return value
        given: dict[Any, Any] = {}
        for key, part in value.items():
            field = field_of(cls, key)
            if field is None:
                given[key] = plain(part)
            elif not is_empty(part) or (part is not None and key in cls.without):
                given[key] = _typed(part, field.annotation)
        return given


@dataclass(frozen=True, slots=True)
class LazySection:
    """A section whose module is imported by the first file that has it: building classes is slow."""

    module: str
    name: str

    def load(self) -> type[Section]:
        """Returns the section."""
        section: type[Section] = getattr(import_module(f"{__package__}.{self.module}"), self.name)
        return section

    def validate(self, value: Any) -> Any:
        """Returns what the section makes of a value."""
        return self.load().model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)


def lazy(module: str, name: str) -> Any:
    """Returns a type for a section that is in another module of this package; always used as `... | None`."""
    return Annotated[Any, LazySection(module, name)]


def field_of(section: type[BaseModel], key: Any) -> FieldInfo | None:
    """Returns what is known of a key of the file."""
    fields = section.model_fields
    found = fields.get(key)
    if found is not None and found.alias in {None, key}:
        return found
    return next((field for field in fields.values() if field.alias == key), None)


def keys_of(section: type[BaseModel]) -> dict[str, tuple[str, FieldInfo]]:
    """Returns a section's keys as the file spells them, each with its attribute's name and what is known of it."""
    return {field.alias or name: (name, field) for name, field in section.model_fields.items()}


def values_of(section: BaseModel) -> SectionValues:
    """Returns what is set in a section, without the classes that have read it."""
    return SectionValues(
        {key: _plain_value(getattr(section, name)) for key, (name, _) in keys_of(type(section)).items()}
    )


def _plain_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return values_of(value)
    if isinstance(value, tuple):
        return tuple(map(_plain_value, value))
    return value


def inner_type(annotation: Any) -> Any:
    """Returns a key's type without `| None` and pydantic's annotations; a lazy section is loaded."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        kind, *metadata = typing.get_args(annotation)
        found = next((each for each in metadata if isinstance(each, LazySection)), None)
        return found.load() if found is not None else inner_type(kind)
    if is_optional(annotation):
        return inner_type(next(part for part in typing.get_args(annotation) if part is not types.NoneType))
    return annotation


def is_optional(annotation: Any) -> bool:
    """Whether a type is `... | None`."""
    return typing.get_origin(annotation) in {typing.Union, types.UnionType}


def _typed(value: Any, annotation: Any) -> Any:
    """Returns scalars as they are written where text is wanted (`secret: 0123`), else what YAML takes them for."""
    kind = inner_type(annotation)
    arguments = typing.get_args(kind)
    if kind is Any or kind in {bool, int, float}:
        return plain(value)
    if isinstance(value, list) and typing.get_origin(kind) in {list, tuple}:
        return [_typed(part, arguments[0]) for part in value]
    if isinstance(value, dict) and typing.get_origin(kind) is dict:
        return {key: _typed(part, arguments[1]) for key, part in value.items() if not is_empty(part)}
    return value
