# Somebody who does not mask a frame, as soon as the block's server listens.
# shellcheck shell=bash disable=SC2154,SC2034
listens() { ss -Htln "sport = :$port" | grep -q .; }
{
    until_true listens
    {
        printf '%s\r\n' 'GET / HTTP/1.1' 'Host: x' 'Upgrade: websocket' 'Connection: Upgrade' \
            'Sec-WebSocket-Version: 13' 'Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==' ''
        printf '\x81\x05Hello'
        exec sleep 60
    } | ncat 127.0.0.1 "$port"
} >/dev/null 2>&1 &
