"""YAML as distribution reads it, which is Go's yaml.v2: where text is wanted, a scalar keeps its spelling.

A string field there gets the source text of whatever stands there: `true` stays `true`, `1.50` stays `1.50`, `0123`
stays `0123`. What else would be a value is what yaml.v2 takes for one: `y` is true, `1e3` a number, `12:30` text. A key
that stands twice is merged, so that of two `http:` sections, one with TLS, neither is lost; only the first document
counts; a tag of the user's own means nothing. The first two are remembered, to be named at start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import yaml
from typing_extensions import override

_TAG = "tag:yaml.org,2002:"
# What yaml.v2 resolves, in its order, each with the characters that it may begin with.
_RESOLVED: Sequence[tuple[str, str, str]] = (
    ("bool", "yYnNtTfFoO", "y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
    ("null", "~nN\0", "~|null|Null|NULL|"),
    ("int", "-+0123456789", r"[-+]?(?:0|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+)"),
    ("float", "-+0123456789.", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"),
    ("float", "-+.", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
    ("merge", "<", "<<"),
)
_TRUE = frozenset({"y", "yes", "true", "on"})


class Written(str):  # noqa: SLOT000 - pickled with its value, by the default method
    """A scalar that YAML takes for something else than text: its source text.

    Attributes:
        value: what YAML takes it for: a bool, an int, a float.
    """

    value: Any

    def __new__(cls, text: str, value: Any) -> Self:
        written = super().__new__(cls, text)
        written.value = value
        return written


@dataclass(frozen=True, slots=True)
class Document:
    """A document of YAML.

    Attributes:
        value: mappings, lists, text, `Written` and None.
        node: where everything stands; None when there is nothing.
        repeated: keys that stand twice, each with the line (from 1) of the second.
        others: a line at the beginning of a further document; 0 for none.
    """

    value: Any
    node: yaml.Node | None
    repeated: tuple[tuple[str, int], ...]
    others: int


def parse_document(text: str) -> Document:
    """Parses the first document.

    Raises:
        yaml.YAMLError: it is not valid YAML.
    """
    loader = _Loader(text)
    try:
        if not loader.check_node():
            return Document(None, None, (), 0)
        node = loader.get_node()
        value = loader.construct_document(node)
        return Document(value, node, tuple(loader.repeated), _line_of_another(loader))
    finally:
        loader.dispose()


def parse_yaml(text: str) -> Any:
    """Parses the first document: mappings, lists, text, `Written` and None.

    Raises:
        yaml.YAMLError: it is not valid YAML.
    """
    return parse_document(text).value


def plain(value: Any) -> Any:
    """Returns what YAML takes the scalars for, throughout a parsed value."""
    if isinstance(value, Written):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def is_empty(value: Any) -> bool:
    """Whether a scalar is empty, which means "not set" in distribution: `host:`, `host: ''`, `REGISTRY_HTTP_HOST=`."""
    return value is None or (isinstance(value, str) and not value)


def is_unset(value: Any) -> bool:
    """Whether a value is empty, or a section in which nothing is set."""
    return all(map(is_unset, value.values())) if isinstance(value, Mapping) else is_empty(value)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its base has it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[str, int]] = []

    @override
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        assert isinstance(node, yaml.MappingNode)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}null":  # a key is text, whatever it looks like
                key.tag, key.value = f"{_TAG}str", key.value or "~"
        self._merge_repeated(node)
        return node

    def _merge_repeated(self, node: yaml.MappingNode) -> None:
        """As yaml.v2 fills a section twice: what is in either counts, the second before the first."""
        places: dict[str, int] = {}
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge" or key.value not in places:
                if isinstance(key, yaml.ScalarNode):
                    places[key.value] = len(pairs)
                pairs.append((key, value))
                continue
            self.repeated.append((key.value, key.start_mark.line + 1))
            first = pairs[places[key.value]][1]
            if isinstance(first, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
                value = yaml.MappingNode(value.tag, first.value + value.value, value.start_mark, value.end_mark)  # noqa: PLW2901
                self._merge_repeated(value)
            pairs[places[key.value]] = (key, value)
        node.value = pairs


def _line_of_another(loader: _Loader) -> int:
    try:
        return int(loader.line) + 1 if loader.check_node() else 0
    except yaml.YAMLError:  # nobody reads it, so nobody asks whether it is valid
        return int(loader.line) + 1


def _written(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    kind, text = node.tag.removeprefix(_TAG), node.value.replace("_", "").lower()
    try:
        if kind == "int":
            octal = re.fullmatch(r"([-+]?)0(\d+)", text)
            return Written(node.value, int(f"{octal[1]}0o{octal[2]}" if octal else text, 0))
        if kind == "float":
            return Written(node.value, float(re.sub(r"\.(inf|nan)", r"\1", text)))
    except ValueError:  # `0x_`, or a tag that promises a number
        return str(node.value)
    return Written(node.value, text in _TRUE)


def _untagged(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    """Returns what stands behind a tag as if the tag were not there."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


def _binary(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return bytes(loader.construct_yaml_binary(node)).decode(errors="replace")


for _name, _first, _pattern in _RESOLVED:
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(f"(?:{_pattern})\\Z"), ["" if letter == "\0" else letter for letter in _first]
    )
for _name in ("bool", "int", "float"):
    _Loader.add_constructor(_TAG + _name, _written)
for _name in ("timestamp", "set", "omap", "pairs"):
    _Loader.add_constructor(_TAG + _name, _untagged)
_Loader.add_constructor(f"{_TAG}binary", _binary)
_Loader.add_multi_constructor("!", lambda loader, _, node: _untagged(loader, node))
