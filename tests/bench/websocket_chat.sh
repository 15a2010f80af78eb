# shellcheck shell=bash
# What it costs to tell a room: websocket/chat_server with 1,000 and 10,000 members, beside the least that it could be,
# a send() of the same bytes to each member and nothing else. Both are measured turn about, three times each, and of
# each the best run is taken, since everything that disturbs a server makes it slower.
#
# A delivery is one line received by one member. The unit is deliveries per second of the server's own CPU time; those
# on the wall stand beside it, and how long a delivery took, from say to recv, with the members on the same machine.
. tests/bench/measure.sh "$@"
crowd=$build/tests/bench/chat_crowd

start "$build/websocket/chat_server" --port 0 --connections 20000 --members 20000 --rate 1000000
printf '%-28s %10s %12s %6s %12s %10s %10s\n' 'deliveries per CPU second' floor chat_server ratio 'on the wall' p50 p99
for case in "1000 1" "1000 16" "10000 1" "10000 4"; do
  read -r members in_flight <<<"$case"
  rm -f "$work/floor" "$work/server"
  for _ in 1 2 3; do
    "$crowd" --floor --members "$members" --in-flight "$in_flight" --seconds "$seconds" >"$work/result" || exit 1
    figure deliveries_per_cpu_second "$(cat "$work/result")" >>"$work/floor"
    "$crowd" --port "$port" --pid "$pid" --members "$members" --in-flight "$in_flight" --seconds "$seconds" \
      >"$work/result" || exit 1
    result=$(cat "$work/result")
    for name in deliveries_per_cpu_second deliveries_per_second p50_us p99_us; do figure $name "$result"; done |
      paste -d ' ' - - - - >>"$work/server"
  done
  floor=$(sort -n "$work/floor" | tail -n 1)
  read -r server wall p50 p99 <<<"$(sort -n "$work/server" | tail -n 1)"
  printf '%-28s %10s %12s %6s %12s %10s %10s\n' "$members members, $in_flight in flight" "$floor" "$server" \
    "$(awk -v a="$floor" -v b="$server" 'BEGIN { printf "%.2f", (a > 0 ? b / a : 0) }')" "$wall" \
    "$(awk -v t="$p50" 'BEGIN { printf "%.1f ms", t / 1000 }')" "$(awk -v t="$p99" 'BEGIN { printf "%.1f ms", t / 1000 }')"
done
