"""docker-registry's YAML, with the line of every key.

It reads YAML 1.1 by PyYAML: `012` is ten, `yes` is true, of a key that stands twice the second counts, and `<<` merges
keys that the section does not have itself. Two documents are an error. What would make a Python object there
(`!!python/...`) is an error here.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands behind a key.

    Attributes:
        value: a section (`dict` of entries), or what YAML takes the value for.
        line: of the key, from 1; 0 where no file has it. What is merged has the line where it is written.
    """

    value: Any
    line: int


def parse(text: str) -> Any:
    """Parses a file, or a variable's value, which is read alike.

    Returns:
        a section, or what else it is.

    Raises:
        yaml.YAMLError: it is not valid YAML.
        RecursionError: a section contains itself.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _Builder(loader).build(node)
    except ValueError as error:  # a date that is none, a number of too many digits
        raise yaml.constructor.ConstructorError(problem=f"a value is not what it looks like: {error}") from None
    finally:
        loader.dispose()


class _Builder:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._built: dict[int, dict[Any, Entry]] = {}
        """Of each node that an alias may name again."""

    def build(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.MappingNode) or node.tag != "tag:yaml.org,2002:map":
            return self._loader.construct_object(node, deep=True)
        section = self._built.get(id(node))
        if section is None:
            self._loader.flatten_mapping(node)
            section = {self._key(key): Entry(self.build(value), key.start_mark.line + 1) for key, value in node.value}
            self._built[id(node)] = section
        return section

    def _key(self, node: yaml.Node) -> Any:
        key = self._loader.construct_object(node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(
                problem="found a list or a section as a key", problem_mark=node.start_mark
            )
        return key
