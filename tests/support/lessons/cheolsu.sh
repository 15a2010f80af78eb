# A chat server, and 철수, who comes when anna is there, and greets her.
# shellcheck shell=bash disable=SC2154
start_server "$build/tcp/chat_server"
has_a_name() { ss -Htni state established "sport = :$port" | grep -q bytes_received; }
{
    until_true has_a_name
    echo 철수
    echo 안녕, anna
    exec sleep 60
} | ncat 127.0.0.1 "$port" >/dev/null 2>&1 &
