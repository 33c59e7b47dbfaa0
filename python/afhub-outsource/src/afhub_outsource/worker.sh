#!/bin/bash
# One Spark worker as a batch job: worker.sh SPARK_HOME FOLDER MASTER_HOST MASTER_PORT CORES MEMORY_MB LOST_TIMEOUT_S
# Spark's own worker looks for a master that is gone for a quarter of an hour; this one leaves when nobody listens there any more.
set -u
spark=$1 folder=$2 host=$3 port=$4 cores=$5 memory=$6 limit=$7
scratch=${_CONDOR_SCRATCH_DIR:-$PWD}
# Its web page is on the loopback interface, and wants a key.
export SPARK_LOCAL_IP=127.0.0.1 SPARK_DAEMON_MEMORY=192m SPARK_LOCAL_DIRS=$scratch SPARK_CONF_DIR=$folder/conf SPARK_NO_DAEMONIZE=1
# It starts, and then has little to do.
quick="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
export SPARK_DAEMON_JAVA_OPTS=$quick SPARK_LAUNCHER_OPTS=$quick

"$spark/bin/spark-class" org.apache.spark.deploy.worker.Worker --host "$(hostname -f)" --port 0 --webui-port 0 --cores "$cores" \
  --memory "${memory}m" --work-dir "$scratch/work" --properties-file "$folder/daemons.conf" "spark://$host:$port" &
child=$!
trap 'kill "$child" 2>/dev/null' EXIT
trap 'exit 143' TERM INT

lost=0
while kill -0 "$child" 2>/dev/null; do
  sleep 5 &
  wait $!
  if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
    lost=0
  else
    lost=$((lost + 5))
  fi
  if [ "$lost" -ge "$limit" ]; then
    echo "The notebook's Spark master at $host:$port is gone for $lost s; this worker leaves." >&2
    exit 0
  fi
done
wait "$child"
