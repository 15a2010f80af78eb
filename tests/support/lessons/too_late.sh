# A UDP server that stands still until its client has sent four datagrams, and then serves them all.
# shellcheck shell=bash disable=SC2154
. tests/support/lessons/full_buffer.sh
four_came() { [ "$(nstat -asz UdpOutDatagrams | awk '/^Udp/ { print $2 }')" -ge 4 ]; }
{
    until_true four_came
    kill -CONT "$server"
} &
