# A server without SO_REUSEADDR that closed first.
# shellcheck shell=bash disable=SC2154
changed tcp/echo_server '/SO_REUSEADDR, &reuse/d'
start_server "$changed"
exec 3<>"/dev/tcp/127.0.0.1/$port"
echo hello >&3
read -r _ <&3
kill "$server"
wait "$server"
exec 3>&-
is_over() { ss -Htn state time-wait "sport = :$port" | grep -q .; }
until_true is_over
