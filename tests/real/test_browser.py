"""A page on another origin, in Chromium, which asks first, by a preflight without credentials (docs/browser.md)."""

from __future__ import annotations

import http.server
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typing_extensions import override

from tests.support.pages import block
from tests.support.ports import free_port
from tests.support.programs import find_program, running

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(120)]

CHROMIUM = [
    f"--{flag}"
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "no-proxy-server",
    )
]
PAGE = """<!doctype html><script>
const registry = "REGISTRY";
async function ask(path, options) {
  try {
    const answer = await fetch(registry + path, {credentials: "include", ...options});
    return {status: answer.status, digest: answer.headers.get("Docker-Content-Digest"), body: await answer.text()};
  } catch (error) {
    return {refused: String(error)};
  }
}
(async () => {
  const asked = {Authorization: "Basic YTpi", Accept: "application/vnd.oci.image.manifest.v1+json"};
  const told = {
    catalog: await ask("/v2/_catalog", {headers: asked}),
    missing: await ask("/v2/team/app/manifests/none", {headers: asked}),
    deleted: await ask("/v2/team/app/manifests/none", {method: "DELETE", headers: asked}),
    other: await ask("/v2/_catalog", {headers: {...asked, "X-Not-Allowed": "1"}}),
  };
  await fetch("/told", {method: "POST", body: JSON.stringify(told)});
})();
</script>"""


class Ui(http.server.ThreadingHTTPServer):
    """The page's own origin; what the page reports ends in `told`."""

    def __init__(self, registry: str) -> None:
        super().__init__(("127.0.0.1", 0), _UiHandler)
        self.page = PAGE.replace("REGISTRY", registry).encode()
        self.told: queue.Queue[Any] = queue.Queue()


class _UiHandler(http.server.BaseHTTPRequestHandler):
    server: Ui

    def do_GET(self) -> None:
        self._answer(self.server.page if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.server.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[Ui]:
    """A page, and a registry that lets pages of its origin in, by the settings that docs/browser.md shows."""
    port = free_port()
    with Ui(f"http://127.0.0.1:{port}") as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        origin = f"http://localhost:{page.server_port}"
        settings = yaml.safe_load(block("docs/browser.md", "yaml").replace("https://ui.example", origin))
        settings["storage"] = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}}
        settings["http"]["addr"] = f"127.0.0.1:{port}"
        config = tmp_path / "config.yml"
        config.write_text(yaml.safe_dump(settings))
        log = tmp_path / "portside.log"
        with running([sys.executable, "-m", "portside.cli", "v2", str(config)], log, port=port):
            yield page
        page.shutdown()


def test_a_page_on_another_origin_may_read_and_delete(ui: Ui, tmp_path: Path) -> None:
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    browser = subprocess.Popen(
        [find_program("chromium"), *CHROMIUM, profile, f"http://localhost:{ui.server_port}/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = ui.told.get(timeout=60)
    finally:
        browser.terminate()
        browser.wait(timeout=20)
    assert (told["catalog"]["status"], json.loads(told["catalog"]["body"])) == (200, {"repositories": []})
    for name in ("missing", "deleted"):  # an error is the page's to read too
        assert told[name]["status"] == 404, told
        assert json.loads(told[name]["body"])["errors"][0]["code"] in {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}
    assert "refused" in told["other"], "a header that is not allowed must not pass: was there a preflight at all?"
