# A client that says one to the block's server, sends it SIGHUP, and says two to its successor.
# shellcheck shell=bash disable=SC2154,SC2034
listener() { ss -Htlnp "sport = :$port" | sed -E 's/.*pid=([0-9]+).*/\1/'; }
is_over() { ! kill -0 "$first"; }
listens() { [ -n "$(listener)" ]; }
was_answered() { ss -Htni "dport = :$port" | grep -q bytes_received:4; }
{
    until_true listens
    first=$(listener)
    {
        echo one
        until_true was_answered
        kill -HUP "$first"
        until_true is_over
        echo two
        exec sleep 60
    } | "$build/tcp/echo_client" --port "$port"
} >/dev/null 2>&1 &
# As a reader's, the shell stays when the first process has ended: its end would hang up, and that is SIGHUP, too.
trap 'sleep 60' EXIT
