#!/bin/sh
REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --user wearables --no-auth-warning ping | grep -q PONG
