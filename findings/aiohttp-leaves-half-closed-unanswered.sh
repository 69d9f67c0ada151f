#!/usr/bin/env bash
# aiohttp 3.14.5: a client that has sent its whole request and then closes its sending side (shutdown, as `nc -N` and some health
# checks do) gets no byte of an answer, though the handler runs to its end: a push takes effect, and its sender never hears of
# it. nginx 1.22.1 does likewise where it is a proxy and the side is closed while it waits for the answer (it logs 499), unless
# `proxy_ignore_client_abort` is on; where it serves files it answers. So does distribution 2.8.2.
#
# TCP lets one side end before the other; a server that takes this for a client that has left answers nobody. A check of `/v2/` that
# succeeds against the registry itself can fail through what stands in front of it, and more often the slower the answer is.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with nginx's libraries, Python 3 with venv, pip. Takes twenty seconds. Status 0: still so; 1:
# the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiohttp==3.14.5 >pip.log 2>&1 || { cat pip.log; exit 1; }

cat >serve.py <<'PY'
"""Answers GET /v2/ after a fifth of a second, and writes into ./handled that it did."""

import asyncio
import pathlib
import sys

from aiohttp import web


async def base(_request):
    await asyncio.sleep(0.2)
    with pathlib.Path("handled").open("a") as handled:
        handled.write("one\n")
    return web.json_response({})


app = web.Application()
app.router.add_get("/v2/", base)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PY
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
aiohttp=$(port) registry=$(port) files=$(port) proxy=$(port) patient=$(port)
mkdir -p files/v2
echo '{}' >files/v2/index.html
cat >nginx.conf <<NGINX
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}
http {
    log_format status '\$server_port \$status';
    access_log requests.log status;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    server { listen 127.0.0.1:$files; root files; }
    server { listen 127.0.0.1:$proxy; location / { proxy_pass http://127.0.0.1:$aiohttp; } }
    server { listen 127.0.0.1:$patient; location / { proxy_pass http://127.0.0.1:$aiohttp; proxy_ignore_client_abort on; } }
}
NGINX
cat >config.yml <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$registry"}
YAML
venv/bin/python serve.py "$aiohttp" >serve.log 2>&1 &
servers+=($!)
./usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
servers+=($!)
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
servers+=($!)

cat >ask.py <<'PY'
"""ask.py PORT [SECONDS]: the first line of the answer to GET /v2/; the client closes its sending side after SECONDS."""

import socket
import sys
import time

for _ in range(100):
    try:
        client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
client.settimeout(10)
client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry.example\r\nConnection: close\r\n\r\n")
if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
    client.shutdown(socket.SHUT_WR)
answer = b""
while piece := client.recv(65536):
    answer += piece
print(answer.partition(b"\r\n")[0].decode() or "nothing")
PY
so=true
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -E '^aiohttp '
./usr/sbin/nginx -v 2>&1
printf '%-36s %-20s %s\n' "" "whole connection" "half-closed"
compare() { # compare NAME PORT SECONDS EXPECTED: what it answers to either client; the second must get EXPECTED
    local whole half
    whole=$(python3 ask.py "$2")
    half=$(python3 ask.py "$2" "$3")
    printf '%-36s %-20s %s\n' "$1" "$whole" "$half"
    [ "$whole" = "HTTP/1.1 200 OK" ] && [ "$half" = "$4" ] || so=false
}
compare "distribution 2.8.2" "$registry" 0 "HTTP/1.1 200 OK"
compare "nginx, files" "$files" 0 "HTTP/1.1 200 OK"
compare "aiohttp" "$aiohttp" 0 nothing
sleep 0.5
handled=$(wc -l <handled)
# The same handler behind nginx, which must not know yet what to answer when the client closes: here after 0.05 of 0.2 seconds.
compare "nginx, proxy" "$proxy" 0.05 nothing
compare "nginx, proxy_ignore_client_abort on" "$patient" 0.05 "HTTP/1.1 200 OK"
sleep 0.2
echo "aiohttp's handler ran to its end $handled times of 2; nginx logged $(grep -c "^$proxy 499" requests.log) request with 499"
[ "$so" = true ] && [ "$handled" -eq 2 ] && [ "$(grep -c "^$proxy 499" requests.log)" -eq 1 ]
