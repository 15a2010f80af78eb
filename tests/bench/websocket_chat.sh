# shellcheck shell=bash
# What it costs to tell a room: websocket/chat_server with 1,000 and 10,000 members, beside the least that it could be,
# a send() of the same bytes to each member and nothing else. Each is measured three times, and the best
# is taken, since everything that disturbs a server makes it slower. A room of 10,000 takes ten seconds until all are
# told who is here; that is waited for.
#
# A delivery is one line received by one member. The unit is deliveries per second of the server's own CPU time; those
# on the wall stand beside it, and how long a delivery took, from say to recv, with the members on the same machine.
. tests/bench/measure.sh "$@"
crowd=$build/tests/bench/chat_crowd

start "$build/websocket/chat_server" --port 0 --connections 20000 --members 20000 --rate 1000000
printf '%-28s %10s %12s %6s %12s %10s %10s\n' 'deliveries per CPU second' floor chat_server ratio 'on the wall' p50 p99
for case in "1000 1" "1000 16" "10000 1" "10000 4"; do
  read -r members in_flight <<<"$case"
  common=(--members "$members" --in-flight "$in_flight" --seconds "$seconds" --rounds 3)
  floor=$("$crowd" --floor "${common[@]}") || exit 1
  result=$("$crowd" --port "$port" --pid "$pid" "${common[@]}") || exit 1
  a=$(figure deliveries_per_cpu_second "$floor") b=$(figure deliveries_per_cpu_second "$result")
  milliseconds() { awk -v t="$(figure "$1" "$result")" 'BEGIN { printf "%.1f ms", t / 1000 }'; }
  printf '%-28s %10s %12s %6s %12s %10s %10s\n' "$members members, $in_flight in flight" "$a" "$b" \
    "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", (a > 0 ? b / a : 0) }')" \
    "$(figure deliveries_per_second "$result")" "$(milliseconds p50_us)" "$(milliseconds p99_us)"
done
