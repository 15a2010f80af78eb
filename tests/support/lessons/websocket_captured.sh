# What went between a WebSocket echo server and a client that says hello a moment after it has come, and goes a moment
# after that.
# shellcheck shell=bash disable=SC2154
start_server "$build/websocket/echo_server"
"$build/tcp/sniffer" --port "$port" --pcap "$folder/hello.pcap" >"$folder/sniffer" 2>&1 &
sniffer=$!
until_true grep -q '^capturing' "$folder/sniffer"
{
    sleep 0.3
    echo hello
    sleep 0.3
} | "$build/websocket/echo_client" --port "$port" >/dev/null
is_over() { [ "$(grep -c FIN "$folder/sniffer")" -ge 2 ]; }
until_true is_over
kill -INT "$sniffer"
wait "$sniffer"
