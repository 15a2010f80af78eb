"""python3-websockets as a server for our client. What it does depends on the resource.

/            returns every message, and agrees on the subprotocol chat
/fragments   returns every message in fragments of 10 bytes or characters
/ping        pings each time before it returns a message, and waits for the pong
/close       closes with 4000 and the message as the reason

    server.py            server.py --no-compression            server.py --window-bits N
"""

import asyncio
import sys

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def serve(peer, path=None):
    if path is None:
        path = getattr(peer, "path", None) or peer.request.path
    async for message in peer:
        if path == "/close":
            await peer.close(4000, message)
        elif path == "/fragments":
            await peer.send([message[i : i + 10] for i in range(0, max(len(message), 1), 10)])
        else:
            if path == "/ping":
                await asyncio.wait_for(await peer.ping(b"are you there?"), 10)
            await peer.send(message)


def compression():
    if "--no-compression" in sys.argv:
        return {"compression": None}
    if "--window-bits" in sys.argv:
        bits = int(sys.argv[-1])
        factory = ServerPerMessageDeflateFactory(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=bits,
            client_max_window_bits=bits,
        )
        return {"compression": None, "extensions": [factory]}
    return {}


async def main():
    options = {"max_size": None, "subprotocols": ["chat"], **compression()}
    async with websockets.serve(serve, "127.0.0.1", 0, **options) as server:
        print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
