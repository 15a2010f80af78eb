// The chat's page: what is seen of a ChatLink. Everything that comes from somebody else goes through textContent.

import { ChatLink, complaintAboutText } from './chat_link.js';

const $ = (id) => document.getElementById(id);
const mostLines = 1000; // in the log

// Control characters but the tab as symbols, so that a line is one.
function visible(text) {
    return text.replace(/[\u0000-\u0008\u000a-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
        .replace(/[\u007f-\u009f\u2028\u2029]/g, '\u2421');
}

function element(kind, className, text) {
    const made = document.createElement(kind);
    made.className = className;
    made.textContent = text;
    return made;
}

// Whoever is at the end of the log stays there, whatever comes and however the window changes.
const log = $('log');
let atEnd = true;
const follow = () => {
    if (atEnd) log.scrollTop = log.scrollHeight;
};
log.onscroll = () => {
    atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 4;
};
new ResizeObserver(follow).observe(log);

// A paragraph of its own, whose direction of writing ends with it.
function add(className, ...parts) {
    const line = element('p', className, '');
    line.append(...parts);
    log.append(line);
    while (log.childElementCount > mostLines) log.firstElementChild.remove();
    follow();
}

const notice = (text, kind = 'dim') => add(kind, `* ${visible(text)}`);

function online({ name, text, at, ours }) {
    const time = element('time', '', new Date(at * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
    const words = document.createElement('bdi');
    words.textContent = visible(text);
    add(ours ? 'ours' : '', time, element('bdi', 'name', visible(name)), words);
}

let me = '';
let lost = false; // and that has been said

function onhere({ here, members, come, left }) {
    for (const name of come) if (name !== me) notice(`${name} has come`);
    for (const name of left) notice(`${name} has left`);
    $('members').textContent = members;
    $('here').replaceChildren(...here.map((name) => element('li', name === me ? 'good' : '', visible(name))));
    if (here.length < members) $('here').append(element('li', 'dim', `and ${members - here.length} more`));
}

// ---- The connection's state

let countdown = null;

function show(state, { inside = false, trying = false, bad = false }) {
    clearInterval(countdown);
    $('state').textContent = state;
    $('state').className = bad ? 'bad' : '';
    $('now').hidden = !trying;
    $('leave').disabled = !inside && !trying;
    $('line').disabled = $('send').disabled = !inside && !trying;
    if (!inside) {
        $('members').textContent = '0';
        $('here').replaceChildren();
    }
}

function showWaiting({ why, milliseconds }) {
    const end = Date.now() + milliseconds;
    const tick = () => {
        const seconds = Math.max(0, Math.ceil((end - Date.now()) / 1000));
        const unsent = link.waiting > 0 ? `; ${link.waiting} of your lines wait` : '';
        $('state').textContent = `not connected: ${visible(why)}; next try in ${seconds} s${unsent}`;
    };
    show('', { trying: true, bad: true });
    tick();
    countdown = setInterval(tick, 500);
}

function onstate(state, detail) {
    if (state === 'connecting') {
        show('connecting', { trying: lost });
        $('now').hidden = true; // since that is being done
    } else if (state === 'joined') {
        me = detail.name;
        lost = false;
        notice(detail.again ? 'connected again' : `you are in ${detail.room}`);
        if (detail.missed > 0) notice(`${detail.missed} lines were said meanwhile that are not kept any more`, 'bad');
        show(`${visible(detail.name)} in ${visible(detail.room)}`, { inside: true });
        document.title = `${detail.room} \u2013 Chat`;
        $('line').focus();
    } else if (state === 'waiting') {
        if (!lost) notice(`not connected: ${detail.why}`, 'bad');
        lost = true;
        showWaiting(detail);
    } else {
        me = '';
        lost = false;
        show(visible(detail), { bad: state === 'refused' });
        $(state === 'refused' ? 'name' : 'join').focus();
    }
}

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const link = new ChatLink(`${scheme}//${location.host}/`, { onstate, online, onhere, onerror: (text) => notice(text, 'bad') });
addEventListener('online', () => link.connectNow()); // the network is back: why wait?

$('now').onclick = () => link.connectNow();
$('leave').onclick = () => link.leave();
$('door').onsubmit = (event) => {
    event.preventDefault();
    link.join($('room').value.trim(), $('name').value.trim());
};
$('form').onsubmit = (event) => {
    event.preventDefault();
    const line = $('line').value;
    if (line === '') return;
    const complaint = complaintAboutText(line);
    $('line').setCustomValidity(complaint);
    if (complaint !== '') {
        $('line').reportValidity();
        return;
    }
    link.say(line);
    $('line').value = '';
};
$('line').oninput = () => $('line').setCustomValidity('');
