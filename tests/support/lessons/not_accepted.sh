# A server that stands still before its first accept(), and a client that has said hello.
# shellcheck shell=bash disable=SC2154
start_server "$build/tcp/echo_server"
kill -STOP "$server"
until_true grep -q '^State:.T' "/proc/$server/status"
{ echo hello; exec sleep 60; } | "$build/tcp/echo_client" --port "$port" >/dev/null 2>&1 &
has_come() { ss -Htn "sport = :$port" | grep -q '^ESTAB *6 '; }
until_true has_come
