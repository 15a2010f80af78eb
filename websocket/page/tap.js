// The tap's page: the records that the tap tells (or a file has), as a list, and the one that is chosen bit by bit.

const $ = (id) => document.getElementById(id);
const SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MOST_RECORDS = 5000; // in memory: the oldest are forgotten
const MOST_OF_FILE = 50000;
const MOST_LINES = 1500; // in the list
const PIECE = 256 * 1024; // of a file
const OPCODES = { 0: 'continuation', 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };
const CODES = {
    1000: 'normal closure', 1001: 'going away', 1002: 'protocol error', 1003: 'unsupported data',
    1005: 'no code was sent; must not travel', 1006: 'no Close frame was sent; must not travel',
    1007: 'invalid payload data', 1008: 'policy violation', 1009: 'message too big', 1010: 'an extension is missing',
    1011: 'internal error', 1012: 'service restart', 1013: 'try again later', 1014: 'bad gateway',
    1015: 'TLS failed; must not travel',
};

let records = []; // those that are kept
let forgotten = 0;
let lost = 0; // that the tap did not send, since this page was too slow
let broken = 0; // lines of a file that are no records
let waiting = []; // that came while it was paused
let paused = false;
let file = null; // the name of the file that is shown instead
let loads = 0; // which of the files that is, or none
let answered = null; // what waits for the tap's answer to a piece of it
let chosen = null;
let begin = null; // the first record's time
let socket = null;

// ---- Small things

function element(name, className = '', text = '') {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== '') made.textContent = text; // never HTML: it comes from somebody else
    return made;
}

const counted = (count, what) => `${count ?? 0} ${what}${count === 1 ? '' : 's'}`;
const side = (record) => (record.direction === 'down' ? 'server' : 'client');
const bytesOf = (hex) => Uint8Array.from((hex ?? '').match(/../g) ?? [], (pair) => parseInt(pair, 16));
const spaced = (hex) => (hex ?? '').replace(/..(?=.)/g, '$& ');
const isControl = (record) => record.opcode >= 8;
const opcodeName = (record) => OPCODES[record.opcode ?? 0] ?? `opcode ${(record.opcode ?? 0).toString(16).toUpperCase()}`;
const isLinked = (record) => (record.kind === 'frame' && record.message > 0 && (!record.fin || record.fragment !== 1)) ||
    (record.kind === 'message' && record.fragments > 1);
// A segment that is not exactly one frame, or one head.
const isAskew = (record) => Boolean(record.begins || record.ends || record.whole > 1);

function codeMeaning(code) {
    if (CODES[code]) return CODES[code];
    if (code >= 3000 && code < 4000) return 'registered by a library or framework';
    return code >= 4000 && code < 5000 ? 'private use' : 'must not travel';
}

// Control characters as symbols, newline and tab excepted.
function visible(text) {
    return text.replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
        .replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

// The text of these bytes, or null where they are none. The end may be cut.
function textOf(hex, cut) {
    const bytes = bytesOf(hex);
    for (let drop = 0; drop < (cut ? 4 : 1) && drop <= bytes.length; ++drop) {
        try {
            return visible(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, bytes.length - drop)));
        } catch {
            // try without the last byte
        }
    }
    return null;
}

function shown(hex, whole, most) {
    const cut = (hex ?? '').length / 2 < whole || (hex ?? '').length / 2 > most;
    const part = (hex ?? '').slice(0, 2 * most);
    const text = textOf(part, cut);
    return (text === null ? spaced(part) : `"${text.replace(/\n/g, '\u240a')}"`) + (cut ? ' \u2026' : '');
}

function lengthForm(record) {
    const extended = record.head.length / 2 - 2 - (record.mask ? 4 : 0);
    return extended === 0 ? '7 bits' : `7+${8 * extended} bits`;
}

const milliseconds = (microseconds) => `${(microseconds / 1000).toFixed(3)} ms`;

// ---- A record in a line

function summary(record) {
    switch (record.kind) {
    case 'open': return ['open', `from ${record.from} to ${record.at}`];
    case 'segment': return ['segment', `${record.index}: ${counted(record.size, 'byte')}` +
        (record.begins ? `, begins within a ${record.begins}` : '') + `, ends ${counted(record.whole, 'frame')}` +
        (record.ends ? `, ends within a ${record.ends}` : '') +
        (record.missing ? `, ${counted(record.missing, 'byte')} missing` : '')];
    case 'http': return ['http', record.line ?? ''];
    case 'handshake': return record.accepted
        ? ['handshake', `WebSocket from here on, Accept ${record.accept === record.expected ? 'right' : 'WRONG'}` +
            (record.protocol ? `, subprotocol ${record.protocol}` : '') + (record.extensions ? `, ${record.extensions}` : '')]
        : ['handshake', record.text ?? 'refused'];
    case 'frame': {
        let text = `${record.fin ? 'FIN' : 'fin 0'}${record.rsv1 ? ' RSV1' : ''}${record.rsv2 ? ' RSV2' : ''}${record.rsv3 ? ' RSV3' : ''}` +
            `${record.mask ? ' MASK' : ''}, ${counted(record.length, 'byte')}`;
        if (isLinked(record)) text += record.fragment ? `, message ${record.message}, fragment ${record.fragment}` : `, within message ${record.message}`;
        if (record.last_segment > record.first_segment) text += `, segments ${record.first_segment} to ${record.last_segment}`;
        if (record.code) text += `, ${record.code} (${codeMeaning(record.code)})${record.reason ? ` "${record.reason}"` : ''}`;
        if (record.opcode === 10) text += record.round_trip === undefined ? ', nobody asked' : `, answers after ${milliseconds(record.round_trip)}`;
        if (record.payload && record.opcode !== 8) text += record.compressed ? '' : `  ${shown(record.plain, record.length, 40)}`;
        return [opcodeName(record), text];
    }
    case 'message': return [`message ${record.index}`, `${opcodeName(record)}, ${counted(record.fragments, 'frame')}` +
        (record.between ? `, ${counted(record.between, 'control frame')} between` : '') +
        (record.compressed ? `, ${counted(record.size, 'byte')} compressed, ${record.inflated ?? 0} inflated` : `, ${counted(record.size, 'byte')}`) +
        (record.plain ? `  ${shown(record.plain, record.inflated ?? 0, 80)}` : '')];
    case 'raw': return ['bytes', `${counted(record.size, 'byte')}${record.text ? ` of ${record.text}` : ''}  ${shown(record.plain, record.size, 40)}`];
    case 'gap': return ['unseen', `${counted(record.size, 'byte')} passed unseen: the tap was too slow to look`];
    case 'note': return ['note', record.text ?? ''];
    case 'end': return ['end', record.how === 'refused' ? 'no connection to the server'
        : record.how === 'RST' ? `RST: the ${side(record)} has reset the connection`
            : `FIN: the ${side(record)} sends no more${record.first ? ', and is the first to say so' : ''}`];
    case 'over': return ['over', record.text ?? ''];
    default: return [String(record.kind), ''];
    }
}

function line(record) {
    const row = element('div', `record ${record.direction ?? ''}`);
    row.id = `record-${record.record}`;
    row.setAttribute('role', 'option');
    row.setAttribute('aria-selected', String(chosen === record));
    row.record = record;
    const [kind, text] = summary(record);
    const what = element('span', 'what');
    what.append(element('span', 'kind', kind), ` ${text}`);
    for (const problem of record.problems ?? []) what.append(element('span', 'problem', ` !! ${problem}`));
    row.append(element('span', 'time', ((record.time - begin) / 1e6).toFixed(4)), element('span', 'number', `#${record.connection}`),
        element('span', 'arrow', record.kind === 'open' || record.kind === 'over' || record.kind === 'handshake' ? '\u2013'
            : record.direction === 'down' ? '\u2190' : '\u2192'), what);
    if (['segment', 'raw', 'note', 'gap'].includes(record.kind)) row.classList.add('aside');
    if (isLinked(record)) {
        row.classList.add('linked');
        if (!record.fragment && record.kind === 'frame') row.classList.add('between');
        if (record.fragment === 1) row.classList.add('begins');
        if (record.kind === 'message') row.classList.add('finishes');
    }
    return row;
}

// ---- The list

function isWanted(record) {
    if ($('connection').value && String(record.connection) !== $('connection').value) return false;
    if ($('from').value && record.direction !== $('from').value) return false;
    const show = $('show').value;
    if (show === 'most' && record.kind === 'segment' && !isAskew(record)) return false;
    if (show === 'messages' && record.kind !== 'message') return false;
    if (show === 'frames' && record.kind !== 'frame') return false;
    if (show === 'control' && !(record.kind === 'frame' && isControl(record))) return false;
    if (show === 'problems' && !(record.problems?.length > 0)) return false;
    const wanted = $('text').value.trim().toLowerCase();
    if (!wanted) return true;
    const all = `${summary(record).join(' ')} ${(record.fields ?? []).join(' ')} ${spaced(record.head)} ${spaced(record.plain)} ` +
        `${(record.problems ?? []).join(' ')} ${textOf(record.plain, true) ?? ''}`;
    return all.toLowerCase().includes(wanted);
}

function append(some) {
    const list = $('list');
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 8;
    const rows = document.createDocumentFragment();
    for (const record of some.slice(-MOST_LINES)) rows.append(line(record));
    list.append(rows);
    while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
}

function showAll() {
    $('list').replaceChildren();
    append(records.filter(isWanted));
    count();
}

function count() {
    const parts = [counted(records.length, 'record')];
    if (file) parts.push(`of ${file}`);
    if ($('list').childElementCount < records.length) parts.push(`${$('list').childElementCount} shown`);
    if (waiting.length > 0) parts.push(`${waiting.length} came since the pause`);
    if (forgotten > 0) parts.push(`${forgotten} older ones forgotten here`);
    if (lost > 0) parts.push(file ? `${lost} left out: too many at once` : `${lost} not sent, since this page was too slow`);
    if (broken > 0) parts.push(`${counted(broken, 'line')} left out`);
    $('counts').textContent = records.length + forgotten + lost + waiting.length === 0 ? 'nothing has passed yet' : parts.join(', ');
}

function forget(array, most) {
    const surplus = array.length - most;
    if (surplus <= 0) return;
    array.splice(0, surplus);
    forgotten += surplus;
}

function keep(some) {
    if (some.length === 0) return;
    begin ??= some[0].time;
    for (const { connection } of some) {
        if ([...$('connection').options].some((option) => option.value === String(connection))) continue;
        const option = element('option', '', `#${connection}`);
        option.value = String(connection);
        $('connection').append(option);
        if ($('connection').options.length > 200) $('connection').options[1].remove();
    }
    // Where a client has asked for its WebSocket, bad frames are to go, too, unless somebody knows better.
    const asked = some.findLast(({ kind, direction, line }) => kind === 'http' && direction === 'up' && /^GET \//.test(line ?? ''));
    if (asked && !$('resource').typed) $('resource').value = asked.line.split(' ')[1];
    records.push(...some);
    forget(records, file ? MOST_OF_FILE : MOST_RECORDS);
}

function take(some) {
    keep(some);
    append(some.filter(isWanted));
    count();
}

function clear() {
    records = [];
    waiting = [];
    forgotten = lost = broken = 0;
    begin = chosen = null;
    $('connection').replaceChildren($('connection').options[0]);
    $('detail').replaceChildren(element('p', 'dim', 'Choose a line: with the mouse, or with the arrow keys in the list.'));
    showAll();
}

function choose(row) {
    if (!row) return;
    for (const one of $('list').querySelectorAll('[aria-selected="true"]')) one.setAttribute('aria-selected', 'false');
    row.setAttribute('aria-selected', 'true');
    $('list').setAttribute('aria-activedescendant', row.id);
    row.scrollIntoView({ block: 'nearest' });
    chosen = row.record;
    $('detail').replaceChildren(...detail(chosen));
    $('detail').scrollTop = 0;
}

// ---- One of them

function table(rows, heads = []) {
    const made = element('table');
    if (heads.length > 0) {
        const row = made.insertRow();
        for (const head of heads) row.append(element('th', '', head));
    }
    for (const cells of rows) {
        const row = made.insertRow();
        cells.forEach((cell, i) => row.append(element(i === 0 ? 'th' : 'td', '', String(cell))));
    }
    return made;
}

// A field of a header in the picture: so many bits from this column on (0 to 15).
function field(column, bits, name) {
    const cell = element('div', bits.length === 1 ? 'field single' : 'field');
    cell.style.gridColumn = `${column + 2} / span ${bits.length}`;
    const value = element('div', 'value');
    for (const bit of bits) value.append(element('span', '', bit));
    cell.append(value, element('div', 'name', name));
    return cell;
}

function picture(record) {
    const bytes = bytesOf(record.head);
    const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    const made = element('div', 'bits');
    made.setAttribute('role', 'img');
    made.setAttribute('aria-label', `The header, bit by bit: ${spaced(record.head)}`);
    const hex = (at) => made.append(element('div', 'hex', spaced(record.head.slice(2 * at, 2 * at + 4))));
    hex(0);
    ['FIN', 'RSV1', 'RSV2', 'RSV3'].forEach((name, i) => made.append(field(i, bits[i], name)));
    made.append(field(4, bits.slice(4, 8), 'opcode'), field(8, bits[8], 'MASK'), field(9, bits.slice(9, 16), 'length'));
    const keyAt = bytes.length - (record.mask ? 4 : 0);
    for (let at = 2; at < bytes.length; at += 2) {
        hex(at);
        made.append(field(0, bits.slice(8 * at, 8 * at + 16), at < keyAt ? 'length, continued' : 'masking key'));
    }
    return made;
}

function fields(record) {
    const form = bytesOf(record.head)[1] & 0x7f;
    const rsv = ['rsv1', 'rsv2', 'rsv3'].filter((name) => record[name]).map((name) => name.toUpperCase());
    const rows = [
        ['FIN', record.fin ? 1 : 0, !record.fin ? 'more fragments follow' : isControl(record) ? 'a control frame is whole'
            : 'the message ends with this frame', isControl(record) ? '5.5' : '5.2, 5.4'],
        ['RSV', rsv.join(' ') || '0', rsv.length === 0 ? 'no extension uses them'
            : rsv.length === 1 && record.rsv1 ? 'compressed by permessage-deflate' : 'set', record.rsv1 ? 'RFC 7692, 6' : '5.2'],
        ['opcode', (record.opcode ?? 0).toString(16).toUpperCase(), opcodeName(record), isControl(record) ? '5.5' : '5.6'],
        ['MASK', record.mask ? 1 : 0, record.mask ? 'as every frame of a client' : 'as every frame of a server', '5.1, 5.3'],
        ['length', form, form === 127 ? `the next 64 bits: ${record.length}` : form === 126 ? `the next 16 bits: ${record.length}`
            : 'the length itself', '5.2'],
    ];
    if (record.mask) rows.push(['key', spaced(record.masking_key), 'byte i was XORed with byte i mod 4 of it', '5.3']);
    if (record.code) rows.push(['code', record.code, `${codeMeaning(record.code)}${record.reason ? `: ${record.reason}` : ''}`, '7.4']);
    if (record.opcode === 10) rows.push(['answers', record.answers ?? '-', record.round_trip === undefined
        ? 'nobody has asked, which is allowed' : `ping frame ${record.answers}, ${milliseconds(record.round_trip)} after it passed here`, '5.5.3']);
    return table(rows, ['field', 'value', 'means', 'RFC 6455']);
}

// Masked, key and unmasked below each other, eight bytes to a line.
function payload(record) {
    const wire = bytesOf(record.payload).subarray(0, 64);
    const plain = bytesOf(record.plain);
    const key = bytesOf(record.masking_key);
    const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    let text = '';
    for (let at = 0; at < wire.length; at += 8) {
        const part = wire.subarray(at, at + 8);
        if (record.mask) {
            text += `masked    ${hex(part)}\nkey       ${hex(part.map((_, i) => key[(at + i) % 4]))}\nunmasked  ${hex(plain.subarray(at, at + 8))}\n\n`;
        } else {
            text += `${hex(part)}\n`;
        }
    }
    return text.trimEnd() + (wire.length < record.length ? '\n\u2026' : '');
}

// The segments and frames of the same stream around a record.
function lanes(record) {
    const same = records.filter((one) => one.connection === record.connection && one.direction === record.direction);
    const from = record.offset ?? 0;
    const to = from + (record.size ?? 0);
    const overlaps = (one, a, b) => (one.offset ?? 0) < b && (one.offset ?? 0) + (one.size ?? 0) > a;
    const all = same.filter((one) => one.kind === 'segment');
    const first = all.findIndex((one) => overlaps(one, from, to));
    if (first === -1) return [];
    // With one before and one behind; of many, the first.
    const count = all.filter((one) => overlaps(one, from, to)).length;
    const segments = all.slice(Math.max(first - 1, 0), first + Math.min(count, 5) + 1);
    const low = segments[0].offset ?? 0;
    const high = segments.at(-1).offset + segments.at(-1).size || segments.at(-1).size;
    const frames = same.filter((one) => one.kind === 'frame' && overlaps(one, low, high)).slice(0, 12);
    const bounds = [...new Set([...segments, ...frames].flatMap((one) => [one.offset ?? 0, (one.offset ?? 0) + one.size]))].sort((a, b) => a - b);
    const made = element('div', 'lanes');
    made.style.gridTemplateColumns = `repeat(${Math.max(bounds.length - 1, 1)}, minmax(0, 1fr))`;
    for (const one of [...segments, ...frames]) {
        const box = element('div', `${one.kind}${one.record === record.record ? ' chosen' : ''}`,
            `${one.kind === 'segment' ? 'segment' : opcodeName(one)} ${one.index}: ${one.size}`);
        box.style.gridColumn = `${bounds.indexOf(one.offset ?? 0) + 1} / ${bounds.indexOf((one.offset ?? 0) + one.size) + 1}`;
        made.append(box);
    }
    return [element('h3', '', 'Segments (what each recv got) and frames, in bytes'), made];
}

function detail(record) {
    const [kind, text] = summary(record);
    const parts = [element('h2', '', record.kind === 'frame'
        ? `${kind} frame: number ${record.index} from the ${side(record)}` : record.direction && record.kind !== 'handshake' ? `${kind}, from the ${side(record)}` : kind)];
    for (const problem of record.problems ?? []) parts.push(element('p', 'problem', `!! ${problem}`));
    if (record.kind === 'http') {
        parts.push(element('pre', 'wrap', `${record.line ?? ''}\n${(record.fields ?? []).join('\n')}`));
    } else if (record.kind === 'handshake' && record.accepted) {
        const right = record.accept === record.expected;
        parts.push(table([
            ['key', record.key ?? '', '11.3.1'],
            ['suffix', SUFFIX, '1.3'],
            ['SHA-1, base64', record.expected ?? '', '4.2.2'],
            ['Accept', record.accept ?? '', '11.3.3'],
        ], ['of', 'is', 'RFC 6455']),
        element('p', right ? 'good' : 'problem', right ? 'The server has read the key: Sec-WebSocket-Accept is right.'
            : 'Sec-WebSocket-Accept is wrong: a client must fail the connection (4.1).'),
        table([['subprotocol', record.protocol || 'none'], ['extensions', record.extensions || 'none']]));
    } else if (record.kind === 'frame') {
        parts.push(picture(record), fields(record));
        if (record.payload) {
            parts.push(element('h3', '', `Payload, ${counted(record.length, 'byte')}`), element('pre', '', payload(record)));
            const plain = record.compressed || record.opcode === 8 ? null : textOf(record.plain, record.plain.length / 2 < record.length);
            if (plain !== null) parts.push(element('pre', 'wrap', plain));
            if (record.compressed) parts.push(element('p', 'dim', 'Compressed: inflated with the whole message, below its last fragment.'));
        }
        parts.push(...lanes(record));
    } else if (record.kind === 'message') {
        const own = records.filter((one) => one.kind === 'frame' && one.connection === record.connection &&
            one.direction === record.direction && one.message === record.index);
        parts.push(table(own.map((one) => [one.fragment ? `fragment ${one.fragment}` : 'between', opcodeName(one), one.fin ? 1 : 0, one.length]),
            ['frame', 'opcode', 'FIN', 'bytes']));
        if (record.compressed) {
            const ratio = record.size > 0 ? ` (${((record.inflated ?? 0) / record.size).toFixed(2)} times as many)` : '';
            parts.push(element('p', '', `permessage-deflate: ${counted(record.size, 'byte')} on the wire, ${counted(record.inflated, 'byte')} inflated${ratio}.`));
        }
        const plain = textOf(record.plain, record.plain?.length / 2 < record.inflated);
        parts.push(element('pre', 'wrap', plain ?? spaced(record.plain)));
    } else if (record.kind === 'segment') {
        parts.push(element('p', '', text), ...lanes(record));
    } else if (record.kind === 'raw') {
        parts.push(element('p', '', counted(record.size, 'byte')), element('pre', 'wrap', spaced(record.plain)),
            element('pre', 'wrap', textOf(record.plain, true) ?? ''));
    } else {
        parts.push(element('p', '', text));
    }
    return parts;
}

// ---- Where records come from

function parseLines(text) {
    const all = [];
    for (const part of text.split('\n')) {
        if (part.trim() === '') continue;
        try {
            const record = JSON.parse(part);
            // A file may be anybody's: what is used below has to be what it is called.
            const list = (value) => value === undefined || (Array.isArray(value) && value.every((one) => typeof one === 'string'));
            const digits = (value) => value === undefined || (/^[0-9a-f]*$/.test(value) && value.length % 2 === 0);
            const good = typeof record.kind === 'string' && list(record.problems) && list(record.fields) &&
                ['head', 'payload', 'plain', 'masking_key'].every((name) => digits(record[name])) &&
                (record.kind !== 'frame' || /^([0-9a-f]{2}){2,14}$/.test(record.head ?? ''));
            if (!good) throw new Error('no record');
            if (record.kind === 'frame') record.length ??= 0;
            all.push(record);
        } catch {
            ++broken;
        }
    }
    return all;
}

function takeMessage(text) {
    const all = parseLines(text);
    if (all[0]?.kind === 'file') return all[0].load === loads && answered?.(all);
    if (all[0]?.kind === 'provoked') return showProvoked(all[0]);
    if (file) return;
    for (const record of all.filter(({ kind }) => kind === 'lost')) lost += record.count;
    const some = all.filter(({ kind }) => kind !== 'lost');
    if (!paused) return take(some);
    waiting.push(...some);
    forget(waiting, MOST_RECORDS);
    count();
}

function state(text, bad = false) {
    $('state').textContent = text;
    $('state').className = bad ? 'bad' : '';
}

// A file of any size, piece by piece: lines of JSON are read here, packets by the tap.
async function load(chosenFile) {
    const number = ++loads;
    file = chosenFile.name;
    clear();
    $('live').hidden = false;
    const decoder = new TextDecoder();
    const isLines = new Uint8Array(await chosenFile.slice(0, 1).arrayBuffer())[0] === 0x7b; // {
    if (!isLines && socket?.readyState !== WebSocket.OPEN) return state('a pcap is taken apart by the tap, and it is not there', true);
    if (!isLines) socket.send(JSON.stringify({ load: number }));
    let rest = '';
    let problem = '';
    for (let at = 0, last = false; !last && !problem; at += PIECE) {
        const bytes = await chosenFile.slice(at, at + PIECE).arrayBuffer();
        if (number !== loads) return; // another one was chosen meanwhile
        last = bytes.byteLength === 0;
        state(`${file}: ${Math.round((100 * at) / Math.max(chosenFile.size, at, 1))} %`);
        if (isLines) {
            rest += decoder.decode(bytes, { stream: !last });
            const end = last ? rest.length : rest.lastIndexOf('\n') + 1;
            keep(parseLines(rest.slice(0, end)));
            rest = rest.slice(end);
        } else {
            const [head, ...some] = await new Promise((done) => {
                answered = done;
                socket.send(bytes);
            });
            if (number !== loads) return;
            problem = head.error ?? '';
            for (const { count: left } of some.filter(({ kind }) => kind === 'lost')) lost += left;
            keep(some.filter(({ kind }) => kind !== 'lost'));
        }
    }
    showAll();
    if (broken > 0) problem = `${counted(broken, 'line')} left out`;
    state(problem ? `${file}: ${problem}` : file, problem !== '');
}

function connect() {
    socket = new WebSocket(`ws://${location.host}/`);
    socket.onopen = () => {
        if (file) return;
        clear();
        state('live');
    };
    socket.onmessage = ({ data }) => takeMessage(data);
    socket.onclose = () => {
        $('provoke').disabled = $('provocation').options.length === 0; // an answer on its way is lost
        answered?.([{ error: 'the tap is gone' }]); // and the rest of a file, too
        if (!file) state('no tap: trying again', true);
        setTimeout(connect, 2000);
    };
}

// ---- Bad frames on purpose

async function listProvocations() {
    const answer = await fetch('/provocations');
    for (const { name, what } of await answer.json()) {
        const option = element('option', '', `${name}: ${what}`);
        option.value = name;
        $('provocation').append(option);
    }
    $('provoke').disabled = false;
}

$('provoke').onclick = () => {
    if (socket?.readyState !== WebSocket.OPEN) return state('the tap sends it, and it is not there', true);
    socket.send(JSON.stringify({ provoke: $('provocation').value, resource: $('resource').value.trim() || '/' }));
    $('provoke').disabled = true;
};

$('resource').oninput = () => {
    $('resource').typed = true;
};

// What the tap has sent for us, what came back, and the verdict.
function showProvoked(told) {
    $('provoke').disabled = false;
    for (const one of $('list').querySelectorAll('[aria-selected="true"]')) one.setAttribute('aria-selected', 'false');
    chosen = null;
    if (told.error) return $('detail').replaceChildren(element('h2', '', 'On purpose'), element('p', 'problem', told.error));
    $('detail').replaceChildren(
        element('h2', '', `On purpose: ${told.case}`), element('p', '', told.what),
        element('h3', '', 'Sent'), element('pre', 'wrap', told.request ? visible(told.request.replaceAll('\\r\\n', '\n')) : told.sent),
        element('h3', '', `What the RFC says (${told.place})`), element('p', '', told.demand),
        element('h3', '', 'Answer'), element('pre', 'wrap', told.answer.join('\n')),
        element('p', told.verdict.startsWith('NOT') ? 'problem' : told.verdict === 'as demanded' ? 'good' : '', `${told.verdict}: ${told.why}`));
    $('detail').scrollTop = 0;
}

// ---- Keys and buttons

function togglePause() {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', String(paused));
    $('pause').textContent = paused ? 'Go on' : 'Pause';
    if (!paused) take(waiting.splice(0));
}

$('pause').onclick = togglePause;
$('clear').onclick = clear;
$('save').onclick = () => {
    const link = element('a');
    link.href = URL.createObjectURL(new Blob(records.map((record) => `${JSON.stringify(record)}\n`), { type: 'application/x-ndjson' }));
    link.download = 'tap.jsonl';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
$('load').onclick = () => $('file').click();
$('file').onchange = () => {
    if ($('file').files[0]) load($('file').files[0]).catch((error) => state(`${file}: ${error.message}`, true));
    $('file').value = '';
};
$('live').onclick = () => {
    ++loads;
    file = null;
    $('live').hidden = true;
    socket.close(); // and what the tap has kept comes with the next connection
};
for (const id of ['connection', 'from', 'show', 'text']) $(id).oninput = showAll;
$('list').onclick = (event) => choose(event.target.closest('.record'));
$('list').onkeydown = (event) => {
    const rows = [...$('list').children];
    const at = rows.findIndex((row) => row.record === chosen);
    const page = Math.max(1, Math.floor($('list').clientHeight / 30));
    const to = { ArrowDown: at + 1, ArrowUp: at === -1 ? rows.length - 1 : at - 1, Home: 0, End: rows.length - 1, PageDown: at + page, PageUp: at - page }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(rows[Math.min(Math.max(to, 0), rows.length - 1)]);
};
document.onkeydown = (event) => {
    if (event.target.closest('input, select, textarea') || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'p') togglePause();
    if (event.key === '/') {
        event.preventDefault();
        $('text').focus();
    }
};
onresize = () => document.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
connect();
listProvocations().catch(() => state('the tap has no cases', true));
