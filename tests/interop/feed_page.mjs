// The feed's page in a browser: pages.mjs runs feed_page.mjs FOLDER PORT
// All four ways at once. FOLDER gets the pictures. The last line that it prints before "done" is the server's counters.

import assert from 'node:assert/strict';
import { pictures } from './pictures.mjs';

const ids = ['polling', 'long-polling', 'sse', 'websocket'];
const state = (page, id, text) => page.waitForFunction(
    ([id, text]) => document.querySelector(`#${id} .state`).textContent.includes(text), [id, text]);
const cost = async (page, id) => {
    const row = page.locator('#costs tr').nth(ids.indexOf(id));
    const cells = await row.locator('td').allTextContents();
    return cells.map((cell) => parseFloat(cell.replaceAll(',', '')));
};

const updates = (page) => page.$$eval('#costs tr td:nth-of-type(1)', (cells) => cells.map((cell) => Number(cell.textContent.replaceAll(',', ''))));
const enough = (page, least) => page.waitForFunction((wanted) => [...document.querySelectorAll('#costs tr td:nth-of-type(1)')]
    .every((cell) => Number(cell.textContent.replaceAll(',', '')) >= wanted), least);

async function countAnew(page) {
    await enough(page, 1);
    const before = await updates(page);
    await page.click('#reset');
    await page.waitForFunction((old) => [...document.querySelectorAll('#costs tr td:nth-of-type(1)')]
        .every((cell, i) => Number(cell.textContent.replaceAll(',', '')) < old[i]), before);
}

export default async function ({ newPage }, folder, port) {
    const page = await newPage(`http://127.0.0.1:${port}/`);
    for (const id of ids) await state(page, id, 'connected');

    // By keyboard alone: the first control is Stop.
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'run');
    await page.keyboard.press('Enter');
    for (const id of ids) await state(page, id, 'stopped');
    await page.keyboard.press('Enter');
    for (const id of ids) await state(page, id, 'connected');

    // Five polls for an update, so that some are in vain on the slowest machine.
    await page.evaluate(() => new Promise((done) => {
        const control = new WebSocket(`ws://${location.host}/control`);
        control.onopen = () => control.send('every 500');
        control.onmessage = ({ data }) => {
            control.close();
            done(data);
        };
    }));
    await page.waitForFunction(() => document.getElementById('every').value === '500'); // whoever has chosen it
    await page.selectOption('#interval', '100');
    await countAnew(page);
    await enough(page, 3);
    const each = await Promise.all(ids.map((id) => cost(page, id)));
    console.log(JSON.stringify(each));
    // bytes per update: polling > long polling > SSE > WebSocket
    for (let i = 0; i + 1 < each.length; ++i) assert.ok(each[i][5] > each[i + 1][5], `${ids[i]}: ${each[i][5]}, ${ids[i + 1]}: ${each[i + 1][5]}`);
    // requests: one for each poll, one for each update, and none since the stream and the WebSocket are open
    assert.ok(each[0][1] > each[0][0]);
    assert.ok(each[1][1] <= each[1][0] + 1);
    assert.deepEqual([each[2][1], each[3][1]], [0, 0]);
    // delay: polling is the latest, by half its interval
    await page.selectOption('#every', '50');
    await page.selectOption('#interval', '500');
    await page.waitForFunction(() => document.getElementById('state').textContent === 'an update every 50 ms');
    await countAnew(page);
    await enough(page, 20);
    const late = await Promise.all(ids.map((id) => cost(page, id)));
    console.log(JSON.stringify(late));
    for (const other of late.slice(1)) assert.ok(late[0][6] > other[6], `${late[0][6]}, ${other[6]}`);
    await page.selectOption('#every', '200');
    await page.selectOption('#interval', '100');

    // Cut, all four: each comes back by itself, and misses nothing that the backlog has.
    for (const id of ids) {
        await page.click(`#${id} button`);
        // A GET whose connection ends before its answer begins is repeated by the browser itself.
        if (id === 'sse') await state(page, id, 'lost');
        if (id === 'websocket') await state(page, id, 'closed: 1006');
    }
    for (const id of ids) await state(page, id, 'connected');
    assert.match(await page.textContent('#state'), / cut$/);
    const before = await cost(page, 'sse');
    await enough(page, before[0] + 2);
    const missed = await page.locator('.state').allTextContents();
    assert.ok(missed.every((text) => !text.includes('missed')), missed.join());

    await page.selectOption('#every', '1000');
    await page.selectOption('#interval', '500');
    await pictures(page, 'feed', folder);
}
