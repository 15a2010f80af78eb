# A WebSocket echo server, with whose client all is over.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/websocket/echo_server"
echo hello | "$build/websocket/echo_client" --port "$port" >/dev/null
is_over() { ss -Htn state time-wait "sport = :$port" | grep -q .; }
until_true is_over
