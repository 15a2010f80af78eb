"""python3-websockets as a client of our servers. Prints a line for each check that holds; the first that does not ends it.

    client.py HOST PORT           a server started with --subprotocol chat
    client.py HOST PORT wait      connects, and says how the server ends the connection
"""

import asyncio
import os
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL = "ws://%s:%s/" % (sys.argv[1], sys.argv[2])
MIB = 1 << 20


def connect(**options):
    return websockets.connect(URL, max_size=None, ping_interval=None, **options)


def extensions(peer):
    return getattr(peer, "extensions", None) or getattr(getattr(peer, "protocol", None), "extensions", [])


async def echo(peer, message):
    await peer.send(message)
    answer = await peer.recv()
    joined = message if isinstance(message, (str, bytes)) else type(message[0])().join(message)
    assert answer == joined, (type(answer), len(answer), len(joined))


async def check_messages(peer):
    for text in ["", "hello", "안녕하세요 👋", "\x00\x1b[2J"]:
        await echo(peer, text)
        await echo(peer, text.encode())
    for size in [1, 125, 126, 127, 65535, 65536, 100_000]:
        await echo(peer, "x" * size)
        await echo(peer, os.urandom(size))
    await echo(peer, ["one, ", "", "two, ", "three"])
    await echo(peer, [os.urandom(1000) for _ in range(1000)])
    pong = await peer.ping(b"are you there?")
    await asyncio.wait_for(pong, 10)
    for i in range(500):  # many on their way at the same time
        await peer.send("message %d" % i)
    for i in range(500):
        assert await peer.recv() == "message %d" % i


async def compressed(**parameters):
    factory = ClientPerMessageDeflateFactory(**parameters)
    async with connect(compression=None, extensions=[factory]) as peer:
        assert len(extensions(peer)) == 1, "the server did not agree"
        await check_messages(peer)


async def check_large(compression):
    async with connect(compression=compression) as peer:
        await echo(peer, "16 MiB of text! " * MIB)
        await echo(peer, os.urandom(MIB))
        await peer.send("x" * (16 * MIB + 1))
        try:
            await peer.recv()
        except websockets.ConnectionClosed:
            pass
    assert peer.close_code == 1009, peer.close_code


async def check_close(code, reason):
    peer = await connect()
    await peer.close(code, reason)
    assert peer.close_code == code, peer.close_code


async def check_origin():
    try:
        async with connect(origin="http://example.org"):
            raise AssertionError("a foreign origin was let in")
    except websockets.InvalidHandshake as error:
        status = getattr(error, "status_code", None) or error.response.status_code
        assert status == 403, status
    async with connect(origin=URL.replace("ws:", "http:").rstrip("/")) as peer:
        await echo(peer, "hello")


async def check_subprotocol():
    async with connect(subprotocols=["superchat", "chat"]) as peer:
        assert peer.subprotocol == "chat"
        await echo(peer, "hello")
    async with connect(subprotocols=["superchat"]) as peer:
        assert peer.subprotocol is None


async def check_all():
    async with connect(compression=None) as peer:
        assert not extensions(peer)
        await check_messages(peer)
    print("messages")
    await compressed()
    print("compressed")
    await compressed(server_no_context_takeover=True, client_no_context_takeover=True)
    print("compressed without context takeover")
    for bits in [8, 9, 12, 15]:
        await compressed(server_max_window_bits=bits, client_max_window_bits=max(bits, 9))
    print("compressed with small windows")
    await check_large(None)
    await check_large("deflate")
    print("16 MiB and no more")
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999]:
        await check_close(code, "안녕 " * 10)
    await check_close(1000, "")
    print("close codes")
    await check_origin()
    print("origins")
    await check_subprotocol()
    print("subprotocols")


async def wait():
    async with connect() as peer:
        print("connected", flush=True)
        try:
            await peer.recv()
        except websockets.ConnectionClosed:
            pass
    print("closed", peer.close_code, peer.close_reason)


asyncio.run(wait() if sys.argv[3:] == ["wait"] else check_all())
