# A client that says hello as soon as the block's server listens, and stays.
# shellcheck shell=bash disable=SC2154
listens() { ss -Htln "sport = :$port" | grep -q .; }
{
    until_true listens
    { echo hello; exec sleep 60; } | "$build/tcp/echo_client" --port "$port"
} >/dev/null 2>&1 &
