#!/usr/bin/env bash
# aiohttp 3.14.5: `web.FileResponse` sends a strong ETag and `Accept-Ranges: bytes`, and takes no notice of that ETag in `If-Range`:
# of a file that has been replaced in the meantime, `Range: bytes=5-` with the old ETag is answered with a part (206) of the new
# one, where RFC 9110, section 13.1.5, asks for the whole (200). A client that joins the two has neither file. A date in
# `If-Range` is understood, and so is the ETag in `If-None-Match` and `If-Match`; nginx 1.22.1 answers 200.
#
# Blobs never change, but what is exported or listed beside them under a name does: whoever serves it so must compare by himself.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with nginx's libraries, curl, Python 3 with venv, pip. Takes twenty seconds. Status 0: still
# so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x nginx_*.deb .
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check aiohttp==3.14.5 >pip.log 2>&1 || { cat pip.log; exit 1; }

cat >serve.py <<'PY'
"""Serves ./files/export by aiohttp."""

import sys

from aiohttp import web


async def export(_request):
    return web.FileResponse("files/export")


app = web.Application()
app.router.add_get("/export", export)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
PY
cat >nginx.conf <<'NGINX'
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}
http {
    access_log off; default_type application/octet-stream;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    server { listen 127.0.0.1:PORT; root files; }
}
NGINX
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
aiohttp=$(port) nginx=$(port)
sed -i "s/PORT/$nginx/" nginx.conf
venv/bin/python serve.py "$aiohttp" >serve.log 2>&1 &
servers+=($!)
./usr/sbin/nginx -p "$folder" -c nginx.conf -e error.log &
servers+=($!)
mkdir files
printf aaaaaaaaaa >files/export
for port in "$aiohttp" "$nginx"; do
    for _ in $(seq 100); do
        curl -s -o /dev/null "http://127.0.0.1:$port/export" && break
        sleep 0.1
    done
done

rest() { # rest PORT HEADER: status and body of what a client gets that has five bytes
    curl -s -w ' %{http_code}' -H 'Range: bytes=5-' -H "$2" "http://127.0.0.1:$1/export"
}
etag() { curl -s -o /dev/null -D - "http://127.0.0.1:$1/export" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p'; }

of_aiohttp=$(etag "$aiohttp") of_nginx=$(etag "$nginx")
same=$(rest "$aiohttp" "If-Range: $of_aiohttp")
printf bbbbbbbbbbbb >files/new
touch -d '10 seconds' files/new
mv files/new files/export
other=$(rest "$aiohttp" "If-Range: $of_aiohttp")
date=$(rest "$aiohttp" "If-Range: Thu, 01 Jan 2015 00:00:00 GMT")
match=$(curl -s -o /dev/null -w '%{http_code}' -H "If-Match: $of_aiohttp" "http://127.0.0.1:$aiohttp/export")
by_nginx=$(rest "$nginx" "If-Range: $of_nginx")
venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -E '^aiohttp '
echo "bytes=5- of aaaaaaaaaa, If-Range: its ETag $of_aiohttp        $same"
echo "replaced by bbbbbbbbbbbb:"
echo "bytes=5-, If-Range: the old ETag                              $other"
echo "bytes=5-, If-Range: an old date                               $date"
echo "If-Match: the old ETag                                        $match"
echo "bytes=5-, If-Range: the old ETag, nginx                       $by_nginx"
[ "$same" = "aaaaa 206" ] && [ "$other" = "bbbbbbb 206" ] && [ "$date" = "bbbbbbbbbbbb 200" ] && [ "$match" = 412 ] &&
    [ "$by_nginx" = "bbbbbbbbbbbb 200" ] && [[ "$of_aiohttp" == '"'* ]]
