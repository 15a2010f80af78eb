# shellcheck shell=bash
# The speed of event_server, as ratios to the floor: tests/bench/floor_server.cpp, the least that an epoll server can do
# with the same bytes. Both are measured in the same run, turn about, seven times each. The ratio is the median of the
# seven pairs' ratios: on a machine that others use, too, it differs less from run to run than that of the two best.
#
# The unit is messages per second of the server's own CPU time, user and system, since time on the wall measures the
# machine and whoever else uses it. Messages per second on the wall stand beside it.
. tests/bench/measure.sh "$@"
floor=$build/tests/bench/floor_server
server=$build/websocket/event_server
load=$build/websocket/load

start "$floor"
floor_pid=$pid floor_port=$port
start "$server" --port 0 --connections 20000
server_pid=$pid server_port=$port

echo "Messages per second of the server's CPU time, beside the floor's with the same bytes"
printf '%-40s %12s %12s %7s %6s   %s\n' load floor event_server ratio aim 'on the wall, messages/s: floor, event_server'
# The median over the lines of figures of an expression in awk's language: of whole numbers whole, else to three places.
median() {
  awk "{ print $1 }" "$work/figures" | sort -n | awk '{ all[NR] = $1 } END { x = all[(NR + 1) / 2]; printf (x == int(x) ? "%d" : "%.3f"), x }'
}
compare() { # compare AIM CONNECTIONS IN_FLIGHT SIZE KIND
  local aim=$1 connections=$2 in_flight=$3 size=$4 kind=$5 a b
  local common=(--connections "$connections" --in-flight "$in_flight" --size "$size" --kind "$kind" --seconds "$seconds" --json)
  rm -f "$work/figures"
  for _ in 1 2 3 4 5 6 7; do
    a=$("$load" --port "$floor_port" --pid "$floor_pid" --tcp "${common[@]}") || return
    b=$("$load" --port "$server_port" --pid "$server_pid" "${common[@]}") || return
    echo "$(figure messages_per_server_cpu_second "$a") $(figure messages_per_server_cpu_second "$b")" \
      "$(figure messages_per_second "$a") $(figure messages_per_second "$b")" >>"$work/figures"
  done
  printf '%-40s %12s %12s %7s %6s   %s, %s\n' "$(printf '%s B %s, %s x %s' "$size" "$kind" "$connections" "$in_flight")" \
    "$(median \$1)" "$(median \$2)" "$(median \$2/\$1)" "$aim" "$(median \$3)" "$(median \$4)"
}
compare -    1   1  20 text
compare 0.95 100 1  20 text
compare -    100 1  20 binary
compare 0.95 100 64 20 text
compare -    100 64 20 binary
compare 0.80 100 64 125 text
compare -    100 64 125 binary
compare 0.90 100 1  16384 binary
compare 0.80 100 16 16384 binary
compare 0.60 100 16 16384 text
compare -    100 16 16384 korean
compare 0.75 1   4  1048576 binary
compare 0.75 100 4  1048576 binary
compare -    100 4  1048576 text

echo
echo "How long an answer takes with both ends on one CPU, in microseconds (20 B, one connection, one in flight)"
if command -v taskset >/dev/null; then
  for side in floor server; do
    if [ $side = floor ]; then pid=$floor_pid port=$floor_port tcp=--tcp; else pid=$server_pid port=$server_port tcp=; fi
    taskset -pc 0 "$pid" >/dev/null
    # shellcheck disable=SC2086  # no word where there is no option
    result=$(taskset -c 0 "$load" --port "$port" $tcp --seconds "$seconds" --json)
    printf '%-14s p50 %s, p99 %s\n' $side "$(figure p50_us "$result")" "$(figure p99_us "$result")"
    taskset -pc "0-$(($(getconf _NPROCESSORS_ONLN) - 1))" "$pid" >/dev/null
  done
else
  echo "not measured: there is no taskset here"
fi

echo
echo "Memory of the process for 10,000 idle connections (aim: 256 bytes each)"
if [ -r /proc/self/status ]; then
  start "$server" --port 0 --connections 20000
  rss() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
  "$load" --port "$port" --seconds 1 --in-flight 1 >/dev/null
  before=$(rss)
  "$load" --port "$port" --connections 10000 --in-flight 0 --seconds 4 >/dev/null &
  loader=$!
  most=$before
  while kill -0 $loader 2>/dev/null; do
    now=$(rss)
    [ "$now" -gt "$most" ] && most=$now
  done
  awk -v before="$before" -v most="$most" 'BEGIN { printf "%.0f bytes each (%d KiB before, %d KiB with them)\n", (most - before) * 1024 / 10000, before, most }'
else
  echo "not measured: there is no /proc here"
fi

echo
echo "The protocol layer alone"
"$build/tests/bench/protocol_bench"
