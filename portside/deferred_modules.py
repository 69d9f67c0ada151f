"""Modules of which a start needs a part: their names without the rest.

`import aiohttp.web_request` runs the package's `__init__` first, which imports client, connector, cookies, forms,
tracing and what these need; `aiohttp.web` has applications and their router in it. A server needs none of that. So
these modules are put in place before they have run: the names that servers use are looked up where they are defined,
submodules are found as ever, and the first use of any other name runs the module. From then on it is as after any
import. docs/profiles.md says what that saves.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType

_REQUEST, _RESPONSE, _WRITER = "aiohttp.web_request", "aiohttp.web_response", "aiohttp.http_writer"
DEFERRED: Mapping[str, Mapping[str, str]] = {
    "aiohttp": {"HttpVersion10": _WRITER, "HttpVersion11": _WRITER},
    "aiohttp.web": {
        "BaseRequest": _REQUEST,
        "RequestKey": "aiohttp.helpers",
        "RequestPayloadError": "aiohttp.web_protocol",
        "Response": _RESPONSE,
        "Server": "aiohttp.web_server",
        "StreamResponse": _RESPONSE,
    },
}
"""Modules, the package first, and where the names are defined that servers use of them."""
_VERSION = re.compile(r"""__version__ = ["']([^"']++)["']""")


def defer_modules() -> None:
    """Puts every module of DEFERRED in place, but those that have run already."""
    for name, known in DEFERRED.items():
        if name not in sys.modules:
            _defer(name, known)


def run_module(name: str) -> None:
    """Runs a module that was put in place, if it has not run: before a fork, so that processes share it."""
    deferred = vars(import_module(name)).get("__getattr__")
    if isinstance(deferred, _Deferred):
        deferred.run()


def _defer(name: str, known: Mapping[str, str]) -> None:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = module_from_spec(spec)
    vars(module)["__getattr__"] = _Deferred(module, spec, known)  # PEP 562
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)


class _Deferred:
    """What is asked for names that a module does not have yet, since it has not run."""

    def __init__(self, module: ModuleType, spec: ModuleSpec, known: Mapping[str, str]) -> None:
        self._module = module
        self._spec = spec
        self._known = known
        self._lock = threading.RLock()
        self._runs = False

    def __call__(self, name: str) -> object:
        """Returns what a module makes of a name.

        Raises:
            AttributeError: it makes nothing of it; or it is a submodule, for which whoever imports it looks next.
        """
        if name in self._known and (found := getattr(import_module(self._known[name]), name, None)) is not None:
            vars(self._module)[name] = found
            return found
        if name == "__version__" and (version := self._version()):  # aiohttp's own submodules ask
            return version
        if not self._is_no_name(name) and self.run():
            return getattr(self._module, name)
        raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")

    def run(self) -> bool:
        """Runs the module, once; returns whether it has run: False to itself, while it runs."""
        with self._lock:
            if self._runs or vars(self._module).get("__getattr__") is not self:
                return not self._runs
            assert self._spec.loader is not None
            self._runs = True
            try:
                self._spec.loader.exec_module(self._module)
            finally:
                self._runs = False
            if vars(self._module).get("__getattr__") is self:  # aiohttp has one of its own
                del vars(self._module)["__getattr__"]
            return True

    def _is_no_name(self, name: str) -> bool:
        """Whether it is for the importer: its own marks, and submodules."""
        package = self._spec.submodule_search_locations is not None
        mark = name.startswith("__") and name not in {"__all__", "__version__"}
        return mark or (package and find_spec(f"{self._module.__name__}.{name}") is not None)

    def _version(self) -> str | None:
        """Reads it in the first line; None when it is not there."""
        if self._spec.origin is None:
            return None
        with Path(self._spec.origin).open(encoding="utf-8") as source:
            found = _VERSION.match(source.readline())
        return found[1] if found is not None else None
