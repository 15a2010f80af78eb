// The feed's page: the same updates by fetch in a loop, by fetch that waits, by EventSource and by WebSocket. Each of the
// four comes back by itself when its connection is lost: EventSource since that is what it does, the others by what
// stands here.

const $ = (id) => document.getElementById(id);
const shown = 6_000; // milliseconds in a picture
const again = 1000; // before a lost connection is made again
let running = true;

// ---- What one way has brought

function makeWay(id, name) {
    return { id, name, last: 0, arrived: 0, missed: 0, delay: 0, timed: 0, updates: [], state: '', bad: false };
}
const ways = [
    makeWay('polling', 'Polling'),
    makeWay('long-polling', 'Long polling'),
    makeWay('sse', 'Server-Sent Events'),
    makeWay('websocket', 'WebSocket'),
];
const [polling, longPolling, sse, websocket] = ways;

const clock = () => performance.timeOrigin + performance.now(); // milliseconds since 1970, with parts of them

// "17 1764097000.123456 52.30 ...": number, when it happened, what.
function take(way, text) {
    const [number, seconds, value] = text.split(' ').map(Number);
    if (!(number > 0) || !Number.isFinite(seconds) || !Number.isFinite(value)) throw new Error('no such update');
    const update = { happened: seconds * 1000, arrived: clock(), value };
    ++way.arrived;
    if (way.last > 0 && number > way.last) {
        way.missed += number - way.last - 1;
        ++way.timed;
        way.delay += update.arrived - update.happened;
    }
    way.last = number; // a smaller one: the server was started again
    way.updates.push(update);
    while (way.updates.length > 2000) way.updates.shift();
    if (way.updates.length === 1 || way.bad) say(way, 'connected');
}

function say(way, text, bad = false) {
    way.state = text;
    way.bad = bad;
}

const since = (way) => (way.last > 0 ? `?since=${way.last}` : '');
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// ---- The four ways

let stopping = new AbortController(); // ends what waits when the reader says stop

async function ask(way, path) {
    const response = await fetch(`${path}${since(way)}`, { signal: stopping.signal });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    const text = await response.text(); // 204, nothing new: empty
    for (const line of text.split('\n')) if (line !== '') take(way, line);
    if (way.state === '' || way.bad) say(way, 'connected');
}

async function poll(run) {
    while (run === runs) {
        const began = performance.now();
        try {
            await ask(polling, 'poll');
        } catch (error) {
            if (run === runs) say(polling, `${error.message}; the next poll tries again`, true);
        }
        await sleep(Math.max(0, Number($('interval').value) - (performance.now() - began)));
    }
}

async function pollLong(run) {
    while (run === runs) {
        try {
            await ask(longPolling, 'long-poll');
        } catch (error) {
            if (run !== runs) return;
            say(longPolling, `${error.message}; again in ${again / 1000} s`, true);
            await sleep(again);
        }
    }
}

let source = null;
function listenToEvents() {
    source = new EventSource(`events${since(sse)}`);
    source.onopen = () => say(sse, 'connected');
    source.onmessage = ({ data }) => take(sse, data);
    source.onerror = ({ target }) => {
        if (target !== source) return;
        // CONNECTING: it comes back by itself, and says Last-Event-ID.
        const given = target.readyState === EventSource.CLOSED;
        say(sse, given ? 'refused; press Start' : 'lost; it comes back by itself', true);
    };
}

let socket = null;
function listenToSocket(run) {
    socket = new WebSocket(`ws://${location.host}/socket${since(websocket)}`);
    socket.onopen = () => say(websocket, 'connected');
    socket.onmessage = ({ data }) => take(websocket, data);
    socket.onclose = async ({ code }) => {
        if (run !== runs) return;
        say(websocket, `closed: ${code}; again in ${again / 1000} s`, true);
        await sleep(again);
        if (run === runs) listenToSocket(run);
    };
}

let runs = 0; // which of the readers' Starts is in force; what another began ends
function start() {
    running = true;
    ++runs;
    stopping = new AbortController();
    for (const way of ways) say(way, '');
    poll(runs);
    pollLong(runs);
    listenToEvents();
    listenToSocket(runs);
    $('run').textContent = 'Stop';
}

function stop() {
    running = false;
    ++runs;
    stopping.abort();
    source.close();
    source = null;
    socket.close();
    for (const way of ways) say(way, 'stopped');
    $('run').textContent = 'Start';
}

// ---- The control: one more WebSocket, whose bytes are not counted among the four

let control = null;
const answers = []; // who waits for the next answers: each command gets one, in order

function connectControl() {
    control = new WebSocket(`ws://${location.host}/control`);
    control.onopen = () => {
        $('state').textContent = '';
        $('state').className = '';
        command('counters', showCounters);
    };
    control.onmessage = ({ data }) => answers.shift()?.(data);
    control.onclose = async ({ code }) => {
        answers.length = 0;
        $('state').textContent = `no server (${code})`;
        $('state').className = 'bad';
        await sleep(again);
        connectControl();
    };
}

function command(text, then = tell) {
    if (control.readyState !== WebSocket.OPEN) return;
    answers.push(then);
    control.send(text);
}

function tell(answer) {
    $('state').textContent = answer;
}

function showCounters(text) {
    const counters = JSON.parse(text);
    choose($('every'), counters.every, (value) => `${value} ms`);
    choose($('size'), counters.size, (value) => `${value} bytes`);
    for (const way of ways) {
        const one = counters.ways[way.id];
        const bytes = one.received + one.sent;
        const delay = way.timed === 0 ? '–' : `${(Math.max(0, way.delay) / way.timed).toFixed(1)} ms`;
        const cells = [one.updates, one.requests, one.connections, one.received, one.sent,
            one.updates === 0 ? '–' : (bytes / one.updates).toLocaleString('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 }), delay];
        cells.forEach((cell, i) => {
            way.cells[i].textContent = typeof cell === 'number' ? cell.toLocaleString('en') : cell;
        });
    }
}

// Shows what the server does, also if somebody else has told it to; but not while the reader is choosing.
function choose(select, value, text) {
    if (document.activeElement === select) return;
    if (![...select.options].some((option) => option.value === String(value))) select.add(new Option(text(value), value));
    select.value = value;
}

// ---- The pictures

// The values between which all that is shown lies; the same for all four.
function range(now) {
    let [low, high] = [Infinity, -Infinity];
    for (const { updates } of ways) {
        for (const { arrived, value } of updates) {
            if (arrived < now - shown - 1000) continue;
            low = Math.min(low, value);
            high = Math.max(high, value);
        }
    }
    const missing = Math.max(0, 10 - (high - low)) / 2;
    return low <= high ? [low - missing, high + missing] : [0, 100];
}

function draw(way, color, dim, now, [low, high]) {
    const canvas = way.canvas;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext('2d');
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);

    // One line for each second.
    const x = (time) => width - 8 - ((now - time) / shown) * (width - 8);
    const y = (value) => height - 8 - ((value - low) / (high - low)) * (height - 16);
    context.strokeStyle = dim;
    context.globalAlpha = 0.35;
    context.lineWidth = 1;
    context.beginPath();
    for (let second = Math.floor(now / 1000) * 1000; second > now - shown; second -= 1000) {
        context.moveTo(x(second), 0);
        context.lineTo(x(second), height);
    }
    context.stroke();
    context.globalAlpha = 1;

    // An update is on its way where the line is, and here where the dot is.
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = Math.max(2, height / 40);
    context.lineCap = 'round';
    const radius = Math.max(3, height / 28);
    for (const { happened, arrived, value } of way.updates) {
        if (arrived < now - shown - 1000) continue;
        context.beginPath();
        context.moveTo(x(happened), y(value));
        context.lineTo(x(arrived), y(value));
        context.stroke();
        context.beginPath();
        context.arc(x(arrived), y(value), radius, 0, 2 * Math.PI);
        context.fill();
    }
}

function show() {
    const style = getComputedStyle(document.documentElement);
    const now = clock();
    const values = range(now);
    ways.forEach((way, i) => {
        draw(way, style.getPropertyValue(['--one', '--two', '--three', '--four'][i]), style.getPropertyValue('--line'), now, values);
        const newest = way.updates.at(-1);
        if (newest !== undefined && way.valueLine.textContent !== newest.value.toFixed(2))
            way.valueLine.textContent = newest.value.toFixed(2);
        const text = `${way.state || 'connecting'}${way.missed > 0 ? `; missed: ${way.missed}` : ''}`;
        if (way.stateLine.textContent !== text) way.stateLine.textContent = text;
        way.stateLine.className = `state ${way.bad ? 'bad' : 'dim'}`;
    });
}

function build() {
    const make = (name, parent, text = '', kind = '') => {
        const element = document.createElement(name);
        element.textContent = text;
        element.className = kind;
        parent.append(element);
        return element;
    };
    for (const way of ways) {
        const panel = make('section', $('ways'), '', 'panel way');
        panel.id = way.id;
        const title = make('h2', panel);
        const name = make('span', title);
        make('span', name, '', 'swatch');
        name.append(way.name);
        way.valueLine = make('span', title, '', 'value mono');
        way.canvas = make('canvas', panel);
        way.canvas.setAttribute('role', 'img');
        way.canvas.setAttribute('aria-label', `${way.name}: its updates of the last ${shown / 1000} seconds, and how late each came`);
        way.stateLine = make('span', panel, 'connecting', 'state dim');
        const cut = make('button', panel, 'Cut the connection');
        cut.type = 'button';
        cut.setAttribute('aria-label', `Cut the connection: ${way.name}`);
        cut.onclick = () => command(`cut ${way.id}`, (answer) => tell(`${way.name}: ${answer}`));

        const row = make('tr', $('costs'));
        const head = make('th', row);
        head.scope = 'row';
        make('span', head, '', 'swatch');
        head.append(way.name);
        const names = ['updates', 'requests', 'connections', 'bytes up', 'bytes down', 'bytes per update', 'delay'];
        way.cells = names.map((cell) => {
            const element = make('td', row, '–', 'number');
            element.dataset.name = cell;
            return element;
        });
    }
}

build();
$('run').onclick = () => (running ? stop() : start());
$('every').onchange = ({ target }) => command(`every ${target.value}`);
$('size').onchange = ({ target }) => command(`size ${target.value}`);
$('reset').onclick = () => {
    for (const way of ways) way.timed = way.delay = way.missed = 0;
    command('reset');
    command('counters', showCounters);
};
connectControl();
start();
setInterval(() => command('counters', showCounters), 500);

// Twenty pictures a second are enough. Where the reader wants no movement, it steps on once a second.
const calm = matchMedia('(prefers-reduced-motion: reduce)');
function frame() {
    show();
    setTimeout(() => requestAnimationFrame(frame), calm.matches ? 1000 : 50);
}
frame();
