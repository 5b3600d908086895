#!/bin/sh
# Format the log at the first start, with the two accounts, then run the broker. Passwords come from files; what is made of
# them is in the container's own /tmp.
set -eu
umask 077
client=$(cat /run/secrets/kafka_client_password)
broker=$(cat /run/secrets/kafka_broker_password)
properties=/tmp/server.properties
module=org.apache.kafka.common.security.scram.ScramLoginModule
{
    cat /etc/wearables/server.properties
    echo "advertised.listeners=CLIENT://$KAFKA_HOST:9092"
    echo "listener.name.client.scram-sha-512.sasl.jaas.config=$module required username=\"broker\" password=\"$broker\";"
} >"$properties"
# What the health check logs in with.
{
    echo "security.protocol=SASL_PLAINTEXT"
    echo "sasl.mechanism=SCRAM-SHA-512"
    echo "sasl.jaas.config=$module required username=\"wearables\" password=\"$client\";"
} >/tmp/client.properties
# It prints what it made of the passwords.
if [ ! -e /var/lib/kafka/data/log/meta.properties ]; then
    /opt/kafka/bin/kafka-storage.sh format --config "$properties" \
        --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" \
        --add-scram "SCRAM-SHA-512=[name=broker,password=$broker]" \
        --add-scram "SCRAM-SHA-512=[name=wearables,password=$client]" >/dev/null
fi
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
