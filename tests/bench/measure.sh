# shellcheck shell=bash disable=SC2034  # variables for the scripts that source it
# What the measuring scripts share. To be sourced: . tests/bench/measure.sh BUILD SECONDS
set -u
build=${1:?the folder of the optimised build}
seconds=${2:-2}
work=$(mktemp -d) || exit 1
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Starts a server that prints "listening on ADDRESS:PORT", and leaves its process and port in $pid and $port.
start() {
  local out=$work/out.${#pids[@]}
  mkfifo "$out"
  "$@" >"$out" 2>>"$work/errors" &
  pid=$!
  pids+=("$pid")
  read -r line <"$out" || { echo "did not start: $*" >&2; exit 1; }
  port=${line##*:}
}

# The number behind a name in JSON.
figure() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" <<<"$2"; }

# The middle of three lines that begin with a number.
middle() { sort -n | sed -n 2p; }
