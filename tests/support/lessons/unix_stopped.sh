# A Unix server that stands still before its first accept().
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/unix/echo_server"
kill -STOP "$server"
until_true grep -q '^State:.T' "/proc/$server/status"
