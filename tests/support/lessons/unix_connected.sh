# A Unix server and its client, which has been accepted and stays.
# shellcheck shell=bash disable=SC2154,SC2034
start_server "$build/unix/echo_server"
sleep 60 | "$build/unix/echo_client" >/dev/null 2>&1 &
was_accepted() { [ "$(ss -Hxp state connected | grep -c echo_server)" = 1 ]; }
until_true was_accepted
