// What the tests of pages share: pictures of a page as different readers have it.

import { mkdirSync, writeFileSync } from 'node:fs';

/// Pictures of a page in its present state, into build/screenshots/, and what a reader could not see in any of them:
/// anything wider than the window.
export async function pictures(page, name, folder) {
    mkdirSync(folder, { recursive: true });
    const devtools = await page.context().newCDPSession(page);
    const kinds = {
        light: [1280, 800, 'light'],
        dark: [1280, 800, 'dark'],
        projector: [1920, 1080, 'light'],
        phone: [360, 640, 'light'],
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
        // page.screenshot() has it compressed as well as it can be, which takes longer than all the rest.
        const options = { format: 'png', optimizeForSpeed: true };
        if (kind.startsWith('phone')) { // all that there is to scroll
            const whole = await page.evaluate(() => document.documentElement.scrollHeight);
            Object.assign(options, { captureBeyondViewport: true, clip: { x: 0, y: 0, width, height: whole, scale: 1 } });
        }
        const { data } = await devtools.send('Page.captureScreenshot', options);
        writeFileSync(`${folder}/${name}-${kind}.png`, Buffer.from(data, 'base64'));
    }
    await devtools.detach();
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
