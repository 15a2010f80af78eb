#!/bin/sh
# What scripts/hops and scripts/two_hosts have in common: machines within this one, and cables between them. Both read
# this file; by itself it does nothing.
#
# Linux only: each machine is a network namespace (network_namespaces(7)), each cable a pair of veth(4) devices. That
# takes no root, but a user namespace (user_namespaces(7)). In there ip(8) knows the machines by their names:
#     ip netns exec NAME COMMAND...
# When all that was started there has ended, all of it is gone.

set -eu

# begin ARGUMENT...: to be called first, with what the script was given. Runs it again as root of such a namespace.
begin() {
    script=${0##*/}
    case ${1-} in
        --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
            exit 0 ;;
        -*)
            printf '%s: %s is no option; usage: scripts/%s [COMMAND [ARGUMENT...]]\n' "$script" "$1" "$script" >&2
            exit 2 ;;
    esac
    for tool in unshare nsenter ip; do
        command -v $tool >/dev/null 2>&1 || {
            printf '%s: %s is not installed (Debian: util-linux, iproute2; not for macOS)\n' "$script" $tool >&2
            exit 1
        }
    done
    exec unshare -Urnm "$0" --inside "$@"
}

# on MACHINE COMMAND...: runs it there
on() {
    machine=$1
    shift
    nsenter --net="/run/netns/$machine" "$@"
}

# machines NAME...: makes them; the first one is where we are.
machines() {
    mount -t tmpfs tmpfs /run  # where ip(8) keeps the names
    ip netns attach "$1" $$
    for name in "$@"; do
        [ "$name" = "$1" ] || ip netns add "$name"
        on "$name" ip link set lo up
    done
}

# cable MACHINE DEVICE MACHINE DEVICE NET4 NET6 MTU: lays one. Its first end has the addresses NET4.1 and NET6::1, its
# second NET4.2 and NET6::2. nodad: they are good at once, since nobody else can have them.
cable() {
    on "$1" ip link add "$2" mtu "$7" type veth peer name "$4" mtu "$7" netns "$3"
    end_of_cable "$1" "$2" 1 "$5" "$6"
    end_of_cable "$3" "$4" 2 "$5" "$6"
}

ends=
end_of_cable() {
    on "$1" ip -batch - <<END
link set $2 addrgenmode none
address add $4.$3/24 broadcast + dev $2
address add $5::$3/64 dev $2 nodad
address add fe80::$3/64 dev $2 nodad
link set $2 up
END
    ends="$ends $1/$2"
}

# An end hears with some delay that the other one is there, and IPv6 begins only then.
wait_for_cables() {
    for end in $ends; do
        until on "${end%/*}" ip -6 route show table local | grep -q "^multicast.* dev ${end#*/} "; do sleep 0.02; done
    done
}
