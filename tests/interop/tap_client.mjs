// npm's ws as a client by way of the tap: node tap_client.mjs PORT
// A fragmented compressed message with a ping in its middle, others that refer back to it, text, and a Close.

import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { createRequire } from 'node:module';

const { WebSocket } = createRequire(import.meta.url)('ws');
const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/`, ['chat'], { perMessageDeflate: { threshold: 0 } });
const messages = on(socket, 'message');
const pongs = on(socket, 'pong');
await once(socket, 'open');
const answer = async () => (await messages.next()).value[0].toString();

const text = 'The same words, and the same words again. 같은 말, 또 같은 말. ';
socket.send(text, { fin: false });
socket.send(text, { fin: false });
socket.ping('in between');
socket.send(text, { fin: true });
assert.equal(await answer(), text.repeat(3));
assert.equal((await pongs.next()).value[0].toString(), 'in between');
socket.send(text); // refers back
assert.equal(await answer(), text);
socket.send('not compressed', { compress: false });
assert.equal(await answer(), 'not compressed');
socket.send(Buffer.from('0123456789abcdef'.repeat(20)), { compress: false });
await answer();
socket.close(1000, 'bye');
const [code] = await once(socket, 'close');
console.log(`closed ${code}`);
