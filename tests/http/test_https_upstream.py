"""A registry behind the proxy that speaks TLS: checked against the system's CAs, or the one that is named."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.support.commands import portside, running_command


@pytest.mark.parametrize(
    ("trust", "status"),
    [("named", 200), ("system", 200), ("nobody", 502)],
)
async def test_an_upstream_s_certificate_is_checked(tmp_path: Path, trust: str, status: int) -> None:
    registry, proxy = tmp_path / "registry", tmp_path / "proxy"
    registry.mkdir()
    proxy.mkdir()
    assert portside("certs", folder=registry).returncode == 0
    ca = registry / "certs" / "ca.crt"
    (registry / "v2.yml").write_text(
        "{storage: inmemory, http: {addr: '127.0.0.1:0', tls: {certificate: certs/server.crt, key: certs/server.key}}}"
    )
    with running_command("v2", "v2.yml", folder=registry) as behind:
        named = f", ca: {ca}" if trust == "named" else ""
        (proxy / "proxy.yml").write_text(
            "{http: {addr: '127.0.0.1:0'}, gateway: {workers: 1,"
            f" v2: {{upstream: 'https://127.0.0.1:{behind.port('v2')}'{named}}}}}}}"
        )
        # What the system trusts, as OpenSSL finds it.
        environment = {"SSL_CERT_FILE": str(ca)} if trust == "system" else {}
        with running_command("proxy", "proxy.yml", folder=proxy, environment=environment) as front:
            url = f"http://127.0.0.1:{front.port('proxy')}/v2/"
            async with aiohttp.ClientSession() as client, client.get(url) as answer:
                assert answer.status == status
                body = await answer.text()
    assert ("certificate" in body) == (status == 502)
