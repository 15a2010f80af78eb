// npm's ws as a client of our servers. Prints a line for each check that holds; the first that does not ends it.
//
//     node client.mjs HOST PORT          a server started with --subprotocol chat
//     node client.mjs HOST PORT wait     connects, and says how the server ends the connection

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import { createRequire } from 'node:module';

const { WebSocket } = createRequire(import.meta.url)('ws');
const [host, port, mode] = process.argv.slice(2);
const MIB = 1 << 20;

async function connect(options = {}, protocols = []) {
    const socket = new WebSocket(`ws://${host}:${port}/`, protocols, { maxPayload: 0, ...options });
    socket.messages = on(socket, 'message'); // these wait until they are asked for
    socket.pongs = on(socket, 'pong');
    await once(socket, 'open');
    return socket;
}

async function echo(socket, message) {
    socket.send(message);
    await answers(socket, message);
}

async function answers(socket, message) {
    const [data, isBinary] = (await socket.messages.next()).value;
    assert.equal(isBinary, typeof message !== 'string');
    assert.equal(Buffer.compare(data, Buffer.from(message)), 0);
}

async function pong(socket, payload) {
    assert.equal((await socket.pongs.next()).value[0].toString(), payload);
}

async function close(socket, code, reason) {
    socket.close(code, reason);
    return once(socket, 'close');
}

async function checkMessages(options) {
    const socket = await connect(options);
    assert.equal(socket.extensions, options.perMessageDeflate ? 'permessage-deflate' : '');
    for (const text of ['', 'hello', '안녕하세요 👋', '\0\x1b[2J']) {
        await echo(socket, text);
        await echo(socket, Buffer.from(text));
    }
    for (const size of [1, 125, 126, 127, 65535, 65536, 100000]) {
        await echo(socket, 'x'.repeat(size));
        await echo(socket, randomBytes(size));
    }

    socket.send('one, ', { fin: false });
    socket.send('', { fin: false });
    socket.ping('between');
    socket.send('two', { fin: true });
    await answers(socket, 'one, two');
    await pong(socket, 'between');

    for (let i = 0; i < 10; ++i) socket.ping(`${i}`);
    for (let i = 0; i < 10; ++i) await pong(socket, `${i}`);

    // Compressed or not, as each message likes.
    socket.send('plain', { compress: false });
    await answers(socket, 'plain');
    assert.equal((await close(socket, 1000))[0], 1000);
}

async function checkLarge(perMessageDeflate) {
    const socket = await connect({ perMessageDeflate });
    await echo(socket, '16 MiB of text! '.repeat(MIB));
    await echo(socket, randomBytes(MIB));
    socket.send('x'.repeat(16 * MIB + 1));
    const [code, reason] = await once(socket, 'close');
    assert.equal(code, 1009);
    assert.equal(reason.toString(), 'a message is too big');
}

async function checkOrigin() {
    const foreign = new WebSocket(`ws://${host}:${port}/`, { origin: 'http://example.org' });
    const [, response] = await once(foreign, 'unexpected-response');
    assert.equal(response.statusCode, 403);
    response.destroy();
    await close(await connect({ origin: `http://${host}:${port}` }), 1000);
}

async function checkSubprotocols() {
    const socket = await connect({}, ['superchat', 'chat']);
    assert.equal(socket.protocol, 'chat');
    await close(socket, 1000);
}

async function check() {
    await checkMessages({ perMessageDeflate: false });
    console.log('messages');
    await checkMessages({ perMessageDeflate: { threshold: 0 } });
    console.log('compressed');
    await checkMessages({
        perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    });
    console.log('compressed without context takeover');
    for (const bits of [8, 9, 12, 15]) {
        await checkMessages({
            perMessageDeflate: { threshold: 0, serverMaxWindowBits: bits, clientMaxWindowBits: Math.max(bits, 9) },
        });
    }
    console.log('compressed with small windows');
    await checkLarge(false);
    await checkLarge({ threshold: 0 });
    console.log('16 MiB and no more');
    for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1013, 3000, 4999]) {
        assert.equal((await close(await connect(), code, '안녕 '.repeat(10)))[0], code);
    }
    assert.equal((await close(await connect()))[0], 1005);
    console.log('close codes');
    await checkOrigin();
    console.log('origins');
    await checkSubprotocols();
    console.log('subprotocols');
}

async function wait() {
    const socket = await connect();
    console.log('connected');
    const [code, reason] = await once(socket, 'close');
    console.log('closed', code, reason.toString());
}

await (mode === 'wait' ? wait() : check());
