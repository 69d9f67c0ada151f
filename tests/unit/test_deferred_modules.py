"""aiohttp put in place before it has run: servers find their names, everybody else finds all of it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from portside.deferred_modules import DEFERRED

_BEGIN = "import sys\nfrom portside.deferred_modules import defer_modules, run_module\ndefer_modules()\n"


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _BEGIN + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("module", "name", "where"), [(module, *each) for module, names in DEFERRED.items() for each in names.items()]
)
def test_a_name_is_what_the_module_itself_has(module: str, name: str, where: str) -> None:
    assert getattr(import_module(where), name) is getattr(import_module(module), name)


def test_what_servers_use_does_not_run_the_modules() -> None:
    program = """
import aiohttp, aiohttp.web_protocol
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.web import BaseRequest, RequestKey, RequestPayloadError, Response, Server, StreamResponse
assert web.Response is Response and aiohttp.web is web and HttpVersion11 == (1, 1)
print({"aiohttp.client", "aiohttp.web_app"} & {*sys.modules}, aiohttp.__version__)
"""
    assert _run(program) == f"set() {import_module('aiohttp').__version__}\n"


@pytest.mark.parametrize(
    "use",
    [
        "aiohttp.ClientSession",
        "__import__('aiohttp', fromlist=['ClientTimeout']).ClientTimeout",
        "run_module('aiohttp')",
        "[*map(str, aiohttp.__all__)]",
    ],
)
def test_any_other_name_runs_the_package_whole(use: str) -> None:
    program = f"""
import aiohttp
from aiohttp import web
{use}
assert "aiohttp.client" in sys.modules
assert aiohttp.ClientSession is aiohttp.client.ClientSession and not hasattr(aiohttp, "no_such_name")
assert aiohttp.web is web and "aiohttp.web_app" not in sys.modules
from aiohttp.web import *
assert web.Application is Application and Response is web.Response
"""
    _run(program)


def test_a_submodule_stays_a_submodule_and_what_is_nothing_stays_nothing() -> None:
    program = """
import aiohttp
assert not hasattr(aiohttp, "resolver") and "aiohttp.client" not in sys.modules
import aiohttp.resolver
assert aiohttp.resolver.ThreadedResolver
try:
    from aiohttp import nothing_of_the_kind
except ImportError:
    print("none")
"""
    assert _run(program) == "none\n"


def test_threads_that_come_while_it_runs_wait_for_it() -> None:
    program = """
import threading
found = []
barrier = threading.Barrier(8)
def use():
    import aiohttp
    barrier.wait()
    found.append((aiohttp.ClientSession, aiohttp.CookieJar))
threads = [threading.Thread(target=use) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
print(len(found), len(set(found)))
"""
    assert _run(program) == "8 1\n"


def test_a_module_that_has_run_stays_as_it_is() -> None:
    program = """
import sys, aiohttp
from portside.deferred_modules import defer_modules
defer_modules()
print(sys.modules["aiohttp"] is aiohttp, aiohttp.ClientSession.__module__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True aiohttp.client\n"


@pytest.mark.parametrize(
    "module",
    [
        "backends.auth.asking",
        "backends.auth.exchange",
        "backends.auth.index_server",
        "backends.notify.posting",
        "backends.outgoing_requests",
        "backends.v1.mirror.upstream",
        "portside.fetching_keys",
        "proxy.upstream_tokens",
    ],
)
def test_who_asks_other_servers_has_the_client_from_its_import_on(module: str) -> None:
    """So the workers share it: what each of them imports by itself costs them its time and its memory each."""
    assert _run(f"import {module}\nprint('aiohttp.client' in sys.modules)") == "True\n"
