#!/usr/bin/env bash
# nginx 1.22.1, Debian 12's: of an answer with X-Accel-Redirect it keeps `Accept-Ranges`, and adds its own for the file that it
# sends: a whole file has the header twice, also with `proxy_hide_header Accept-Ranges`; a part (206) has it once, and so has
# ETag, of which the file's replaces the upstream's.
#
# Two lines mean `bytes, bytes` (RFC 9110), so it is no error; a client that compares the value with `bytes` does without ranges.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with nginx's libraries, curl, Python 3. Takes ten seconds. Status 0: still so; 1: the behaviour
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${nginx:-}" "${upstream:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq nginx=1.22.1-9+deb12u11 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x nginx_*.deb .

cat >upstream.py <<'PY'
"""Sends nginx for a file: /with names ranges and an ETag of its own, /without does not."""

import http.server


class Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Accel-Redirect", "/files/digits")
        if self.path.endswith("/with"):
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", '"upstream"')
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 upstream.py >port &
upstream=$!
until [ -s port ]; do sleep 0.1; done
mkdir files
printf 0123456789 >files/digits
host="127.0.0.1:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
cat >nginx.conf <<CONF
daemon off;
master_process off;
pid $folder/pid;
error_log $folder/error.log;
events {}
http {
    access_log off;
    client_body_temp_path $folder/bodies;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen $host;
        location / { proxy_pass http://127.0.0.1:$(cat port); }
        location /hidden/ { proxy_pass http://127.0.0.1:$(cat port); proxy_hide_header Accept-Ranges; }
        location /files/ { internal; alias $folder/files/; }
    }
}
CONF
./usr/sbin/nginx -p "$folder" -c "$folder/nginx.conf" -e "$folder/error.log" 2>nginx.log &
nginx=$!
for _ in $(seq 100); do
    curl -s -o /dev/null "http://$host/without" && break
    sleep 0.1
done

asked() { # asked PATH [CURL'S OPTION]…: status, body, and how often some headers are there
    curl -s -D answer -o body "${@:2}" "http://$host$1"
    printf '%s %s:' "$(head -n 1 answer | cut -d' ' -f2)" "$(cat body)"
    for name in Accept-Ranges ETag Content-Length; do printf ' %s %s' "$name" "$(grep -ci "^$name:" answer)"; done
    grep -q upstream answer && printf " upstream's"
    echo
}

./usr/sbin/nginx -v 2>&1
without=$(asked /without)
with=$(asked /with)
part=$(asked /with -r 2-4)
hidden=$(asked /hidden/with)
echo "upstream without Accept-Ranges           $without"
echo "upstream with Accept-Ranges: bytes       $with"
echo "the same, Range: bytes=2-4               $part"
echo "the same, proxy_hide_header              $hidden"
rest="ETag 1 Content-Length 1"
[ "$without" = "200 0123456789: Accept-Ranges 1 $rest" ] && [ "$with" = "200 0123456789: Accept-Ranges 2 $rest" ] &&
    [ "$part" = "206 234: Accept-Ranges 1 $rest" ] && [ "$hidden" = "$with" ]
