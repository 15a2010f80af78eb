# The echo servers of TCP and of UDP, at the same port.
# shellcheck shell=bash disable=SC2154
start_server "$build/tcp/echo_server"
start_server "$build/udp/echo_server"
