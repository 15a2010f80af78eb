// The tap's page in a browser: pages.mjs runs tap_page.mjs FOLDER PORT FRAMES SAVED PACKETS TAP
// What tap_client.mjs has sent is in the page already. FRAMES is tshark's list of its frames: FIN, opcode, MASK, length and
// key, in a line each. SAVED is what the tap has saved itself; what the page saves goes to SAVED.page and PACKETS.page. TAP is the
// port at which the tap takes clients.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { pictures } from './pictures.mjs';

const waitFor = (page, text) => page.waitForFunction((wanted) => document.getElementById('list').textContent.includes(wanted), text);
const lines = (page) => page.$$eval('#list .record', (rows) => rows.map((row) => row.querySelector('.what').textContent));
const cells = (page) => page.$$eval('#detail table tr', (rows) => Object.fromEntries(rows.map((row) => [row.cells[0].textContent, row.cells[1].textContent])));

async function choose(page, text) {
    await page.locator('#list .record', { hasText: text }).first().click();
    return page.textContent('#detail');
}

export default async function ({ newPage }, folder, port, framesFile, saved, packets, tap) {
    const page = await newPage(`http://127.0.0.1:${port}/`);
    await waitFor(page, 'TCP ended first by the ');
    assert.equal(await page.textContent('#state'), 'live');

    // The message in fragments, and what stands between them.
    const all = await lines(page);
    const first = all.findIndex((line) => line.startsWith('text fin 0 RSV1 MASK'));
    const own = all.slice(first).filter((line) => /message 1\b/.test(line)).slice(0, 5);
    assert.match(own[0], /message 1, fragment 1/);
    assert.match(own[1], /^continuation fin 0 MASK.*message 1, fragment 2/);
    assert.match(own[2], /^ping FIN MASK.*within message 1.*"in between"/);
    assert.match(own[3], /^continuation FIN MASK.*message 1, fragment 3/);
    assert.match(own[4], /^message 1 text, 3 frames, 1 control frame between, \d+ bytes compressed, 210 inflated  "The same words.*같은 말/);
    assert.equal(await page.locator('.record.linked').count() >= 5, true);
    assert.equal(await page.locator('.record.between').count(), 1);
    const message = await choose(page, 'message 1 text, 3 frames');
    assert.match(message, /permessage-deflate: \d+ bytes on the wire, 210 bytes inflated/);
    assert.match(message, /fragment 1text0\d+fragment 2continuation0\d+betweenping110fragment 3continuation1/);

    // Each frame, as tshark sees it.
    await page.selectOption('#show', 'frames');
    const frames = readFileSync(framesFile, 'utf8').trim().split('\n').map((line) => line.split(' '));
    const rows = page.locator('#list .record');
    assert.equal(await rows.count(), frames.length);
    await rows.first().click();
    await page.keyboard.press('Home');
    for (const [i, [fin, opcode, mask, length, key]] of frames.entries()) {
        if (i > 0) await page.keyboard.press('ArrowDown');
        assert.equal(await page.getAttribute('[aria-selected="true"]', 'id'), await rows.nth(i).getAttribute('id'));
        const seen = await cells(page);
        assert.equal(seen.FIN, fin);
        assert.equal(parseInt(seen.opcode, 16), Number(opcode));
        assert.equal(seen.MASK, mask);
        assert.equal(seen.length, length);
        assert.equal((seen.key ?? '').replaceAll(' ', ''), key ?? '');
        // The picture has the same bits: 16, and so many more.
        const bits = await page.$$eval('#detail .bits .value span', (spans) => spans.map((span) => span.textContent).join(''));
        assert.equal(bits.length, 16 + (length === '126' ? 16 : 0) + (mask === '1' ? 32 : 0));
        assert.equal(bits[0], fin);
        assert.equal(parseInt(bits.slice(9, 16), 2), Number(length));
    }
    const pong = await choose(page, 'pong FIN');
    assert.match(pong, /ping frame 3, \d+\.\d{3} ms after it passed here/);
    assert.match(await choose(page, 'close FIN MASK'), /1000normal closure: bye/);

    // Filters, by keyboard too.
    await page.selectOption('#show', 'control');
    assert.equal((await lines(page)).every((line) => /^(ping|pong|close) /.test(line)), true);
    await page.selectOption('#show', 'all');
    await page.selectOption('#from', 'down');
    assert.equal(await page.locator('.record.up').count(), 0);
    await page.selectOption('#from', '');
    await page.focus('#list');
    await page.keyboard.press('/');
    await page.keyboard.type('sec-websocket-key');
    assert.equal((await lines(page)).length, 1);
    await page.fill('#text', '');
    await page.selectOption('#show', 'most');
    await page.focus('#list');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    assert.match(await page.textContent('#detail'), /GET \/ HTTP\/1\.1/);
    assert.equal(await page.getAttribute('#list', 'aria-activedescendant'), await page.getAttribute('[aria-selected="true"]', 'id'));

    // Saved, and loaded again: the same.
    const download = async (button, path) => {
        const waiting = page.waitForEvent('download');
        await page.click(button);
        await (await waiting).saveAs(path);
    };
    await download('#save', `${saved}.page`);
    assert.equal(readFileSync(`${saved}.page`, 'utf8'), readFileSync(saved, 'utf8'));
    await download('#packets', `${packets}.page`);
    for (const path of [`${saved}.page`, `${packets}.page`]) {
        await page.setInputFiles('#file', path);
        await page.waitForFunction((name) => document.getElementById('state').textContent === name, path.split('/').at(-1));
        assert.deepEqual(await lines(page), all);
    }
    // Seventeen megabytes of other things, and the same behind them. Of lines the latest are kept.
    for (const path of [`${saved}.large`, `${packets}.large`]) {
        await page.setInputFiles('#file', path);
        await page.waitForFunction((name) => document.getElementById('state').textContent === name, path.split('/').at(-1));
        assert.deepEqual((await lines(page)).slice(-all.length), all);
    }
    writeFileSync(`${saved}.bad`, '{"kind":"note","text":"<b>one</b>","time":1,"record":1,"connection":1}\nnonsense\n{"kind":"frame","head":"8"}\n');
    await page.setInputFiles('#file', `${saved}.bad`);
    await page.waitForFunction(() => document.getElementById('state').textContent.includes('2 lines left out'));
    assert.deepEqual(await lines(page), ['note <b>one</b>']);
    writeFileSync(`${packets}.bad`, 'nonsense');
    await page.setInputFiles('#file', `${packets}.bad`);
    await page.waitForFunction(() => document.getElementById('state').textContent.includes('this is no pcap file'));
    await page.click('#live');
    await waitFor(page, 'TCP ended first by the ');
    assert.deepEqual(await lines(page), all);

    // Paused, it waits, while Chromium itself comes as a client.
    await page.focus('#list');
    await page.keyboard.press('p');
    const other = await newPage(`http://127.0.0.1:${port}/none`); // a page whose policy forbids nothing
    const answer = await other.evaluate((port) => new Promise((done, failed) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
        socket.onopen = () => socket.send('from Chromium, from Chromium, from Chromium');
        socket.onmessage = ({ data }) => {
            socket.close(1000);
            done(data);
        };
        socket.onerror = () => failed(new Error('no WebSocket'));
    }), tap);
    assert.equal(answer, 'from Chromium, from Chromium, from Chromium');
    await other.close();
    await page.bringToFront();
    await page.waitForFunction(() => document.getElementById('counts').textContent.includes('came since the pause'));
    assert.equal((await lines(page)).length, all.length);
    await page.click('#pause');
    await waitFor(page, 'open from');
    await waitFor(page, '"from Chromium, from Chromium, from Chromium"');
    await page.selectOption('#connection', '1');
    assert.deepEqual(await lines(page), all);

    await choose(page, 'WebSocket from here on');
    await pictures(page, 'tap-handshake', folder);
    await choose(page, 'text fin 0 RSV1 MASK');
    await pictures(page, 'tap', folder);
    await choose(page, 'message 1 text, 3 frames');
    await pictures(page, 'tap-message', folder);
}
