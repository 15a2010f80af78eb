# A client that receives nothing before all its input is sent, and that has much of it.
# shellcheck shell=bash disable=SC2154
changed tcp/echo_client 's/unsent \? POLLIN \| POLLOUT : POLLIN/!more_input ? POLLIN : unsent ? POLLOUT : 0/'
start_server "$build/tcp/echo_server"
head -c 20000000 /dev/zero >"$folder/big"
"$changed" --port "$port" <"$folder/big" >/dev/null 2>&1 &
stands_still() { [ "$(ss -Htno "sport = :$port or dport = :$port" | grep -c persist)" = 2 ]; }
until_true stands_still
