// The page's own connection (websocket/page/chat_link.js) in node, by npm's ws: node chat_member.mjs HOST PORT
// Prints what it hears, and ends when somebody says "bye".

import { createRequire } from 'node:module';
import { webcrypto } from 'node:crypto';

globalThis.WebSocket = createRequire(import.meta.url)('ws').WebSocket;
globalThis.crypto ??= webcrypto;
const { ChatLink } = await import('../../websocket/page/chat_link.js');

const [host, port] = process.argv.slice(2);
const link = new ChatLink(`ws://${host}:${port}/`, {
    onstate(state, detail) {
        console.log(state, detail?.room ?? '');
        if (state === 'joined') link.say('hello from ws');
    },
    online({ line, name, text }) {
        console.log(`${line} <${name}> ${text}`);
        if (text === 'bye') link.leave();
    },
    onhere() {},
    onerror(text) {
        console.log('error', text);
    },
});
link.join('lobby', 'ws');
