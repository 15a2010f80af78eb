# A WebSocket client that says hello as soon as the block's server listens.
# shellcheck shell=bash disable=SC2154,SC2034
listens() { ss -Htln "sport = :$port" | grep -q .; }
{
    until_true listens
    echo hello | "$build/websocket/echo_client" --port "$port"
} >/dev/null 2>&1 &
