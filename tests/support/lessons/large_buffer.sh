# The client with a buffer of 8 MiB. It reads 20 MB, of which the server has to return all.
# shellcheck shell=bash disable=SC2154
changed tcp/echo_client 's/char input\[65536\]/static char input[8 << 20]/'
start_server "$build/tcp/echo_server"
head -c 20000000 /dev/zero >"$folder/big"
