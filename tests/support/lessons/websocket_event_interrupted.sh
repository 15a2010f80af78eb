# A WebSocket event server that is ended as by Ctrl-C when its client has been answered.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/websocket/event_server"
# Seven bytes are hello, behind the server's answer of 129.
was_answered() { ss -Htni "dport = :$port" | grep -q bytes_received:136; }
{
    until_true was_answered
    kill -INT "$server"
    wait
} >/dev/null 2>&1 &
