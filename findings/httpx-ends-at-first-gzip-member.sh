#!/usr/bin/env bash
# httpx 0.28.1: of a body with `Content-Encoding: gzip` that is two gzip members, one after the other, it gives out the first and
# throws the rest away, without an error. GNU Wget 1.21.3 does so too, with status 0. By RFC 1952, section 2.2, several members are one
# valid gzip file: `cat a.gz b.gz`, bgzip and eStargz make such. aiohttp 3.14.5, requests 2.34.2 and Go read both; curl 7.88.1
# writes the first and ends with status 23.
#
# So a list of tags or an SBOM that is kept packed (nginx's `gzip_static`, an object with that encoding) and was packed in pieces
# is short for some clients, who are told nothing: Content-Length fits, and status is 200.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with the libraries of wget and curl, Python 3 with venv, pip, Go. Takes half a minute.
# Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq wget=1.21.3-1+deb12u1 curl=7.88.1-10+deb12u15 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check httpx==0.28.1 aiohttp==3.14.5 requests==2.34.2 >pip.log 2>&1 || { cat pip.log; exit 1; }

cat >serve.py <<'PY'
"""Serves 200 names, one a line, of which each hundred is a gzip member."""

import gzip
import http.server

names = [f"team/app-{number}\n".encode() for number in range(200)]
BODY = gzip.compress(b"".join(names[:100])) + gzip.compress(b"".join(names[100:]))


class Packed(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Packed)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 serve.py >port &
server=$!
until [ -s port ]; do sleep 0.1; done
url="http://127.0.0.1:$(cat port)/names"

cat >with_httpx.py <<'PY'
import sys

import httpx

answer = httpx.get(sys.argv[1], trust_env=False)
answer.raise_for_status()
sys.stdout.write(answer.text)
PY
cat >with_requests.py <<'PY'
import sys

import requests

answer = requests.get(sys.argv[1], timeout=10)
answer.raise_for_status()
sys.stdout.write(answer.text)
PY
cat >with_aiohttp.py <<'PY'
import asyncio
import sys

import aiohttp


async def main():
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(sys.argv[1]) as answer:
        sys.stdout.write(await answer.text())


asyncio.run(main())
PY
cat >with_go.go <<'GO'
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err == nil {
		_, err = io.Copy(os.Stdout, answer.Body)
	}
	if err != nil {
		panic(err)
	}
}
GO
CGO_ENABLED=0 go build -o with_go with_go.go

read_by() { # read_by COMMAND…: its status, and how many names it gives out
    local status=0
    "$@" >names 2>error.log || status=$?
    echo "status $status, $(wc -l <names) of 200 names"
}

by_httpx=$(read_by venv/bin/python with_httpx.py "$url")
by_wget=$(read_by ./usr/bin/wget --no-config --no-proxy -q --compression=auto -O - "$url")
by_curl=$(read_by ./usr/bin/curl -q -s --compressed "$url")
by_requests=$(read_by venv/bin/python with_requests.py "$url")
by_aiohttp=$(read_by venv/bin/python with_aiohttp.py "$url")
by_go=$(read_by ./with_go "$url")
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -E '^(httpx|requests|aiohttp) '
./usr/bin/wget --version | sed -n 1p
./usr/bin/curl --version | sed -n '1s/ (.*//p'
echo "httpx:    $by_httpx"
echo "wget:     $by_wget"
echo "curl:     $by_curl"
echo "requests: $by_requests"
echo "aiohttp:  $by_aiohttp"
echo "Go:       $by_go"
[ "$by_httpx" = "status 0, 100 of 200 names" ] && [ "$by_wget" = "$by_httpx" ] && [ "$by_curl" = "status 23, 100 of 200 names" ] &&
    [ "$by_requests" = "status 0, 200 of 200 names" ] && [ "$by_aiohttp" = "$by_requests" ] && [ "$by_go" = "$by_requests" ]
