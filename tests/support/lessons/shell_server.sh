# The lesson's server of five lines.
# shellcheck shell=bash disable=SC2154,SC2034
cat >"$folder/server" <<END
key=\$(sed -n 's/^Sec-WebSocket-Key: \\(.*\\)\\r$/\\1/p; /^\\r$/q')
printf '%s\\r\\n' 'HTTP/1.1 101 Switching Protocols' 'Upgrade: websocket' 'Connection: Upgrade' \
    "\$($build/websocket/accept_key "\$key" | tail -n 1)" ''
$build/websocket/frames --text 'from a shell' --raw
$build/websocket/frames --close '1000 bye' --raw
END
