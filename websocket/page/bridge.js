// The bridge's page: what a program of sockets does with connect, send, shutdown, recv and close, by way of a WebSocket.

const $ = (id) => document.getElementById(id);
const encoder = new TextEncoder();
let decoder; // of one connection: a character may be cut by the end of a message
let socket = null;
let up = 0;
let down = 0;

function say(text, kind = '') {
    const log = $('log');
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 4;
    const part = document.createElement('span');
    part.className = kind;
    part.textContent = text; // never HTML: it comes from somebody else
    log.append(part);
    while (log.childNodes.length > 2000) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
}

// Control characters as symbols, newline and tab excepted.
function visible(text) {
    return text.replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
        .replace(/\u007f/g, '\u2421');
}

function show(state, open, sending) {
    $('state').textContent = state;
    $('connect').disabled = open;
    $('close').disabled = !open;
    for (const id of ['finish', 'line', 'send']) $(id).disabled = !sending;
    $('counters').textContent = `${up} bytes up, ${down} bytes down`;
}

function transmit(bytes) {
    socket.send(bytes);
    up += bytes.length;
    show($('state').textContent, true, true);
}

function connect() {
    up = down = 0;
    decoder = new TextDecoder();
    socket = new WebSocket(`ws://${location.host}/`, ['binary']);
    socket.binaryType = 'arraybuffer';
    show('connecting', true, false);
    socket.onopen = () => {
        show('connected', true, true);
        $('line').focus();
    };
    socket.onmessage = ({ data }) => {
        down += data.byteLength;
        say(visible(decoder.decode(data, { stream: true })));
        show($('state').textContent, true, !$('send').disabled);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
        const text = `closed: ${code}${reason ? ` ${reason}` : ''}${wasClean ? '' : ', not clean'}`;
        say(`\n${text}\n`, wasClean && code === 1000 ? 'dim' : 'bad');
        show(text, false, false);
        $('connect').focus();
    };
}

// "68 65 6c 6c 6f 0a" as bytes; null if it is something else.
function parseHex(text) {
    const digits = text.replace(/\s+/g, '');
    if (!/^([0-9a-f]{2})+$/i.test(digits)) return null;
    return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
}

$('connect').onclick = connect;
$('close').onclick = () => socket.close(1000, 'bye');
$('finish').onclick = () => {
    socket.send(new Uint8Array(0)); // an empty message: the bridge shuts down its sending side
    say('\n(no more is sent)\n', 'dim');
    show('connected, sending no more', true, false);
};
$('form').onsubmit = (event) => {
    event.preventDefault();
    const text = $('line').value;
    const bytes = $('hex').checked ? parseHex(text) : encoder.encode(`${text}\n`);
    if (bytes === null) {
        $('line').setCustomValidity('two hexadecimal digits for each byte');
        $('line').reportValidity();
        return;
    }
    say(`> ${visible(text)}\n`, 'dim');
    transmit(bytes);
    $('line').value = '';
};
$('line').oninput = () => $('line').setCustomValidity('');
