# A UDP server that stands still before its first recvfrom().
# shellcheck shell=bash disable=SC2154
start_server "$build/udp/echo_server"
kill -STOP "$server"
until_true grep -q '^State:.T' "/proc/$server/status"
