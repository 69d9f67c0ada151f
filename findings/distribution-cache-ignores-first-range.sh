#!/usr/bin/env bash
# distribution 2.8.2 and 3.1.2 as a cache of another registry (`proxy.remoteurl`): of a blob that it does not have yet, whatever part
# is asked for, it sends the whole: `Range: bytes=0-99` of 8 MB is 200 with 8 MB, and `If-None-Match` with the blob's own digest 200
# with 8 MB as well. Once it has the blob, the same requests are 206 with 100 bytes and 304. The registry behind it answers so from
# the first.
#
# So lazy pulls (eStargz, zstd:chunked, SOCI) through a cold cache read whole layers, once for each range that is asked before the
# first copy is done; and a client that goes on with a pull that broke off begins it anew.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the
# behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
export OTEL_TRACES_EXPORTER=none
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

serve() { # serve PROGRAM LINE: sets `base`; a registry with this line more in its settings
    local at
    at=$(port)
    base="http://127.0.0.1:$at"
    cat >"$at.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data-$at}}
http: {addr: "127.0.0.1:$at", relativeurls: true}
$2
YAML
    "$1" serve "$at.yml" >"$at.log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        curl -s -f -o /dev/null "$base/v2/" && break
        sleep 0.1
    done
}

size=8000000
pushed() { # pushed: pushes a blob that nobody has yet, and prints its digest
    local digest upload
    head -c "$size" /dev/urandom >blob
    digest=sha256:$(sha256sum blob | cut -d' ' -f1)
    upload=$(curl -s -o /dev/null -D - -X POST "$behind/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
    curl -s -f -X PUT --data-binary @blob -H "Content-Type: application/octet-stream" "$behind$upload&digest=$digest"
    echo "$digest"
}

ask() { # ask BASE DIGEST HEADER: status and bytes of the body
    curl -s -o /dev/null -w '%{http_code}, %{size_download} bytes' -H "$3" "$1/v2/app/blobs/$2"
}

settled() { # settled DIGEST: waits until the cache has the blob
    for _ in $(seq 100); do
        [ "$(ask "$base" "$1" "Range: bytes=0-99")" = "206, 100 bytes" ] && return
        sleep 0.1
    done
}

serve ./usr/bin/docker-registry ""
behind=$base
so=true
for program in ./usr/bin/docker-registry ./registry; do
    serve "$program" "proxy: {remoteurl: \"$behind\"}"
    one=$(pushed) two=$(pushed)
    direct=$(ask "$behind" "$one" "Range: bytes=0-99")
    direct_match=$(ask "$behind" "$two" "If-None-Match: \"$two\"")
    cold=$(ask "$base" "$one" "Range: bytes=0-99")
    cold_match=$(ask "$base" "$two" "If-None-Match: \"$two\"")
    settled "$one"
    settled "$two"
    warm=$(ask "$base" "$one" "Range: bytes=0-99")
    warm_match=$(ask "$base" "$two" "If-None-Match: \"$two\"")
    "$program" --version
    printf '%-22s %-24s %s\n' "" "Range: bytes=0-99" "If-None-Match: its digest" "the registry itself" "$direct" "$direct_match" \
        "its cache, at first" "$cold" "$cold_match" "its cache, later" "$warm" "$warm_match"
    [ "$direct" = "206, 100 bytes" ] && [ "$cold" = "200, $size bytes" ] && [ "$warm" = "206, 100 bytes" ] || so=false
    [ "$direct_match" = "304, 0 bytes" ] && [ "$cold_match" = "200, $size bytes" ] && [ "$warm_match" = "304, 0 bytes" ] || so=false
done
[ "$so" = true ]
