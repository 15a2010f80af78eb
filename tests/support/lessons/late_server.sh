# Nobody has the port until three datagrams have come to it; then a UDP echo server does.
# shellcheck shell=bash disable=SC2154
three_came() { [ "$(nstat -asz UdpNoPorts | awk '/^Udp/ { print $2 }')" -ge 3 ]; }
{
    until_true three_came
    exec "$build/udp/echo_server" --port "$port" >/dev/null 2>&1
} &
