// The chat's page in two windows, beside a terminal: pages.mjs runs chat_page.mjs FOLDER SERVER PROXY
//
// SERVER and PROXY are ports: of the server, and of something between it and the second page that may be cut. The test
// does what this asks for by a line on standard output, and says so by a line on standard input. FOLDER gets the
// pictures.

import assert from 'node:assert/strict';
import { pictures } from './pictures.mjs';

const log = (page, text) => page.waitForFunction((wanted) => document.getElementById('log').textContent.includes(wanted), text);
const state = (page, text) => page.waitForFunction((wanted) => document.getElementById('state').textContent.includes(wanted), text);
const here = (page, names) => page.waitForFunction((wanted) => [...document.querySelectorAll('#here li')].map((one) => one.textContent).join() === wanted, names);

// What was said, in order: who and what.
const lines = (page) => page.$$eval('#log p:has(.name)', (all) => all.map((p) => [...p.querySelectorAll('bdi')].map((part) => part.textContent).join(': ')));

async function say(page, text) {
    await page.fill('#line', text);
    await page.press('#line', 'Enter');
}

export default async function ({ newPage, ask }, folder, server, proxy) {
    // By keyboard alone.
    const anna = await newPage(`http://127.0.0.1:${server}/`);
    await anna.waitForFunction(() => document.activeElement.id === 'name');
    await anna.keyboard.type('안나');
    await anna.keyboard.press('Enter');
    await state(anna, '안나 in lobby');
    await anna.waitForFunction(() => document.activeElement.id === 'line');
    await anna.keyboard.type('안녕 <b>hello</b>');
    await anna.keyboard.press('Enter');
    await log(anna, '안녕 <b>hello</b>');

    // A name that is taken, and one that can't be.
    const peter = await newPage(`http://127.0.0.1:${proxy}/`, { beside: true });
    for (const [name, why] of [['안나', '안나 is here already'], ['<b>', 'a name has 1 to 20 letters'], ['peter', 'peter in lobby']]) {
        await peter.fill('#name', name);
        await peter.press('#name', 'Enter');
        await state(peter, why);
    }
    await log(peter, '안녕 <b>hello</b>'); // it was said before he came
    await log(anna, '* peter has come');

    await ask('a terminal comes and speaks');
    for (const page of [anna, peter]) {
        await log(page, 'hello from the terminal');
        await here(page, 'peter,terminal,안나');
    }

    // What somebody says is no more than that, whatever it is.
    const hostile = ['<img src=x onerror="document.title=1">', '<script>document.title=1</script>', '&lt;b&gt;', 'a\tb', '\u202Eesrever', 'x'.repeat(1000), '"]}\\', '한'.repeat(333)];
    for (const text of hostile) await say(peter, text);
    for (const page of [anna, peter]) {
        await page.waitForFunction((count) => document.querySelectorAll('#log p:has(.name)').length === count, hostile.length + 2);
        assert.deepEqual((await lines(page)).slice(2), hostile.map((text) => `peter: ${text}`));
        assert.equal(await page.title(), 'lobby \u2013 Chat');
        assert.equal(await page.evaluate(() => document.querySelectorAll('#log img, #log script, #log b').length), 0);
    }
    await say(peter, '한'.repeat(334)); // 1002 bytes
    assert.equal(await peter.evaluate(() => document.getElementById('line').validationMessage), 'a line has at most 1000 bytes');
    await peter.fill('#line', '');
    await pictures(anna, 'chat', folder);

    // Peter's connection is cut, and the others go on talking.
    await ask('the proxy is killed');
    await state(peter, 'not connected: the connection is lost; next try in');
    await log(anna, '* peter has left');
    for (let i = 1; i <= 20; ++i) await say(anna, `meanwhile ${i}`);
    await say(peter, 'said into nothing');
    await state(peter, '; 1 of your lines wait');
    await pictures(peter, 'chat-lost', folder);
    await ask('the proxy is started again');
    await peter.evaluate(() => document.getElementById('now').click());
    await log(peter, '* connected again');
    for (const page of [anna, peter]) {
        await log(page, 'said into nothing');
        const said = await lines(page);
        assert.deepEqual(said.slice(10), [...Array.from({ length: 20 }, (_, i) => `안나: meanwhile ${i + 1}`), 'peter: said into nothing']);
    }

    // The server is killed, and knows nothing of what was when it comes again.
    await ask('the server is killed');
    for (const page of [anna, peter]) await state(page, 'not connected');
    await say(anna, 'is anybody there?');
    await ask('the server is started again');
    for (const page of [anna, peter]) {
        await log(page, 'typed while the server was away');
        await log(page, 'is anybody there?');
        await here(page, 'peter,terminal,안나');
        const said = await lines(page);
        assert.equal(said.length, 33);
        assert.deepEqual(said.slice(31).sort(), ['terminal: typed while the server was away', '안나: is anybody there?']);
    }

    // It ends, and says so.
    await ask('the server is ended');
    await log(anna, 'not connected: closed: 1001 the server ends');
    await anna.click('#leave');
    await state(anna, 'you have left');
    assert.equal(await anna.isDisabled('#line'), true);
    assert.equal(await anna.isEnabled('#join'), true);
}
