# Two workers for the block's server, and a client of one of them, which is killed.
# shellcheck shell=bash disable=SC2154,SC2034
listens() { ss -Htln "sport = :$port" | grep -q .; }
have_joined() { [ "$(ss -Hx state connected | grep -c 'two-terminals/passing')" = "$1" ]; }
was_answered() { ss -Htni "dport = :$port" | grep -q bytes_received:15; }  # worker 1, hello
{
    until_true listens
    "$build/unix/passing_worker" &
    worker=$!
    until_true have_joined 1
    "$build/unix/passing_worker" &
    until_true have_joined 2
    { echo hello; exec sleep 60; } | ncat 127.0.0.1 "$port" &
    until_true was_answered
    kill -KILL "$worker"
    wait
} >/dev/null 2>&1 &
