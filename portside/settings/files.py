"""The settings file: which one, and its text parsed; what keeps it from being read is one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from portside.problems import Problem
from portside.settings.remarks import Kind, Remark
from portside.settings.yaml_values import Document, parse_document

_UNREADABLE = {UnicodeDecodeError: "it is not UTF-8 text", RecursionError: "it is nested too deeply"}

# What YAML's parser says, by a part of it, in the words of a person who writes a settings file.
_YAML_WORDS = {
    "'\\t'": "the indentation has a tab; YAML allows only spaces",
    "mapping values are not allowed": (
        "no key can stand here; look at the indentation of this line and the one above, at the space after each `:`,"
        " and put text that has a `: ` in it in quotes"
    ),
    "expected <block end>": (
        "this line fits nothing above it; the keys of a section begin in one column, and so do the entries of a list,"
        " with `- `"
    ),
    "could not find expected ':'": "the line above has no `:` after its key",
    "found unexpected end of stream": "a quotation mark is not closed",
    "expected ',' or ']'": "a list in [ ] is not closed, or lacks a comma",
    "expected ',' or '}'": "a section in { } is not closed, or lacks a comma",
    "could not determine a constructor": "a tag (!!name) stands for an object of a program's; write the value itself",
    "cannot start any token": "text that begins with a special character needs quotes",
}


class SettingsProblem(Problem):
    """Mistakes in the settings, one a line."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The file that was read.

    Attributes:
        path: None where there is none.
        raw: what it holds.
        node: where in it everything stands.
        remarks: what is odd about it as YAML.
        text: as it stands there.
    """

    path: Path | None
    raw: dict[str, Any]
    node: yaml.Node | None
    remarks: tuple[Remark, ...]
    text: str = ""


def read_file(path: Path | None) -> SettingsFile:
    """Returns what the file holds; nothing where there is no file.

    Raises:
        SettingsProblem: it cannot be read, or does not hold keys.
    """
    if path is None:
        return SettingsFile(None, {}, None, ())
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = parse_document(text)
    except OSError as error:
        raise SettingsProblem(
            f"the settings file {path} cannot be read ({error.strerror}): {_unreadable_file(error)}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or _UNREADABLE.get(type(error), "it holds characters that YAML forbids")
        why = next((words for theirs, words in _YAML_WORDS.items() if theirs in why), why)
        if isinstance(error, yaml.composer.ComposerError):  # which quotes what stands there: it may be a password
            why = "a value that begins with * or & must be in quotes"
        raise SettingsProblem(f"the settings file {path} is not valid YAML{where}: {why}") from None
    raw = document.value
    if raw is not None and not isinstance(raw, dict):
        raise SettingsProblem(f"the settings file {path} must hold keys such as storage: and http:, not a list or text")
    return SettingsFile(path, raw or {}, document.node, tuple(_oddities(document)), text)


def _oddities(document: Document) -> Iterator[Remark]:
    for key, line in document.repeated:
        text = f"the key {key!r} stands there a second time, in line {line}: both are put together, and the second wins"
        yield Remark(Kind.DANGEROUS, "", text, line)
    if document.others:
        text = f"what begins in line {document.others} is a document of its own and is ignored, as in distribution"
        yield Remark(Kind.IGNORED, "", text, document.others)


def _unreadable_file(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "check the path"
        case errno.EISDIR:
            return "name a file, not a folder"
        case errno.EACCES | errno.EPERM:
            return f"let uid {os.getuid()} read it"
        case _:
            return "see the file system it is on"
