#!/usr/bin/env bash
# versitygw 1.8.0 (an S3 gateway, posix backend): CompleteMultipartUpload of an upload that was aborted answers 200 with an ETag,
# if an object of that key exists already. Nothing is written: the old object stays. The ETag is made of the request's parts, so
# it is the one that the client expects. Without an object of that key the answer is 404 NoSuchUpload, as S3's is in both cases.
#
# What it asks of a client: after completing, HEAD the object and compare size and ETag.
#
# Needs: Python 3.10 or later with venv, Go, PyPI and the Go module proxy. Takes one to three minutes.
# Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${gateway:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 2>go.log || { cat go.log; exit 1; }
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check boto3==1.43.17 botocore==1.43.17

cat >client.py <<'PY'
import sys

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client(
    "s3",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="user",
    aws_secret_access_key="password",
    config=Config(s3={"addressing_style": "path"}),
)
s3.create_bucket(Bucket="bucket")


def complete_after_abort(key):
    """Uploads one part, aborts, completes all the same; returns what the gateway answers."""
    upload = s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key=key, UploadId=upload, PartNumber=1, Body=b"new content")
    s3.abort_multipart_upload(Bucket="bucket", Key=key, UploadId=upload)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    try:
        answer = s3.complete_multipart_upload(Bucket="bucket", Key=key, UploadId=upload, MultipartUpload=parts)
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return f"{answer['ResponseMetadata']['HTTPStatusCode']} ETag {answer['ETag']}"


print("botocore", botocore.__version__)
absent = complete_after_abort("absent")
s3.put_object(Bucket="bucket", Key="present", Body=b"old content")
present = complete_after_abort("present")
content = s3.get_object(Bucket="bucket", Key="present")["Body"].read()
print("no object of that key:", absent)
print("an object of that key:", present)
print("the object afterwards:", content)
sys.exit(not (absent == "404 NoSuchUpload" and present.startswith("200 ETag") and content == b"old content"))
PY
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir data
ROOT_ACCESS_KEY=user ROOT_SECRET_KEY=password ./versitygw --port "127.0.0.1:$port" posix data >gateway.log 2>&1 &
gateway=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    kill -0 "$gateway" 2>/dev/null || { cat gateway.log; exit 1; }
    sleep 0.2
done
echo "versitygw 1.8.0 (go install github.com/versity/versitygw/cmd/versitygw@v1.8.0)"
venv/bin/python client.py "http://127.0.0.1:$port"
