// The bridge's page in a browser: pages.mjs runs bridge_page.mjs FOLDER ECHO CHAT UNIX NOBODY
// ECHO, CHAT and UNIX are the ports of bridges to tcp/echo_server, tcp/chat_server and unix/echo_server; NOBODY's target is
// not there. FOLDER gets the pictures.

import assert from 'node:assert/strict';
import { pictures } from './pictures.mjs';

const log = (page, text) => page.waitForFunction((wanted) => document.getElementById('log').textContent.includes(wanted), text);

export default async function ({ newPage }, folder, echo, chat, unix, nobody) {
    for (const port of [echo, unix]) {
        const page = await newPage(`http://127.0.0.1:${port}/`);
        await page.keyboard.press('Tab'); // by keyboard alone
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => document.activeElement.id === 'line');
        await page.keyboard.type('안녕 <b>hello</b>');
        await page.keyboard.press('Enter');
        await log(page, '> 안녕 <b>hello</b>\n안녕 <b>hello</b>\n');
        assert.equal(await page.textContent('#counters'), '20 bytes up, 20 bytes down');
        await page.check('#hex');
        await page.fill('#line', 'xyz');
        await page.click('#send');
        assert.equal(await page.evaluate(() => document.getElementById('line').validationMessage !== ''), true);
        await page.fill('#line', '1b 5b 32 4a 0a');
        await page.click('#send');
        await log(page, '\u241b[2J\n');
        if (port === echo) await pictures(page, 'bridge', folder);
        await page.click('#finish');
        await log(page, 'closed: 1000 the target has ended');
        assert.equal(await page.isEnabled('#connect'), true);
    }
    {
        const page = await newPage(`http://127.0.0.1:${chat}/`);
        await page.click('#connect');
        await log(page, 'What is your name?');
        await page.fill('#line', 'anna');
        await page.click('#send');
        await log(page, '* nobody is here');
        console.log('anna is here'); // and somebody comes by TCP
        await log(page, '* peter has come');
        await page.fill('#line', 'hello peter');
        await page.click('#send');
        await log(page, '<peter> hello anna');
        await page.click('#close');
        await log(page, 'closed: 1000');
    }
    {
        const page = await newPage(`http://127.0.0.1:${nobody}/`);
        await page.click('#connect');
        await log(page, 'closed: 1014 no connection to the target: ECONNREFUSED');
    }
}
