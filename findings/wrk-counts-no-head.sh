#!/usr/bin/env bash
# wrk 4.1.0, Debian 12's: with `wrk.method = "HEAD"` it counts no request at all where the answer has a Content-Length, as HEAD of a blob
# must have: it waits for the body that the header announces, which RFC 9110, section 9.3.2, says does not come. Each connection
# sends one request and stands still until the time is over; then come "0 requests", no socket error, and status 0. GET
# of the same blob is counted, and ab 2.3 (`-i`) counts HEAD.
#
# HEAD of blobs is what a push asks most often, so it is what one measures first: a registry is not hung that looks so to wrk.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with the libraries of ab (libaprutil1), curl, Python 3. Takes ten seconds. Status 0: still so; 1:
# the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq wrk=4.1.0-3+b2 libluajit-5.1-2=2.1.0~beta3+git20220320+dfsg-4.1+deb12u1 apache2-utils=2.4.71-1~deb12u1 docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
for package in *.deb; do dpkg-deb -x "$package" .; done
host="127.0.0.1:$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')"
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "$host", relativeurls: true}
YAML
./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
registry=$!
for _ in $(seq 100); do
    curl -s -f -o /dev/null "http://$host/v2/" && break
    sleep 0.1
done
echo "a blob's bytes" >blob
digest=sha256:$(sha256sum blob | cut -d' ' -f1)
upload=$(curl -s -o /dev/null -D - -X POST "http://$host/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
curl -s -f -X PUT --data-binary @blob -H "Content-Type: application/octet-stream" "http://$host$upload&digest=$digest"
url="http://$host/v2/app/blobs/$digest"
echo 'wrk.method = "HEAD"' >head.lua

counted() { # counted METHOD COMMAND…: the requests that it counts, and those that the registry answered
    local status=0 before after
    before=$(grep -c "\"$1 /v2/app/blobs/sha256" registry.log || true)
    "${@:2}" >out.log 2>&1 || status=$?
    sleep 0.3
    after=$(grep -c "\"$1 /v2/app/blobs/sha256" registry.log || true)
    counted=$(sed -n -E 's/^ *([0-9]+) requests in .*/\1/p; s/^Complete requests: *([0-9]+)/\1/p' out.log)
    answered=$((after - before))
    errors=$(grep -c -E 'Socket errors|Failed requests: *[1-9]' out.log || true)
    echo "status $status, counts $counted requests, $errors lines of errors; the registry answered $answered"
    [ "$status" -eq 0 ] && [ "$errors" -eq 0 ]
}

export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu"
{ ./usr/bin/wrk -v || true; } | sed -n 1p
./usr/bin/ab -V | sed -n 1p
so=true
printf 'wrk, GET:  '
counted GET ./usr/bin/wrk -t 1 -c 2 -d 2s "$url" && [ "$counted" -gt 10 ] || so=false
printf 'wrk, HEAD: '
counted HEAD ./usr/bin/wrk -t 1 -c 2 -d 2s -s head.lua "$url" && [ "$counted" -eq 0 ] && [ "$answered" -eq 2 ] || so=false
printf 'ab, HEAD:  '
counted HEAD ./usr/bin/ab -q -i -k -c 2 -n 100 "$url" && [ "$counted" -eq 100 ] && [ "$answered" -eq 100 ] || so=false
[ "$so" = true ]
