// Debian's noVNC in a browser, and a VNC server behind the bridge: pages.mjs runs novnc.mjs FOLDER PAGES BRIDGE NAME
// PAGES is the port of a web server with noVNC's files, BRIDGE that of the bridge, and NAME the desktop's name.

import assert from 'node:assert/strict';

export default async function ({ newPage }, folder, pages, bridge, name) {
    const page = await newPage(`http://127.0.0.1:${pages}/vnc_lite.html?host=127.0.0.1&port=${bridge}&path=`);
    await page.waitForFunction((text) => document.getElementById('status').textContent === text, `Connected to ${name}`);
    const [width, height] = await page.evaluate(() => {
        const canvas = document.querySelector('#screen canvas');
        return [canvas.width, canvas.height];
    });
    assert.deepEqual([width, height], [320, 240]);
    // A picture has come: no longer is every dot of it transparent.
    await page.waitForFunction(() => {
        const canvas = document.querySelector('#screen canvas');
        const dots = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return dots.some((value, i) => i % 4 === 3 && value !== 0);
    });
    await page.screenshot({ path: `${folder}/novnc.png` });
}
