// Bad frames on purpose from the tap's page: pages.mjs runs tap_provoke.mjs FOLDER PORT
// PORT is the page's; behind the tap is a server of ours.

import assert from 'node:assert/strict';
import { pictures } from './pictures.mjs';

export default async function ({ newPage }, folder, port) {
    const page = await newPage(`http://127.0.0.1:${port}/`);
    const detail = (text) => page.waitForFunction((wanted) => document.getElementById('detail').textContent.includes(wanted), text);
    await page.waitForFunction(() => !document.getElementById('provoke').disabled);
    assert.equal(await page.locator('#provocation option').count() > 50, true);

    await page.selectOption('#provocation', 'no-key');
    await page.click('#provoke');
    await detail('as demanded: it is refused');
    assert.match(await page.textContent('#detail'), /GET \/ HTTP\/1\.1\nHost: 127/);

    // By keyboard.
    await page.focus('#provocation');
    await page.selectOption('#provocation', 'rsv2');
    await page.keyboard.press('Tab');
    await page.fill('#resource', '/chat');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await detail('On purpose: rsv2');
    await detail('a1 85 00 00 00 00 48 65 6c 6c 6f');
    await detail('MUST fail the connection; the code for it is 1002');
    await detail('Close 1002 (protocol error)');
    await detail('as demanded: failed');
    // And the list has it like everything else that passes.
    const lines = ['http GET /chat HTTP/1.1', 'text FIN RSV2 MASK, 5 bytes  "Hello" !! RSV2', 'close FIN'];
    for (const line of lines) await page.waitForFunction((wanted) => document.getElementById('list').textContent.includes(wanted), line);
    await pictures(page, 'tap-provoke', folder);
}
