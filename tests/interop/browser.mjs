// What the tests of pages share: a browser, its complaints, and pictures of a page as different readers have it.
//
// Chromium is Debian's: its path is the first argument. playwright-core only drives it.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const { chromium } = createRequire(import.meta.url)('playwright-core');

/// Runs a test with a browser, and ends the process with a status: test(newPage, argument...). newPage(options) opens a
/// page in a context of its own. Whatever a page complains of (errors, what its policy forbids) fails the test.
export async function withBrowser(test) {
    const [executablePath, ...rest] = process.argv.slice(2);
    const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
    const complaints = [];
    const newPage = async (url, options = {}) => {
        const page = await (await browser.newContext(options)).newPage();
        page.setDefaultTimeout(20_000);
        page.on('pageerror', (error) => complaints.push(`${error}`));
        page.on('console', (message) => {
            // That a connection failed is what some tests are about.
            if (message.type() === 'error' && !/ERR_CONNECTION|WebSocket connection|Failed to load resource|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text()))
                complaints.push(message.text());
        });
        await page.goto(url);
        return page;
    };
    try {
        await test(newPage, ...rest);
        if (complaints.length > 0) throw new Error(`the page complains: ${complaints.join('; ')}`);
        console.log('done');
    } catch (error) {
        console.error(error);
        process.exitCode = 1;
    } finally {
        await browser.close();
    }
}

/// Pictures of a page in its present state, into build/screenshots/, and what a reader could not see in any of them:
/// anything wider than the window.
export async function pictures(page, name, folder) {
    mkdirSync(folder, { recursive: true });
    const kinds = {
        light: [1280, 800, 'light'],
        dark: [1280, 800, 'dark'],
        projector: [1920, 1080, 'light'],
        phone: [390, 844, 'light'],
        'phone-dark': [320, 640, 'dark'],
    };
    for (const [kind, [width, height, colorScheme]] of Object.entries(kinds)) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height });
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (beyond > 0) throw new Error(`${name} is ${beyond} pixels wider than a window of ${width}`);
        const poor = await page.evaluate(poorContrast);
        if (poor.length > 0) throw new Error(`${name}, ${kind}: hard to read: ${poor.join('; ')}`);
        await page.screenshot({ path: `${folder}/${name}-${kind}.png` });
    }
}

/// Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2.1, 1.4.3). Runs in the page.
function poorContrast() {
    const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const color = parse(getComputedStyle(one).backgroundColor);
            if (color.length === 3 || color[3] > 0.99) return color;
        }
        return matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255];
    };
    const found = new Set();
    for (const element of document.querySelectorAll('body *')) {
        const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== '');
        const box = element.getBoundingClientRect();
        if (!hasText || box.width < 2 || box.height < 2 || element.closest('svg') || element.disabled) continue;
        const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) found.add(`${element.tagName} "${element.textContent.trim().slice(0, 30)}" ${contrast.toFixed(1)}`);
    }
    return [...found];
}
