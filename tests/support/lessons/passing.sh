# A server that hands its connections to the block's worker, and a client that says hello once that has joined.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/unix/passing_server"
{
    until_true grep -q 'worker 1 has joined' "$folder/server.err"
    { echo hello; exec sleep 60; } | ncat 127.0.0.1 "$port"
} >/dev/null 2>&1 &
