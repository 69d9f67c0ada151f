"""YAML as distribution reads it: where text is wanted, a scalar keeps its spelling, and no key may stand twice.

Go's yaml.v2 gives a string field the source text of whatever stands there: `true` stays `true`, `1.50` stays `1.50`,
`0123` stays `0123`, `2026-01-02` stays text. Plain PyYAML turns them into values first, whose text differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import yaml
from typing_extensions import override


class Written(str):  # noqa: SLOT000 - pickled with its value, by the default method
    """A scalar that YAML takes for something else than text: its source text.

    Attributes:
        value: what YAML takes it for: a bool, an int, a float, a date or a time.
    """

    value: Any

    def __new__(cls, text: str, value: Any) -> Self:
        written = super().__new__(cls, text)
        written.value = value
        return written


def parse_yaml(text: str) -> Any:
    """Parses a document: mappings, lists, text, `Written` and None.

    Raises:
        yaml.YAMLError: it is not valid YAML, or a key stands twice in one mapping: of two `http:` sections, one with
            TLS, PyYAML would drop the first in silence.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader


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


class _Loader(yaml.SafeLoader):
    @override
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        assert isinstance(node, yaml.MappingNode)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                problem = f"the key {key.value!r} stands there a second time; put what is below both together"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return node


def _written(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    try:
        value = yaml.SafeLoader.yaml_constructors[node.tag](loader, node)
    except ValueError:  # 2026-13-45 has the form of a date
        return str(node.value)
    return Written(node.value, value)


_KINDS: Sequence[str] = ("bool", "int", "float", "timestamp")
for _kind in _KINDS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _written)
