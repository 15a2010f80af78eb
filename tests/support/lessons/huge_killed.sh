# The same, when a part has been fetched; the server is killed when there is more of it.
# shellcheck shell=bash disable=SC2154
. tests/support/lessons/huge.sh
has_more_than() { [ "$(cat huge.*.part | wc -c)" -gt "$1" ]; }
"$programs/tcp/file_client" --get huge --port "$port" >/dev/null 2>&1 &
client=$!
until_true has_more_than 1000000
kill -INT "$client"
kill -TERM "$client"
wait "$client"
part=$(cat huge.*.part | wc -c)
{
    until_true has_more_than $((part + 1000000))
    kill -KILL "$server"
} &
