#!/bin/sh
# The bridge's account is let in and its subscription granted: the broker turns and has its accounts. Under another client
# id, so that the bridge keeps its session.
exec mosquitto_sub -h 127.0.0.1 -i "healthcheck-$$" -u wearables.bridge -P "$(cat /run/secrets/mqtt_bridge_password)" \
    -t 'wearables/v1/+/status' -E
