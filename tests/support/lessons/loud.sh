# A chat server, and somebody who says y for ever.
# shellcheck shell=bash disable=SC2154
start_server "$build/tcp/chat_server"
yes | "$build/tcp/chat_client" --name loud --port "$port" >/dev/null 2>&1 &
is_full() { ss -Htn "sport = :$port" | awk '$2 > 50000' | grep -q .; }
until_true is_full
