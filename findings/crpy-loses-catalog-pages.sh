#!/usr/bin/env bash
# crpy 0.4.0 (a client library on aiohttp): `list_repositories()` says in its documentation that it gets all pages. Of a catalog of
# three pages it gives out two, without an error: it does not follow `Link`, but makes the next address of a part of it, and what
# the last page holds is lost. A catalog of one page is listed well, and oras 1.3.6 lists all pages.
#
# So a script that cleans up, or copies, by such a list works on a part of the registry, and nothing says so.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Python 3.10 or later with venv, pip, Go, the Go module proxy. Takes one to two minutes.
# Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
GOBIN="$folder" CGO_ENABLED=0 go install oras.land/oras/cmd/oras@v1.3.6 2>go.log || { cat go.log; exit 1; }
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check crpy==0.4.0 aiohttp==3.14.5 >pip.log 2>&1 || { cat pip.log; exit 1; }
export DOCKER_CONFIG="$folder" HOME="$folder"
echo '{}' >config.json
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

serve() { # serve COUNT: sets `host`; a registry with so many repositories, five on a page
    local number
    host="127.0.0.1:$(port)"
    cat >"$host.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data-$host}}
http: {addr: "$host", relativeurls: true}
catalog: {maxentries: 5}
YAML
    ./usr/bin/docker-registry serve "$host.yml" >"$host.log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        curl -s -f -o /dev/null "http://$host/v2/" && break
        sleep 0.1
    done
    for number in $(seq -w "$1"); do
        ./oras push --plain-http "$host/app$number:1" config.json:application/json >push.log 2>&1 || { cat push.log; exit 1; }
    done
}

cat >ask.py <<'PY'
"""Prints how many repositories crpy lists."""

import asyncio
import sys

from crpy.registry import RegistryInfo

registry = RegistryInfo.from_url(f"http://{sys.argv[1]}/any:1")
names = asyncio.run(registry.list_repositories())
print(len(names), "names,", len(set(names)), "different")
PY
listed() { # listed COUNT: sets `crpy` and `oras`
    serve "$1"
    crpy=$(venv/bin/python ask.py "$host")
    oras=$(./oras repo ls --plain-http "$host" | wc -l)
    printf '%2s repositories, five on a page: crpy: %s; oras: %s names\n' "$1" "$crpy" "$oras"
}

venv/bin/pip list --disable-pip-version-check 2>/dev/null | grep -E '^crpy '
so=true
listed 4
[ "$crpy" = "4 names, 4 different" ] && [ "$oras" -eq 4 ] || so=false
listed 13
[ "$crpy" = "10 names, 10 different" ] && [ "$oras" -eq 13 ] || so=false
[ "$so" = true ]
