# shellcheck shell=bash
# Unix sockets beside the network's on one machine: unix/race, three times, and of each ratio the middle one. The ratio
# is that of the Unix stream to TCP loopback: of round trips (below 1: the Unix stream is faster) and of throughput
# (above 1: it is faster).
. tests/bench/measure.sh "$@"
race=$build/unix/race
sizes=64,4096,65536
milliseconds=$((seconds * 1000 / 4))
if [ "$milliseconds" -lt 20 ]; then milliseconds=20; fi

for run in 1 2 3; do
  "$race" --json --sizes $sizes --milliseconds "$milliseconds" >"$work/run$run" || exit 1
done
"$race" --no-bars --sizes $sizes --milliseconds "$milliseconds" || exit 1

# value RUN CONTESTANT SIZE NAME
value() { figure "$4" "$(grep "\"$2\", \"size\": $3," "$work/run$1")"; }

echo "Unix stream / TCP loopback, the middle of three runs"
printf '%-16s %12s %12s\n' 'message' 'round trip' 'throughput'
for size in ${sizes//,/ }; do
  for name in p50_us bytes_per_second; do
    for run in 1 2 3; do
      awk -v a="$(value $run tcp "$size" $name)" -v b="$(value $run unix-stream "$size" $name)" \
        'BEGIN { printf "%.2f\n", (a > 0 ? b / a : 0) }'
    done | middle
  done | paste - - | { read -r round_trip throughput && printf '%-16s %12s %12s\n' "$size bytes" "$round_trip" "$throughput"; }
done
