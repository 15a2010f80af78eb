# A server that is sent SIGHUP when its client has said one.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/unix/restart_server"
was_answered() { ss -Htni "dport = :$port" | grep -q bytes_received:4; }
{
    until_true was_answered
    kill -HUP "$server"
    wait
} >/dev/null 2>&1 &
