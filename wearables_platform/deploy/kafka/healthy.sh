#!/bin/sh
# A client logs in and is told what the broker speaks.
exec /opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server "$KAFKA_HOST:9092" \
    --command-config /tmp/client.properties >/dev/null
