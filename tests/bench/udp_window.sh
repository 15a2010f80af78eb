# shellcheck shell=bash
# A file sent by udp/window and by udp/stop_and_wait through udp/trouble, at losses of 0 to 30 per cent (each way) and delays
# of 0 to 50 ms (each way): KB/s of each, how many times as fast the window is, and beside them what theory says. "As TCP"
# is the window with --least-window 1: it gets as small as TCP's.
#
# Each figure is of one run, and the losses of both are those of the same seed. A file is as large as theory says that it
# takes SECONDS; a run that takes ten times as long is ended, and counts with what it did not do as 0.
#
# Theory, with L = 1200 bytes, RTT = twice the delay, p the loss of one way:
#   stop and wait   a piece or its acknowledgement is lost with q = 1 - (1 - p)^2, and each loss costs the time-out T:
#                   L / (RTT + T * q / (1 - q))
#   TCP             Mathis, Semke, Mahdavi, Ott, "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm", ACM
#                   CCR 27(3), 1997: L / RTT * sqrt(3/2) / sqrt(p). It knows no time-outs and no limit by a receiver: so it
#                   says nothing where p is 0 (there it is the window of 64 pieces for each RTT), and too much where p is
#                   above some per cent.
# Where the delay is 0 there is no RTT but what the programs and the kernel take: theory is silent.
. tests/bench/measure.sh "$@"
mkdir "$work/files"
piece=1200

calculated() { awk "BEGIN { $1 }"; }

# run PAIR LOSS DELAY SIZE OPTION...: leaves KB/s through a network of its own in $rate
run() {
  local pair=$1 loss=$2 delay=$3 size=$4
  shift 4
  start "$build/udp/${pair}_receiver" --folder "$work/files" --overwrite --upload 1000000000 --port 0
  local receiver=$pid
  start "$build/udp/trouble" --quiet --drop "$loss" --delay "$delay" --to "127.0.0.1:$port" --port 0
  local network=$pid
  head -c "$size" /dev/zero >"$work/sent"
  local said
  said=$(timeout $((10 * seconds + 10)) "$build/udp/${pair}_sender" "$work/sent" --port "$port" "$@" 2>/dev/null)
  kill "$receiver" "$network"
  wait "$receiver" "$network" 2>/dev/null
  said=${said##* s, }
  rate=${said%% KB/s*}
  rate=${rate:-0}
}

row='%5s %5s | %13s %7s | %9s %6s | %9s %7s\n'
# shellcheck disable=SC2059  # one format for all rows
print_row() { printf "$row" "$@"; }
print_row loss delay 'stop and wait' theory window ratio 'as TCP' theory
print_row % ms KB/s KB/s KB/s times KB/s KB/s
for delay in 0 10 50; do
  for loss in 0 1 3 10 30; do
    timeout=$((2 * delay + 50))  # as short as an RTT allows, so that the waiting for what is lost is the least
    slow=$(calculated "p = $loss / 100; q = 1 - (1 - p) ^ 2; r = $delay / 500 + 0.0002; print $piece / (r + $timeout / 1000 * q / (1 - q)) / 1000")
    fast=$(calculated "p = $loss / 100; r = $delay / 500 + 0.0002; w = p > 0 ? sqrt(1.5 / p) : 64; if (w > 64) w = 64; print w * $piece / r / 1000")
    # The window is given no more than 20 MB a second, and the size of its floor for less.
    slow_size=$(calculated "print int($slow * 1000 * $seconds / $piece + 2) * $piece")
    fast_size=$(calculated "f = $fast; if (f > 20000) f = 20000; s = f * 1000 * $seconds; print int(s / 2)")
    run stop_and_wait "$loss" "$delay" "$slow_size" --timeout $timeout --tries 1000
    a=$rate
    run window "$loss" "$delay" "$fast_size" --timeout $timeout
    b=$rate
    run window "$loss" "$delay" $((fast_size / 4)) --timeout $timeout --least-window 1
    c=$rate
    if [ "$delay" = 0 ]; then slow_text=- fast_text=-; else
      slow_text=$(printf '%.1f' "$slow") fast_text=$(printf '%.0f' "$fast"); fi
    [ "$loss" = 0 ] && [ "$delay" != 0 ] && fast_text="<$fast_text"
    print_row "$loss" "$delay" "$a" "$slow_text" "$b" "$(calculated "printf \"%.1f\", $b / ($a + 1e-9)")" "$c" "$fast_text"
  done
done
exit 0
