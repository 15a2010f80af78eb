# shellcheck shell=bash
# Datagrams by one call each, by one call for many, and as segments of one: udp/batch_sender to udp/batch_receiver on
# loopback, all three turn about, five times. Compared is what a second of CPU time is good for, on each side, since
# time on the wall measures the machine and whoever else uses it; of each the best run, since all that disturbs makes
# slower. The ratio is that to `single` (above 1: better). The receiver's buffer is large (as root; else what
# net.core.rmem_max allows), and yet the sender may be faster: what is lost was sent, but not received.
. tests/bench/measure.sh "$@"
start "$build/udp/batch_receiver" --port 0 --buffer 16000000

best() { sort -n | tail -n 1; }
sum() { awk '{ all += $1 } END { print all + 0 }'; }
for size in 64 1200; do
  rm -f "$work"/*.json
  for _ in 1 2 3 4 5; do
    "$build/udp/batch_sender" --port "$port" --all --json --size $size --count 400000 --seconds "$seconds" \
      >>"$work/runs.json" || exit 1
  done
  printf '%s bytes in each\n' $size
  printf '%-10s %16s %8s %20s %8s %14s %8s\n' way 'sent/CPU-second' ratio 'received/CPU-second' ratio 'sent/s (wall)' lost
  for way in single batch segment; do
    grep "\"way\": \"$way\"" "$work/runs.json" >"$work/$way.json" || continue
    each() { while read -r line; do figure "$1" "$line"; done <"$work/$way.json"; }
    sent=$(each sent_per_cpu_second | best)
    received=$(each received_per_cpu_second | best)
    [ $way = single ] && first_sent=$sent first_received=$received
    awk -v way=$way -v sent="$sent" -v received="$received" -v fs="$first_sent" -v fr="$first_received" \
      -v wall="$(each per_second | best)" -v all="$(each sent | sum)" \
      -v arrived="$(each received | sum)" \
      'function part(value, of) { return of ? value / of : 0 }
       BEGIN { printf "%-10s %16s %8.2f %20s %8.2f %14s %7.1f%%\n", way, sent, part(sent, fs), received,
               part(received, fr), wall, 100 * part(all - arrived, all) }'
  done
  echo
done
