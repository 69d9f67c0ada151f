#!/usr/bin/env bash
# aiohttp 3.14.5: the client's `headers` have the names that aiohttp knows in its own spelling, not as they came: `Www-Authenticate`
# of a server in Go becomes `WWW-Authenticate`, and `ETag`, as RFC 9110 writes it, becomes `Etag`; `X-OWN` stays. So a proxy that
# passes them on changes them. Only the C parser does this: with AIOHTTP_NO_EXTENSIONS=1 they stay as they came, and so they do in
# `raw_headers`. Names are the same in any case (RFC 9110, section 5.1), but what compares bytes sees two answers.
#
# Needs: Python 3.10 or later, PyPI. Takes some seconds. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiohttp==3.14.5 multidict==7.2.1

cat >ask.py <<'PY'
import asyncio
import sys

import aiohttp

NAMES = ["Www-Authenticate", "ETag", "CONTENT-LENGTH", "X-OWN"]
ANSWER = "HTTP/1.1 401 Unauthorized\r\n" + "".join(f"{name}: 0\r\n" for name in NAMES) + "\r\n"


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER.encode())
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/") as response:
        names = response.headers if sys.argv[1] == "headers" else (name.decode() for name, _ in response.raw_headers)
        print(" ".join(names))
    server.close()


asyncio.run(main())
PY
compiled=$(venv/bin/python ask.py headers)
pure=$(AIOHTTP_NO_EXTENSIONS=1 venv/bin/python ask.py headers)
raw=$(venv/bin/python ask.py raw_headers)
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep aiohttp
echo "as sent:                Www-Authenticate ETag CONTENT-LENGTH X-OWN"
echo "headers, C parser:      $compiled"
echo "headers, Python parser: $pure"
echo "raw_headers, C parser:  $raw"
[ "$compiled" = "WWW-Authenticate Etag Content-Length X-OWN" ] && [ "$pure" = "Www-Authenticate ETag CONTENT-LENGTH X-OWN" ] &&
    [ "$raw" = "$pure" ]
