// The pages and the picture that scripts/wire writes, in a browser: pages.mjs runs wire_page.mjs FOLDER PAGES
// PAGES has tcp.html, tcp.svg, udp.html, websocket.html and unix.html in it. FOLDER gets the pictures.

import assert from 'node:assert/strict';
import { pictures } from './pictures.mjs';

const about = (page) => page.textContent('#about');

export default async function ({ newPage }, folder, pages) {
    const page = await newPage(`file://${pages}/tcp.html`);
    const rows = await page.locator('.row').count();
    assert.ok(rows > 30, `${rows} rows`);
    assert.equal(await page.textContent('#where'), `${rows} rows`);

    // Pointing at a segment tells its header, at a call what it does.
    await page.locator('.row', { hasText: 'SYN seq 0' }).first().hover();
    assert.match(await about(page), /source port +\d+[\s\S]*sequence number/);
    await page.locator('.row', { hasText: 'accept = ' }).hover();
    assert.match(await about(page), /tcp\/echo_server\.cpp:\d+[\s\S]*ESTABLISHED[\s\S]*accept: /);
    await page.locator('.row', { hasText: 'hello <b>&amp; 안녕' }).first().hover();
    assert.match(await about(page), /hello <b>&amp; 안녕/);
    assert.equal(await page.locator('#stage b').count(), 0);

    // By the keys alone: one more row at a time, and the others not yet.
    await page.keyboard.press('Home');
    assert.equal(await page.textContent('#where'), `1 of ${rows}`);
    assert.equal(await page.locator('.row.later').count(), rows - 1);
    for (let i = 0; i < 12; ++i) await page.keyboard.press('ArrowRight');
    assert.equal(await page.textContent('#where'), `13 of ${rows}`);
    await page.keyboard.press('ArrowLeft');
    assert.equal(await page.textContent('#where'), `12 of ${rows}`);
    assert.equal(await page.locator('.row.now').count(), 1);
    await page.screenshot({ path: `${folder}/wire-tcp-step.png` });
    await page.keyboard.press('End');
    assert.equal(await page.textContent('#where'), `${rows} of ${rows}`);
    await page.keyboard.press('ArrowDown');
    assert.equal(await page.textContent('#where'), `${rows} of ${rows}`);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.row.later').count(), 0);
    await pictures(page, 'wire-tcp', folder);

    // On paper, without colours.
    await page.setViewportSize({ width: 1000, height: 1400 });
    await page.emulateMedia({ media: 'print', colorScheme: 'light' });
    assert.equal(await page.isVisible('#panel'), false);
    await page.screenshot({ path: `${folder}/wire-tcp-print.png`, fullPage: true });
    await page.emulateMedia({ media: 'screen' });

    for (const name of ['udp', 'websocket', 'unix']) {
        const other = await newPage(`file://${pages}/${name}.html`, { viewport: { width: 1280, height: 1000 } });
        if (name === 'unix') {
            await other.locator('.row', { hasText: '6 bytes' }).first().hover();
            assert.match(await about(other), /^6 bytes/);
        }
        await other.screenshot({ path: `${folder}/wire-${name}.png`, fullPage: true });
    }

    const picture = await newPage(`file://${pages}/tcp.svg`, { viewport: { width: 1300, height: 1000 } });
    assert.equal(await picture.evaluate(() => document.documentElement.tagName), 'svg');
    assert.equal(await picture.evaluate(() => document.querySelectorAll('.row title').length), rows);
    await picture.screenshot({ path: `${folder}/wire-tcp-svg.png` });
}
