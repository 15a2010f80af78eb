# A WebSocket chat server that is killed when its client has said hello, and started again a little later.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/websocket/chat_server"
# To be let in are about 350 bytes, and his own line is 90 more.
has_said_hello() { [ "$(ss -Htni "dport = :$port" | sed -n 's/.*bytes_received:\([0-9]*\).*/\1/p')" -gt 400 ]; }
{
    until_true has_said_hello
    kill -KILL "$server"
    wait "$server"
    sleep 1
    exec "$build/websocket/chat_server" --port "$port"
} >/dev/null 2>&1 &
