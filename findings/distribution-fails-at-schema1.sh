#!/usr/bin/env bash
# distribution 2.8.2, Debian's, with the defaults: PUT of a valid, signed manifest of schema 1 is answered 500, UNKNOWN, as if the
# registry had failed. It is only not enabled: with `compatibility: {schema1: {enabled: true}}` the same request is answered 201.
# A client takes 500 for a fault that may pass, and tries again: no answer of 4xx says what is wrong.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Python 3. Takes half a minute. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
# An empty layer as Docker 1.6 to 1.9 pushed it, and a manifest that names it, signed with a key that was made for it.
printf '\x1f\x8b\x08\x00\x00\x09\x6e\x88\x00\xff\x62\x18\x05\xa3\x60\x14\x8c\x58\x00\x08\x00\x00\xff\xff\x2e\xaf\xb5\xef\x00\x04\x00\x00' >layer
cat >manifest.json <<'JSON'
{
   "name": "app",
   "tag": "1",
   "architecture": "amd64",
   "fsLayers": [
      {
         "blobSum": "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
      }
   ],
   "history": [
      {
         "v1Compatibility": "{\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"created\":\"2015-01-01T00:00:00Z\",\"config\":{},\"architecture\":\"amd64\",\"os\":\"linux\"}"
      }
   ],
   "schemaVersion": 1,
   "signatures": [
      {
         "header": {
            "jwk": {
               "crv": "P-256",
               "kid": "FTQY:57UL:D6JF:TQRQ:D6JE:BLOJ:46VW:27IZ:AYXT:262K:HJKP:YSDI",
               "kty": "EC",
               "x": "cKF6vyzbgR6i-G2WGfdTvvxujKi2LPwiGztItsOdQxo",
               "y": "sQz11konDk8bKZsFpikP-2F-Vw2JPKIenW0s2muE9CQ"
            },
            "alg": "ES256"
         },
         "signature": "P30xvua8aWVWPFhrHj6DBUP4NQ9c0w5xw27nQ4kD2g95mK2nMzu8k2i3LP_UqhQtvSM5_TbzCB91BOsuXVROmA",
         "protected": "eyJmb3JtYXRMZW5ndGgiOjQ1OCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDI2LTAxLTAxVDAwOjAwOjAwWiJ9"
      }
   ]
}
JSON
truncate -s -1 manifest.json # the signature is of a document without the last line's end
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
base="http://127.0.0.1:$port"
digest=sha256:$(sha256sum layer | cut -d' ' -f1)

push() { # push SETTINGS: what PUT of the manifest is answered
    cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$port", relativeurls: true}
$1
YAML
    ./usr/bin/docker-registry serve config.yml >registry.log 2>&1 &
    registry=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "$base/v2/" && break
        sleep 0.1
    done
    local upload
    upload=$(curl -s -o /dev/null -D - -X POST "$base/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
    curl -s -f -X PUT --data-binary @layer -H "Content-Type: application/octet-stream" "$base$upload&digest=$digest"
    curl -s -o answer -w '%{http_code} ' -X PUT --data-binary @manifest.json \
        -H "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws" "$base/v2/app/manifests/1"
    tr -d '\n' <answer
    kill "$registry"
    wait "$registry" 2>/dev/null || true
}

./usr/bin/docker-registry --version
push "" >defaults
push "compatibility: {schema1: {enabled: true}}" >enabled
echo "defaults                               $(cat defaults)"
echo "compatibility.schema1.enabled: true    $(cat enabled)"
[ "$(cat defaults)" = '500 {"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{}}]}' ] && [ "$(cat enabled)" = "201 " ]
