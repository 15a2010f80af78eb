# The client whose request the block's ncat is to show.
# shellcheck shell=bash disable=SC2154,SC2034
listens() { ss -Htln "sport = :$port" | grep -q .; }
{
    until_true listens
    exec "$build/websocket/echo_client" --port "$port" --resource '/chat?room=1' --origin http://example.org \
        --subprotocol chat,echo --deflate
} >/dev/null 2>&1 &
