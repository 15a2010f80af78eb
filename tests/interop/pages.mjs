// Tests of pages, one after the other in one browser, since starting it takes longer than most of them:
//
//     echo '["feed_page.mjs", "build/screenshots", "7000"]' |
//         NODE_PATH=build/interop/node_modules node tests/interop/pages.mjs /usr/bin/chromium
//
// Each line of standard input is a script beside this one and its arguments. The script's default function is called
// with what it needs, and them; when it returns, "done" is printed. When it throws, or when the page complains of
// anything (errors, what its policy forbids), this program ends with status 1. Chromium is Debian's: playwright-core
// only drives it.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { chromium } = createRequire(import.meta.url)('playwright-core');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/// Lets whoever has started us do something: says so by a line, and waits for the same line.
async function ask(what) {
    console.log(what);
    assert.equal((await lines.next()).value, what);
}

async function test(browser, script, rest) {
    const context = await browser.newContext();
    const complaints = [];
    /// Opens a page in front of those that are there, which stand still then; beside: in a window of its own, which takes
    /// three times as long.
    const newPage = async (url, { viewport, beside = false } = {}) => {
        const page = await (beside ? await browser.newContext() : context).newPage();
        page.setDefaultTimeout(20_000);
        if (viewport) await page.setViewportSize(viewport);
        // Asked at each frame, as is usual, Chromium would draw sixty of them a second for as long as a test waits.
        const wait = page.waitForFunction.bind(page);
        page.waitForFunction = (condition, argument) => wait(condition, argument, { polling: 20 });
        page.on('pageerror', (error) => complaints.push(`${error}`));
        page.on('console', (message) => {
            // That a connection failed is what some tests are about.
            if (message.type() === 'error' && !/ERR_CONNECTION|WebSocket connection|Failed to load resource|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text()))
                complaints.push(message.text());
        });
        await page.goto(url);
        return page;
    };
    const { default: run } = await import(new URL(script, import.meta.url));
    await run({ newPage, ask }, ...rest);
    if (complaints.length > 0) throw new Error(`the page complains: ${complaints.join('; ')}`);
    for (const one of browser.contexts()) await one.close();
}

const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
try {
    for (let next = await lines.next(); !next.done; next = await lines.next()) {
        const [script, ...rest] = JSON.parse(next.value);
        await test(browser, script, rest);
        console.log('done');
    }
} catch (error) {
    console.error(error);
    process.exitCode = 1;
} finally {
    await browser.close();
    process.stdin.destroy();
}
