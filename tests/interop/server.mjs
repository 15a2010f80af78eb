// npm's ws as a server for our client. What it does depends on the resource.
//
//     /            returns every message, and agrees on the subprotocol chat
//     /fragments   returns every message in fragments of 10 bytes
//     /ping        pings each time before it returns a message, and waits for the pong
//     /close       closes with 4000 and the message as the reason
//
//     node server.mjs     node server.mjs --no-compression     node server.mjs --window-bits N

import { once } from 'node:events';
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(import.meta.url)('ws');
const [option, value] = process.argv.slice(2);
const compression = {
    undefined: { threshold: 0 },
    '--no-compression': false,
    '--window-bits': {
        threshold: 0,
        serverNoContextTakeover: true,
        clientNoContextTakeover: true,
        serverMaxWindowBits: Number(value),
        clientMaxWindowBits: Number(value),
    },
}[option];

function sendFragments(socket, data, binary) {
    for (let at = 0; at < data.length; at += 10) {
        socket.send(data.subarray(at, at + 10), { binary, fin: at + 10 >= data.length });
    }
}

const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    maxPayload: 0,
    perMessageDeflate: compression,
    handleProtocols: (offered) => (offered.has('chat') ? 'chat' : false),
});
server.on('connection', (socket, request) => {
    socket.on('error', (error) => console.error(error.message));
    socket.on('message', async (data, binary) => {
        if (request.url === '/close') {
            socket.close(4000, data);
        } else if (request.url === '/fragments' && data.length > 0) {
            sendFragments(socket, data, binary);
        } else {
            if (request.url === '/ping') {
                socket.ping('are you there?');
                await once(socket, 'pong');
            }
            socket.send(data, { binary });
        }
    });
});
server.on('listening', () => console.log(`listening on 127.0.0.1:${server.address().port}`));
