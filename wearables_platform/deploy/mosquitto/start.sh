#!/bin/sh
# Run mosquitto, and let it read its accounts again when they change: it does so at SIGHUP, and whoever enrols a device is
# in another container and cannot send one.
set -eu
accounts=/mosquitto/accounts
LOOK_EVERY_S=2

state() { cat "$accounts/passwords" "$accounts/access" | cksum; }

seen=$(state)
mosquitto -c /etc/wearables/mosquitto.conf &
broker=$!
trap 'kill -TERM "$broker"' TERM INT
while kill -0 "$broker" 2>/dev/null; do
    sleep "$LOOK_EVERY_S" &
    wait $! || true
    now=$(state)
    if [ "$now" != "$seen" ]; then
        kill -HUP "$broker"
        seen=$now
    fi
done
wait "$broker"
