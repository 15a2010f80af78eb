# A connected client that has said hello to the UDP echo server, and stays.
# shellcheck shell=bash disable=SC2154
start_server "$build/udp/echo_server"
{
    echo hello
    exec sleep 60
} | "$build/udp/connected_client" --port "$port" >/dev/null 2>&1 &
has_connected() { ss -Huan "dport = $port" | grep -q .; }
until_true has_connected
