"""Answers ICMP echo requests to 127.0.0.1 as no host should: for tests/programs/udp_icmp_test.cpp.

The kernel is to be silent (net.ipv4.icmp_echo_ignore_all). Request 1 is answered by much that is no answer, then right,
then right again, and by another address; request 2 not at all, and 3 by the answer to 2 and then its own.
"""

import socket
import struct


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def message(kind, code, ident, number, data):
    whole = struct.pack("!BBHHH", kind, code, 0, ident, number) + data
    return whole[:2] + struct.pack("!H", checksum(whole)) + whole[4:]


def from_address(address):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.bind((address, 0))
    return raw


receiver, sender, other = from_address("127.0.0.1"), from_address("127.0.0.1"), from_address("127.0.0.2")


def say(raw, data):
    raw.sendto(data, ("127.0.0.1", 0))


print("ready", flush=True)
requests = {}
while True:
    packet = receiver.recv(65535)
    packet = packet[(packet[0] & 15) * 4 :]
    kind, _, _, ident, number = struct.unpack("!BBHHH", packet[:8])
    if kind != 8 or (ident, number) in requests:
        continue
    data = requests[ident, number] = packet[8:]
    right = message(0, 0, ident, number, data)
    if number == 1:
        for wrong in (
            b"\0\0",
            b"\0\0\0\0\0\0\0",
            b"\x1b]0;title\x07",
            message(0, 0, ident ^ 1, number, data),
            message(0, 0, ident, 999, data),
            message(3, 1, ident, number, b""),
            message(3, 1, ident, number, b"\x45" + bytes(19)),
            message(11, 0, 0, 0, b"\x4f" + bytes(30)),
            message(200, 77, ident, number, data),
        ):
            say(sender, wrong)
        say(sender, right[:2] + bytes([right[2] ^ 0x55]) + right[3:])
        say(sender, message(0, 0, ident, number, data[:-1] + b"!"))
        say(sender, message(0, 0, ident, number, data + b"and more"))
        say(sender, message(0, 0, ident, number, b""))
        say(sender, right)
        say(sender, right)
        say(other, right)
    elif number == 3:
        say(sender, message(0, 0, ident, 2, requests.get((ident, 2), b"")))
        say(sender, right)
