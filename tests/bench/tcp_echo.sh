# shellcheck shell=bash
# The echo servers of tcp/, each beside the floor: tests/bench/floor_server.cpp, the least that an epoll server can do.
# All are measured in the same run, turn about, three times each; the best of the three is printed, since everything
# that disturbs a server makes it slower.
#
# The unit is messages per second of the server's own CPU time, user and system, of all its threads and children, since
# time on the wall measures the machine and whoever else uses it. Messages per second on the wall stand beside it.
. tests/bench/measure.sh "$@"
servers=(floor epoll epoll-edge poll select thread fork)

declare -A pid_of port_of
for name in "${servers[@]}"; do
  case $name in
    floor) start "$build/tests/bench/floor_server" ;;
    epoll-edge) start "$build/tcp/epoll_server" --port 0 --edge ;;
    *) start "$build/tcp/${name}_server" --port 0 ;;
  esac
  pid_of[$name]=$pid port_of[$name]=$port
done

compare() { # compare CONNECTIONS ACTIVE SIZE
  local connections=$1 active=$2 size=$3 name result floor=0
  rm -f "$work"/figures.*
  for _ in 1 2 3; do
    for name in "${servers[@]}"; do
      result=$("$build/tcp/crowd" --port "${port_of[$name]}" --pid "${pid_of[$name]}" --connections "$connections" \
        --active "$active" --size "$size" --seconds "$seconds" --timeout 60 --json) || return
      echo "$(figure messages_per_server_cpu_second "$result") $(figure messages_per_second "$result")" \
        "$(figure p50_us "$result") $(figure p99_us "$result") $(figure server_cpu_us_per_connection "$result")" \
        >>"$work/figures.$name"
    done
  done
  printf '\n%s connections, %s of them active, %s B\n' "$connections" "$active" "$size"
  printf '%-12s %14s %8s %14s %10s %10s %18s\n' server msg/CPU-second ratio 'msg/s (wall)' 'p50 us' 'p99 us' \
    'CPU us/connection'
  for name in "${servers[@]}"; do
    read -r cpu wall p50 p99 first <<<"$(sort -n "$work/figures.$name" | tail -n 1)"
    [ "$name" = floor ] && floor=$cpu
    printf '%-12s %14s %8.3f %14s %10s %10s %18s\n' "$name" "$cpu" \
      "$(awk -v cpu="$cpu" -v floor="$floor" 'BEGIN { print (floor > 0 ? cpu / floor : 0) }')" \
      "$wall" "$p50" "$p99" "$first"
  done
}

echo "Messages per second of the server's CPU time, beside the floor's with the same bytes (aim for epoll: 0.95)"
for size in 64 16384; do
  compare 1 1 $size
  compare 100 100 $size
  compare 1000 1000 $size
done
compare 1000 10 64
