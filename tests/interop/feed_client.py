"""Python's websockets as a listener of the feed: feed_client.py HOST:PORT"""

import asyncio
import sys

import websockets


async def main(address):
    async def updates(resource, count):
        async with websockets.connect(f"ws://{address}{resource}") as socket:
            return [int((await socket.recv()).split()[0]) for _ in range(count)]

    first = await updates("/socket", 5)
    assert first == list(range(first[0], first[0] + 5)), first
    # Away for a while, and back with the number of the last update.
    later = await updates(f"/socket?since={first[-1]}", 5)
    assert later == list(range(first[-1] + 1, first[-1] + 6)), (first, later)

    async with websockets.connect(f"ws://{address}/control") as control:
        await control.send("size 100")
        assert await control.recv() == "100 bytes at least"
        await control.send("cut websocket")
        assert await control.recv() == "0 cut"
    async with websockets.connect(f"ws://{address}/socket") as socket:
        while len(await socket.recv()) < 100:
            pass
    for resource, message in ("/socket", "every 1"), ("/nothing", None):
        async with websockets.connect(f"ws://{address}{resource}") as socket:
            if message:
                await socket.send(message)
            try:
                while True:
                    await socket.recv()
            except websockets.ConnectionClosed as closed:
                assert closed.rcvd.code == 1008, closed
    print("done")


asyncio.run(asyncio.wait_for(main(sys.argv[1]), 25))
