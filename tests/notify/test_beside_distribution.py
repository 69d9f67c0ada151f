"""Envelopes of the real registries, and ours of the same event: byte for byte."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path

import pytest

from backends.notify.envelope import encode_envelope, parse_event
from backends.notify.settings import MediaType
from tests.support.ports import free_port
from tests.support.programs import CACHE, find_program, running
from tests.support.serving_here import OCI_MANIFEST, digest_of, make_manifest
from tests.support.webhooks import webhook

pytestmark = pytest.mark.real

SETTINGS = """version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
notifications: {{endpoints: [{{name: a, url: "{url}", headers: {{X-Many: [a, b]}}}}]}}
"""


@pytest.mark.parametrize(("program", "media_type"), [("docker-registry", MediaType.V1), ("registry", MediaType.V2)])
def test_the_body_is_laid_out_as_distribution_does(
    program: str, media_type: MediaType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = CACHE / "bin" / program
    found = str(path) if path.exists() else find_program(program)
    monkeypatch.setitem(os.environ, "OTEL_TRACES_EXPORTER", "none")
    port = free_port()
    with webhook() as receiver:
        config = tmp_path / "config.yml"
        config.write_text(SETTINGS.format(folder=tmp_path, port=port, url=receiver.url))
        with running([found, "serve", str(config)], tmp_path / "log", port=port):
            blob = b"{}"
            headers = {"User-Agent": 'a<b>&"c\\d\t'}

            def ask(method: str, target: str, body: bytes, **more: str) -> str:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request(method, target, body, headers | more)
                answer = connection.getresponse()
                answer.read()
                connection.close()
                assert answer.status in {201, 202}
                return answer.headers.get("Location", "")

            place = ask("POST", "/v2/a/b/blobs/uploads/", b"").partition(f":{port}")[2]
            ask("PUT", f"{place}&digest={digest_of(blob)}", blob)
            ask("PUT", "/v2/a/b/manifests/t", make_manifest(blob), **{"Content-Type": OCI_MANIFEST})
            receiver.wait_for(2)
    for request in receiver.received:
        (event,) = request.events
        compact = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        assert encode_envelope(parse_event(compact)) == request.body
        assert request.values("Content-Type") == [media_type.value]
        assert request.values("X-Many") == ["a", "b"]
