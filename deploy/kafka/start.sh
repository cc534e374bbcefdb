#!/usr/bin/env bash
# Start the broker of docker-compose.yaml with the user that clients log in as. The image formats a new folder by itself,
# but without users, so even the node could not log in to its own listener. The password (BROKER_PASSWORD) is passed in
# files that only this user can read: command lines are visible to everybody on the machine.
set -euo pipefail
umask 077

home=${KAFKA_HOME:-/opt/kafka}
own=${BROKER_FILES:-/tmp/broker}
user_created=$KAFKA_LOG_DIRS/scram-user-created # next to the data that it describes
mkdir -p "$own"

# what clients of this container need, the health check among them
cat >"$own/client.properties" <<END
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="pipeline" password="$BROKER_PASSWORD";
END

# the node as it was before it required a password, on this container's loopback only
cat >"$own/open.properties" <<END
process.roles=$KAFKA_PROCESS_ROLES
node.id=$KAFKA_NODE_ID
controller.quorum.voters=$KAFKA_CONTROLLER_QUORUM_VOTERS
listeners=OPEN://127.0.0.1:${BROKER_OPEN_PORT:-29092},$(grep -o 'CONTROLLER:[^,]*' <<<"$KAFKA_LISTENERS")
advertised.listeners=OPEN://127.0.0.1:${BROKER_OPEN_PORT:-29092}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=OPEN
controller.listener.names=CONTROLLER
log.dirs=$KAFKA_LOG_DIRS
offsets.topic.replication.factor=1
END

if [ ! -e "$KAFKA_LOG_DIRS/meta.properties" ]; then
  printf '%s\n' --add-scram "SCRAM-SHA-512=[name=pipeline,password=$BROKER_PASSWORD]" >"$own/arguments"
  "$home/bin/kafka-storage.sh" format --cluster-id "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" \
    --config "$own/open.properties" "@$own/arguments"
  rm "$own/arguments"
elif [ ! -e "$user_created" ]; then
  echo "this folder predates the broker's password: creating its user first"
  printf 'SCRAM-SHA-512=iterations=8192,password=%s\n' "$BROKER_PASSWORD" >"$own/user.properties"
  "$home/bin/kafka-server-start.sh" "$own/open.properties" &
  opened=$!
  for _ in $(seq 100); do
    # its errors would repeat the password
    if "$home/bin/kafka-configs.sh" --bootstrap-server "127.0.0.1:${BROKER_OPEN_PORT:-29092}" --alter \
      --entity-type users --entity-name pipeline --add-config-file "$own/user.properties" >/dev/null 2>&1; then
      created=yes
      break
    fi
    sleep 1
  done
  kill "$opened" && wait "$opened" || true
  rm "$own/user.properties"
  [ "${created:-no}" = yes ] || { echo "the broker's user could not be created" >&2; exit 1; }
fi
touch "$user_created"
exec "${BROKER_RUN:-/etc/kafka/docker/run}"
