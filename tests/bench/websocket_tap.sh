# shellcheck shell=bash
# What the tap costs those whose traffic it passes on: event_server asked directly and by way of the tap, turn about, five
# times each; the best of the five are compared, since everything that disturbs makes slower. The added time is that of
# two more sockets and a thread that has to be woken; the thread that looks takes processor time of its own, which on a
# machine with one processor the traffic would miss.
#
# And the bridge beside websockify, each before the same TCP server: 64 KiB messages there and back, in one stream.
. tests/bench/measure.sh "$@"
server=$build/websocket/event_server
load=$build/websocket/load

start "$server" --port 0
declare -A ports
ports[server]=$port
start "$build/websocket/tap" --port 0 --to "127.0.0.1:${ports[server]}" --quiet
ports[quiet]=$port
start "$build/websocket/tap" --port 0 --to "127.0.0.1:${ports[server]}" --quiet --save /dev/null --pcap /dev/null
ports[saving]=$port

# best FIELD LOW|HIGH FILE
best() {
  while read -r line; do figure "$1" "$line"; done <"$3" | sort -n | { if [ "$2" = low ]; then head -n 1; else tail -n 1; fi; }
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (a > 0 ? b / a : 0) }'; }

measure() { # measure TITLE OPTION...
  local title=$1
  shift
  rm -f "$work"/figures.*
  for _ in 1 2 3 4 5; do
    for way in server quiet saving; do
      "$load" --port "${ports[$way]}" "$@" --seconds "$seconds" --json >>"$work/figures.$way" || return
    done
  done
  echo "$title"
  printf '  %-28s %10s %10s %12s %8s\n' '' 'p50, us' 'p99, us' 'messages/s' 'MB/s'
  for way in server quiet saving; do
    case $way in
      server) name='direct' ;;
      quiet) name='by way of the tap' ;;
      saving) name='with --save and --pcap' ;;
    esac
    printf '  %-28s %10s %10s %12s %8s\n' "$name" "$(best p50_us low "$work/figures.$way")" \
      "$(best p99_us low "$work/figures.$way")" "$(best messages_per_second high "$work/figures.$way")" \
      "$(best megabytes_per_second high "$work/figures.$way")"
  done
  printf '  %-28s %10s %10s %12s\n' 'tap / direct' \
    "$(ratio "$(best p50_us low "$work/figures.server")" "$(best p50_us low "$work/figures.quiet")")" \
    "$(ratio "$(best p99_us low "$work/figures.server")" "$(best p99_us low "$work/figures.quiet")")" \
    "$(ratio "$(best messages_per_second high "$work/figures.server")" "$(best messages_per_second high "$work/figures.quiet")")"
}
measure '20 B text, one connection, one in flight' --connections 1 --in-flight 1 --size 20
measure '16 KiB binary, 4 connections, 8 in flight' --connections 4 --in-flight 8 --size 16384 --kind binary

echo 'The bridge beside websockify, MB/s each way, the best of three'
start "$build/tcp/poll_server" --port 0
target_port=$port
start "$build/websocket/bridge" --port 0 --to "127.0.0.1:$target_port"
bridge_port=$port
stream() { "$build/tests/bench/bridge_load" --port "$1" --megabytes "$2"; }
for _ in 1 2 3; do stream "$bridge_port" 64; done >"$work/figures.bridge"
ours=$(best megabytes_per_second high "$work/figures.bridge")
printf '  %-28s %8s\n' 'websocket/bridge' "$ours"
if command -v websockify >/dev/null; then
  # It can't say which port the kernel has picked for it: a tap that has ended had one.
  start "$build/tcp/poll_server" --port 0
  free_port=$port
  kill "$pid"
  wait "$pid" 2>/dev/null
  websockify "127.0.0.1:$free_port" "127.0.0.1:$target_port" >"$work/websockify" 2>&1 &
  pids+=("$!")
  for _ in $(seq 100); do
    grep -q 'proxying from' "$work/websockify" && break
    sleep 0.1
  done
  for _ in 1 2 3; do stream "$free_port" 16; done >"$work/figures.websockify"
  theirs=$(best megabytes_per_second high "$work/figures.websockify")
  printf '  %-28s %8s\n  %-28s %8s\n' 'websockify' "$theirs" 'bridge / websockify' "$(ratio "$theirs" "$ours")"
else
  echo '  not measured: websockify is not installed'
fi
