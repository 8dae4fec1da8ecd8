#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a small real Kafka (KRaft, no ZooKeeper) for tests.
#
#   kafka.sh start  DIR PORT [NODES]   start the nodes that do not run yet; returns when all are ready
#   kafka.sh stop   DIR PORT           stop all nodes of DIR cleanly (data stays)
#   kafka.sh status DIR PORT           one line per node: up/down, pid, resident memory
#
# Node i (1..NODES) lives in DIR/node<i> with its pid in DIR/node<i>/pid and its log in DIR/node<i>/log.
# It listens on 127.0.0.1: clients PORT+10*(i-1), controller the port after that. To crash a node, kill -9
# its pid and call start again; that takes 12 s, because the dead node's registration has to expire (less with
# KAFKA_EXTRA="broker.session.timeout.ms=2000"). Environment (all optional):
#   KAFKA_CACHE       where jars, class archive and format template are kept  [~/.cache/tutti-kafka]
#   KAFKA_HEAP        heap of one node                                        [256m]
#   KAFKA_PROXY_PORT  also listen on PORT+2 and advertise this port there (node i: +10*(i-1)): put a proxy
#                     between it and that listener, and give clients the proxy's address
#   KAFKA_EXTRA       more lines for server.properties
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/kafka/pom.xml")
cache=${KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti-kafka}/$version
cluster=tuttituttituttituttiAA # any 16 bytes in base64url

usage() { sed -n '3,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2; }
say() { echo "kafka.sh: $*" >&2; }
classpath() { printf '%s:' "$cache"/libs/*.jar; }
running() { # directory: is its pid alive, and still ours? (pids are reused; a zombie has no command line)
    [[ -s $1/pid ]] && grep -qaF "$1/server.properties" "/proc/$(<"$1/pid")/cmdline" 2>/dev/null
}

# A node's whole configuration. Small internal topics and no initial rebalance delay make it quick;
# everything else is Kafka's default, so that tests see production semantics.
properties() { # node port nodes directory
    local i rf=$(($3 < 3 ? $3 : 3)) voters= port=$2 names=PLAINTEXT,CONTROLLER
    local at=PLAINTEXT://127.0.0.1:$port map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CUT:PLAINTEXT
    local first=$((port - 10 * ($1 - 1))) listen
    for ((i = 1; i <= $3; i++)); do voters+=${voters:+,}$i@127.0.0.1:$((first + 10 * (i - 1) + 1)); done
    listen=$at,CONTROLLER://127.0.0.1:$((port + 1))
    if [[ ${KAFKA_PROXY_PORT:-} ]]; then
        listen+=,CUT://127.0.0.1:$((port + 2))
        at+=,CUT://127.0.0.1:$((KAFKA_PROXY_PORT + 10 * ($1 - 1)))
    fi
    cat <<-P
	process.roles=broker,controller
	node.id=$1
	controller.quorum.voters=$voters
	controller.listener.names=CONTROLLER
	inter.broker.listener.name=PLAINTEXT
	listeners=$listen
	advertised.listeners=$at
	listener.security.protocol.map=$map
	log.dirs=$4/data
	offsets.topic.num.partitions=4
	offsets.topic.replication.factor=$rf
	transaction.state.log.num.partitions=4
	transaction.state.log.replication.factor=$rf
	transaction.state.log.min.isr=$((rf > 1 ? 2 : 1))
	share.coordinator.state.topic.replication.factor=$rf
	share.coordinator.state.topic.min.isr=1
	default.replication.factor=$rf
	min.insync.replicas=$((rf > 1 ? 2 : 1))
	num.partitions=4
	group.initial.rebalance.delay.ms=0
	log.cleaner.dedupe.buffer.size=8388608
	num.network.threads=2
	num.io.threads=4
	${KAFKA_EXTRA:-}
	P
}

jvm() { # directory archive-flag: replaces this shell by a broker
    exec java -Xms64m -Xmx"${KAFKA_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=${KAFKA_TIER:-1} \
        -Xshare:auto "$2" -Xlog:cds=off -Xlog:cds+dynamic=off -XX:-UsePerfData \
        -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -Dlog4j2.disable.jmx=true -Dkafka.logs.dir="$1" \
        -cp "$(classpath)" kafka.Kafka "$1/server.properties"
}

launch() { # directory archive-flag
    : >"$1/log"
    (jvm "$@") >>"$1/log" 2>&1 </dev/null &
    echo $! >"$1/pid"
}

await() { # directory
    local tick
    for ((tick = 0; tick < 600; tick++)); do
        grep -q 'Kafka Server started' "$1/log" && return
        ((tick < 20)) || running "$1" || { tail -5 "$1/log" >&2; say "node in $1 died"; return 1; }
        sleep 0.05
    done
    say "node in $1 not ready after 30 s"; return 1
}

halt() { # directory
    local tick
    running "$1" || { rm -f "$1/pid"; return 0; }
    kill "$(<"$1/pid")"
    for ((tick = 0; tick < 300; tick++)); do running "$1" || break; sleep 0.1; done
    running "$1" && kill -9 "$(<"$1/pid")"
    rm -f "$1/pid"
}

# Formatting without a JVM: the checkpoint with the feature levels is the same for every node.
format() { # node directory
    [[ -e $2/data/meta.properties ]] && return
    mkdir -p "$2/data"
    cp "$cache/bootstrap.checkpoint" "$2/data/"
    printf 'version=1\ncluster.id=%s\nnode.id=%s\ndirectory.id=%s\n' "$cluster" "$1" \
        "$(head -c16 /dev/urandom | base64 | tr -d '=' | tr '+/' 'xy')" >"$2/data/meta.properties"
}

# Once per machine: fetch the jars, let Kafka's own tool make the checkpoint, and run a broker once to
# archive its loaded classes (class data sharing halves the start-up time).
prepare() { # port
    local d=$cache/prime
    [[ -e $cache/ready ]] && return
    mkdir -p "$cache/libs" "$d"
    say "fetching Kafka $version (once)"
    [[ -e $cache/libs/kafka_2.13-$version.jar ]] || mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$cache/libs" >&2
    properties 1 "$1" 1 "$d" >"$d/server.properties"
    java -cp "$(classpath)" -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" kafka.tools.StorageTool \
        format -t "$cluster" -c "$d/server.properties" >&2
    cp "$d/data/bootstrap.checkpoint" "$cache/"
    launch "$d" -XX:ArchiveClassesAtExit="$cache/classes.jsa"
    await "$d" && sleep 1 && halt "$d"
    rm -rf "$d"; touch "$cache/ready"
}

start() {
    local i d
    prepare "$port"
    for ((i = 1; i <= nodes; i++)); do
        d=$dir/node$i; running "$d" && continue
        mkdir -p "$d"
        properties "$i" $((port + 10 * (i - 1))) "$nodes" "$d" >"$d/server.properties"
        format "$i" "$d"
        launch "$d" -XX:SharedArchiveFile="$cache/classes.jsa"
    done
    for ((i = 1; i <= nodes; i++)); do await "$dir/node$i"; done
}

[[ $# -ge 3 ]] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd) port=$3 nodes=${4:-1}
case $1 in
start) start ;;
stop) for d in "$dir"/node*; do halt "$d" & done; wait ;;
status)
    for d in "$dir"/node*; do
        if running "$d"; then
            p=$(<"$d/pid"); echo "${d##*/} up pid=$p rss_kb=$(awk '/VmRSS/{print $2}' "/proc/$p/status")"
        else echo "${d##*/} down"; fi
    done ;;
*) usage ;;
esac
