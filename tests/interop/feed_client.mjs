// npm's ws as a listener of the feed: node feed_client.mjs HOST:PORT

import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { createRequire } from 'node:module';

const { WebSocket } = createRequire(import.meta.url)('ws');
const [address] = process.argv.slice(2);

async function updates(resource, count) {
    const socket = new WebSocket(`ws://${address}${resource}`);
    const numbers = [];
    for await (const [data, isBinary] of on(socket, 'message')) {
        assert.equal(isBinary, false);
        numbers.push(Number(data.toString().split(' ')[0]));
        if (numbers.length === count) break;
    }
    socket.close(1000);
    assert.equal((await once(socket, 'close'))[0], 1000);
    return numbers;
}

const isInOrder = (numbers) => numbers.every((number, i) => number === numbers[0] + i);

const first = await updates('/socket', 5);
const later = await updates(`/socket?since=${first.at(-1)}`, 5);
assert.ok(isInOrder([...first, ...later]), `${first} ${later}`);

// The server cuts, without a word: 1006.
const socket = new WebSocket(`ws://${address}/socket`);
const control = new WebSocket(`ws://${address}/control`);
await Promise.all([once(socket, 'message'), once(control, 'open')]);
control.send('cut websocket');
const [[code], [answer]] = await Promise.all([once(socket, 'close'), once(control, 'message')]);
assert.equal(code, 1006);
assert.equal(answer.toString(), '1 cut');
control.close();

// Long polls by node's own fetch: each is answered with what comes next.
let last = 0;
const numbers = [];
while (numbers.length < 5) {
    const response = await fetch(`http://${address}/long-poll${last > 0 ? `?since=${last}` : ''}`);
    for (const line of (await response.text()).trim().split('\n')) numbers.push(last = Number(line.split(' ')[0]));
}
assert.ok(isInOrder(numbers), `${numbers}`);
console.log('done');
