"""Two members of a chat by Python's websockets: chat_client.py HOST PORT"""

import asyncio
import json
import sys

import websockets

URL = "ws://%s:%s/" % (sys.argv[1], sys.argv[2])


def connect():
    return websockets.connect(URL, subprotocols=["superchat", "chat"])


async def send(peer, **message):
    await peer.send(json.dumps(message))


async def next_of(peer, kind):
    while True:
        message = json.loads(await peer.recv())
        if kind in message:
            return message


async def main():
    async with connect() as anna, connect() as bob:
        assert anna.subprotocol == "chat", anna.subprotocol
        await send(anna, join="python", name="anna")
        life = (await next_of(anna, "joined"))["life"]
        await send(bob, join="python", name="bob")
        assert (await next_of(bob, "here"))["here"] == ["anna", "bob"]
        while "bob" not in (await next_of(anna, "here"))["come"]:
            pass
        for number, text in enumerate(["hello", "안녕 👋", "\"\\/\t", "x" * 1000], 1):
            await send(anna, say=text, id=str(number))
            for peer in anna, bob:
                line = await next_of(peer, "line")
                assert (line["line"], line["name"], line["text"]) == (number, "anna", text), line
        await bob.close()
        while "bob" not in (await next_of(anna, "here"))["left"]:
            pass
        await send(anna, say="bob has not heard this")
        async with connect() as again:
            await send(again, join="python", name="bob", life=life, since=4)
            assert (await next_of(again, "joined"))["missed"] == 0
            line = await next_of(again, "line")
            assert (line["line"], line["text"]) == (5, "bob has not heard this"), line
        await send(anna, nonsense=1)
        try:
            while True:
                await anna.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.code == 4000, closed
    print("done")


asyncio.run(asyncio.wait_for(main(), 20))
