// What the tests of pages share: pictures of a page as different readers have it.

import { mkdirSync, writeFileSync } from 'node:fs';

/// Pictures of a page in its present state, into build/screenshots/, and what a reader could not read in any of them:
/// what is wider than the window, words that are cut in two, panels without height, and weak contrast.
export async function pictures(page, name, folder) {
    mkdirSync(folder, { recursive: true });
    const devtools = await page.context().newCDPSession(page);
    const kinds = {
        light: [1280, 800, 'light'],
        dark: [1280, 800, 'dark'],
        projector: [1920, 1080, 'light'],
        phone: [360, 640, 'light'],
        'phone-dark': [320, 640, 'dark'],
        'phone-large': [360, 640, 'light', '24px'],
    };
    for (const [kind, [width, height, colorScheme, size = '']] of Object.entries(kinds)) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height });
        await page.evaluate((fontSize) => Object.assign(document.documentElement.style, { fontSize }), size);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (beyond > 0) throw new Error(`${name} is ${beyond} pixels wider than a window of ${width}`);
        const sideways = await page.$$eval('.panel', (all) => all.filter((one) => one.scrollWidth > one.clientWidth + 1).length);
        if (sideways > 0 && !size) throw new Error(`${name}, ${kind}: a panel has to be scrolled sideways`);
        const squeezed = await page.evaluate(squeezedElements);
        if (squeezed.length > 0) throw new Error(`${name}, ${kind}: too narrow: ${squeezed.join('; ')}`);
        const poor = await page.evaluate(poorContrast);
        if (poor.length > 0) throw new Error(`${name}, ${kind}: hard to read: ${poor.join('; ')}`);
        // page.screenshot() has it compressed as well as it can be, which takes longer than all the rest.
        const options = { format: 'png', optimizeForSpeed: true };
        if (kind.startsWith('phone')) { // all that there is to scroll
            const whole = await page.evaluate(() => document.documentElement.scrollHeight);
            Object.assign(options, { captureBeyondViewport: true, clip: { x: 0, y: 0, width, height: whole, scale: 1 } });
        }
        const { data } = await devtools.send('Page.captureScreenshot', options);
        writeFileSync(`${folder}/${name}-${kind}.png`, Buffer.from(data, 'base64'));
    }
    await page.evaluate(() => document.documentElement.style.removeProperty('font-size'));
    await devtools.detach();
}

/// Titles, labels and buttons with a word that is cut in two, and panels that scroll and show no more than a line. Runs in
/// the page.
function squeezedElements() {
    const found = new Set();
    for (const element of document.querySelectorAll('h1, h2, h3, th, label, button, [role="log"], [role="listbox"]')) {
        if (element.hasAttribute('role') && element.clientHeight < 64) found.add(`#${element.id} is ${element.clientHeight} high`);
        for (const node of element.childNodes) {
            if (node.nodeType !== Node.TEXT_NODE || element.hasAttribute('role')) continue;
            for (const { index, 0: word } of node.textContent.matchAll(/[^\s\u00ad/-]+/g)) {
                const range = document.createRange();
                range.setStart(node, index);
                range.setEnd(node, index + word.length);
                if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) found.add(word);
            }
        }
    }
    return [...found];
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
