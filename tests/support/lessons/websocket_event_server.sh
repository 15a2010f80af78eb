# A WebSocket event server, which is the only one that pgrep finds.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/websocket/event_server"
pgrep() { echo "$server"; }
