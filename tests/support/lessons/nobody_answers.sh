# A server that accepts, and says nothing.
# shellcheck shell=bash disable=SC2154,SC2034
sleep 60 | ncat -l 127.0.0.1 "$port" >/dev/null &
listens() { ss -Htln "sport = :$port" | grep -q .; }
until_true listens
