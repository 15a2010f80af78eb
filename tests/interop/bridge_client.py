"""Python's websockets by way of a bridge to an echo server: bridge_client.py HOST:PORT"""

import asyncio
import os
import sys

import websockets


async def main(address):
    sent = os.urandom(1_000_000)
    async with websockets.connect(f"ws://{address}/", subprotocols=["binary"], max_size=None) as socket:
        assert socket.subprotocol in ("binary", None), socket.subprotocol

        async def send():
            for begin in range(0, len(sent), 12_345):
                await socket.send(sent[begin : begin + 12_345])

        sending = asyncio.create_task(send())
        received = b""
        while len(received) < len(sent):
            received += await socket.recv()
        await sending
        assert received == sent
    print(len(received), "bytes came back the same")


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 20))
