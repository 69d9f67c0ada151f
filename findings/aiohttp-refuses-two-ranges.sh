#!/usr/bin/env bash
# aiohttp 3.14.5: `web.FileResponse` says `Accept-Ranges: bytes`, and answers `Range: bytes=0-3,10-13` with 416 and
# `Content-Range: bytes */26`, although both ranges are in the file: by RFC 9110, section 15.5.17, 416 says that none is. A server
# that reads only one may pass over the header (200), and nginx 1.22.1 and distribution 2.8.2 send both (206,
# multipart/byteranges).
#
# Lazy pulls ask so (stargz-snapshotter, and the library of podman and CRI-O for zstd:chunked): with 200 they read the whole; 416
# the library takes for a failure and asks no more. So blobs served by aiohttp need parts of one's own, or no Accept-Ranges.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with nginx's libraries, curl, Python 3 with venv, pip. Takes twenty seconds. Status 0: still
# so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiohttp==3.14.5 >pip.log 2>&1 || { cat pip.log; exit 1; }

mkdir files
printf abcdefghijklmnopqrstuvwxyz >files/blob
digest=sha256:$(sha256sum files/blob | cut -d' ' -f1)
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
aiohttp=$(port) nginx=$(port) registry=$(port)
cat >serve.py <<'PY'
"""Serves ./files/blob by aiohttp."""

import sys

from aiohttp import web


async def blob(_request):
    return web.FileResponse("files/blob")


app = web.Application()
app.router.add_get("/blob", blob)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PY
cat >nginx.conf <<NGINX
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}
http {
    access_log off; default_type application/octet-stream;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    server { listen 127.0.0.1:$nginx; root files; }
}
NGINX
cat >config.yml <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$registry", relativeurls: true}
YAML
venv/bin/python serve.py "$aiohttp" >serve.log 2>&1 &
servers+=($!)
./usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
servers+=($!)
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
servers+=($!)
for port in "$aiohttp" "$nginx" "$registry"; do
    for _ in $(seq 100); do
        curl -s -o /dev/null "http://127.0.0.1:$port/" && break
        sleep 0.1
    done
done
upload=$(curl -s -o /dev/null -D - -X POST "http://127.0.0.1:$registry/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
curl -s -f -X PUT --data-binary @files/blob -H "Content-Type: application/octet-stream" \
    "http://127.0.0.1:$registry$upload&digest=$digest"

ask() { # ask URL RANGE: status, kind, Content-Range, and which of the two ranges are in the body
    local answer
    answer=$(curl -s -o received -w '%{http_code} %{content_type}' -D headers -H "Range: bytes=$2" "$1")
    echo "$answer, $(tr -d '\r' <headers | sed -n 's/^Content-Range: //p'), has: $(grep -a -o -E 'abcd|klmn' received | tr '\n' ' ' || true)"
}

one=$(ask "http://127.0.0.1:$aiohttp/blob" 0-3)
two=$(ask "http://127.0.0.1:$aiohttp/blob" 0-3,10-13)
by_nginx=$(ask "http://127.0.0.1:$nginx/blob" 0-3,10-13)
by_registry=$(ask "http://127.0.0.1:$registry/v2/app/blobs/$digest" 0-3,10-13)
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -E '^aiohttp '
echo "aiohttp, one range:    $one"
echo "aiohttp, two ranges:   $two"
echo "nginx, two ranges:     $by_nginx"
echo "2.8.2, two ranges:     $by_registry"
[[ "$one" = "206 application/octet-stream, bytes 0-3/26, has: abcd " ]] && [[ "$two" = "416 "*", bytes */26, has: " ]] &&
    [[ "$by_nginx" = "206 multipart/byteranges; "*", has: abcd klmn " ]] &&
    [[ "$by_registry" = "206 multipart/byteranges; "*", has: abcd klmn " ]]
