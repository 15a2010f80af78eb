"""Lets this machine pass a group on, from one interface to another: for tests/programs/udp_groups_test.cpp.

    python3 multicast_router.py FROM TO SENDER GROUP

The kernel does it. But which group of which sender goes where, a program must tell it, and stay: it forgets all of that
with the program's socket (linux/mroute.h, linux/mroute6.h). Routers find it out by IGMP, MLD and PIM (RFC 7761).
"""

import signal
import socket
import struct
import sys

INIT, ADD_INTERFACE, ADD_ROUTE = 200, 202, 204  # MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC, and the same of MRT6
BY_INDEX = 8  # VIFF_USE_IFINDEX

*interfaces, sender, group = sys.argv[1:]
indexes = [socket.if_nametoindex(name) for name in interfaces]
if ":" in group:
    level = socket.IPPROTO_IPV6
    routing = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    described = [struct.pack("HBBHI", number, 0, 1, index, 0) for number, index in enumerate(indexes)]
    addresses = [socket.inet_pton(socket.AF_INET6, text) for text in (sender, group)]
    addresses = [struct.pack("HHI16sI", socket.AF_INET6, 0, 0, address, 0) for address in addresses]
    route = struct.pack("28s28sH8I", *addresses, 0, 1 << 1, *[0] * 7)  # from the first one, to the second
else:
    level = socket.IPPROTO_IP
    routing = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    described = [struct.pack("HBBIi4s", number, BY_INDEX, 1, 0, index, b"") for number, index in enumerate(indexes)]
    addresses = [socket.inet_aton(text) for text in (sender, group)]
    route = struct.pack("4s4sH32s4I", *addresses, 0, bytes([0, 1]), *[0] * 4)  # the TTL must be above 1 for the second

routing.setsockopt(level, INIT, struct.pack("i", 1))
for each in described:
    routing.setsockopt(level, ADD_INTERFACE, each)
routing.setsockopt(level, ADD_ROUTE, route)
print("ready", flush=True)
signal.pause()
