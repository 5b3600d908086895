#!/bin/sh
# Make the bucket and the account that may use it and nothing else; safe to run again.
set -eu
mc alias set lake http://minio:9000 root-of-the-lake "$(cat /run/secrets/minio_root_password)" >/dev/null
mc mb --ignore-existing lake/wearables
mc admin user add lake wearables "$(cat /run/secrets/lake_secret_key)"
mc admin policy create lake wearables /etc/wearables/policy.json
mc admin policy attach lake wearables --user wearables || mc admin policy entities lake --user wearables | grep -q wearables
# Parts of uploads that were begun and never finished; MinIO ends them after a day by itself (api stale_uploads_expiry).
mc admin config set lake api stale_uploads_expiry=24h >/dev/null
