# The credentials server, too, is run by somebody who is not root.
# shellcheck shell=bash disable=SC2154,SC2034
. tests/support/lessons/ordinary.sh
start_server "$programs/unix/credentials_server"
