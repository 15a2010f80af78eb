# shellcheck shell=bash
# The speed of file_server with a file of 1 GiB in the kernel's cache, as ratios to the floor: a loop of sendfile() and
# nothing else (tests/bench/sendfile_floor.cpp). Both are measured in the same run, turn about, three times each, with the
# same receiving side, and the middle ratio is printed. Above 1 is faster (on the wall) or cheaper (CPU time).
#
# The first time, file_server computes the SHA-256 of what it sends, and later it knows that: both are measured. Then the
# whole pair: file_client with its SHA-256, against a receiver that writes the same bytes to a file and checks nothing.
. tests/bench/measure.sh "$@"
bench=$build/tests/bench
room_in() { df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'; }
free=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
[ "${free:-0}" -gt 3000000 ] || { echo "not measured: needs 3 GB of free memory"; exit 0; }

mkdir "$work/served"
truncate -s 1G "$work/served/file"   # all of it a hole: it takes room in the cache, and none on the disk
cat "$work/served/file" >/dev/null
sleep 0.3                            # the server remembers no digest of a file that was changed just now

start "$bench/sendfile_floor" "$work/served/file"
floor_pid=$pid floor_port=$port
start "$build/tcp/file_server" --folder "$work/served" --port 0
server_pid=$pid server_port=$port
"$bench/drain" --pid "$server_pid" --port "$server_port" >/dev/null  # now it knows the digest

row() { # row NAME AIM: of the lines "RATIO_OF_TIME TIME TIME RATIO_OF_CPU CPU CPU" in $work/ratios the middle one
  read -r ratio a b cpu_ratio cpu_a cpu_b <<<"$(middle <"$work/ratios")"
  printf '%-48s %8s %8s %7s %5s   %s\n' "$1" "$a" "$b" "$ratio" "$2" "${cpu_ratio:+$cpu_a, $cpu_b: $cpu_ratio}"
}
compared() { # compared FLOOR SERVER: JSON of one run each
  awk -v a="$(figure seconds "$1")" -v b="$(figure seconds "$2")" -v ca="$(figure server_cpu "$1")" \
    -v cb="$(figure server_cpu "$2")" 'BEGIN { printf "%.2f %.3f %.3f %.2f %.3f %.3f\n", a / b, a, b, ca / cb, ca, cb }' >>"$work/ratios"
}

echo "Seconds for 1 GiB over loopback, and the sending process's CPU time"
printf '%-48s %8s %8s %7s %5s   %s\n' '' floor 'ours' ratio aim 'CPU: floor, ours: ratio'
: >"$work/ratios"
for _ in 1 2 3; do
  a=$("$bench/drain" --pid "$floor_pid" --port "$floor_port") || exit 1
  b=$("$bench/drain" --pid "$server_pid" --port "$server_port") || exit 1
  compared "$a" "$b"
done
row 'file_server, digest known (sendfile)' 0.9

: >"$work/ratios"
for _ in 1 2 3; do
  a=$("$bench/drain" --pid "$floor_pid" --port "$floor_port") || exit 1
  start "$build/tcp/file_server" --folder "$work/served" --port 0
  b=$("$bench/drain" --pid "$pid" --port "$port") || exit 1
  kill "$pid"
  compared "$a" "$b"
done
row 'file_server, first time (and SHA-256 beside it)' -

# A file system in memory: what a disk takes for fsync() says nothing of the network.
target=/dev/shm
if [ -d $target ] && [ "$(room_in $target)" -gt 1500000 ]; then
  target=$(mktemp -d -p $target) || exit 1
  trap 'rm -rf "$target"; finish' EXIT
  timed() { # timed COMMAND...: its seconds on the wall as JSON
    local begin=$EPOCHREALTIME
    "$@" >/dev/null 2>&1 || { echo "failed: $*" >&2; exit 1; }
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "\"seconds\": %.4f\n", b - a }'
  }
  : >"$work/ratios"
  for _ in 1 2 3; do
    a=$(timed "$bench/drain" --pid "$floor_pid" --port "$floor_port" --output "$target/file") && rm "$target/file"
    b=$(timed "$build/tcp/file_client" --port "$server_port" --get file --output "$target/file") && rm "$target/file"
    awk -v a="$(figure seconds "$a")" -v b="$(figure seconds "$b")" 'BEGIN { printf "%.2f %.3f %.3f\n", a / b, a, b }' >>"$work/ratios"
  done
  row 'file_client, against a receiver without SHA' -
else
  echo "file_client is not measured: needs 1.5 GB in /dev/shm"
fi

: >"$work/ratios"
for _ in 1 2 3; do
  a=$("$bench/drain" --pid "$floor_pid" --port "$floor_port") || exit 1
  begin=$EPOCHREALTIME
  # shellcheck disable=SC2002  # the pipe is what is measured
  cat "$work/served/file" | cat >/dev/null
  b=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "\"seconds\": %.4f\n", b - a }')
  awk -v a="$(figure seconds "$a")" -v b="$(figure seconds "$b")" 'BEGIN { printf "%.2f %.3f %.3f\n", a / b, a, b }' >>"$work/ratios"
done
row 'for comparison: cat FILE | cat >/dev/null' -
