# The block's server is a program that is gone when it is sent SIGHUP.
# shellcheck shell=bash disable=SC2154,SC2034
programs=$folder/programs
mkdir -p "$programs/unix"
cp "$build/unix/restart_server" "$programs/unix/"
listener() { ss -Htlnp "sport = :$port" | sed -E 's/.*pid=([0-9]+).*/\1/'; }
listens() { [ -n "$(listener)" ]; }
{
    until_true listens
    rm "$programs/unix/restart_server"
    kill -HUP "$(listener)"
} >/dev/null 2>&1 &
