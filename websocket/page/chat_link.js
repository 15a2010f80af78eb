// A member of a chat room, by a WebSocket that comes again by itself: what chat_client.cpp does, for a page. It knows
// nothing of the page.
//
//     const link = new ChatLink(url, { onstate, online, onhere, onerror });
//     link.join('lobby', 'anna');
//     link.say('hello');
//
// onstate('connecting' | 'joined' | 'waiting' | 'refused' | 'ended', detail); detail: of joined {room, name, missed,
// again}, of waiting {why, milliseconds}, of refused and ended why. online(line), onhere(here), onerror(text): the
// server's messages, checked. Whatever a server says, no exception comes of it.

const firstWait = 500; // milliseconds
const longestWait = 30_000;
const patience = 20_000; // until a connection has come to something, or a line of ours has come back
const mostUnconfirmed = 10; // lines on their way at a time
const mostBytes = 1000; // of a line

// After these it makes sense to come again: going away, no Close frame, internal error, restart, later, bad gateway.
const passing = new Set([1001, 1006, 1011, 1012, 1013, 1014]);

const text = (value) => (typeof value === 'string' ? value : '');
const number = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : 0);
const names = (value) => (Array.isArray(value) ? value.filter((name) => typeof name === 'string').slice(0, 100) : []);

/// What is wrong with a line; '' if nothing is.
export function complaintAboutText(line) {
    if (line === '') return 'a line has at least one character';
    if (new TextEncoder().encode(line).length > mostBytes) return `a line has at most ${mostBytes} bytes`;
    if (/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(line)) return 'a line has no control characters';
    return '';
}

const randomText = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

export class ChatLink {
    #url;
    #tell;
    #socket = null;
    #timer = null;
    #joined = false;
    #wasInside = false; // once at least
    #failures = 0; // since we were in a room
    #wish = null; // {room, name}: what we have asked for
    #is = null; // and what we got
    #key = randomText(); // so that nobody else can take our name over
    #ids = randomText(); // of our lines: what they begin with
    #nextId = 1;
    #life = ''; // of the numbers that the room's lines have
    #since = 0; // the last of them that we have
    #pending = []; // lines of ours that have not come back: {text, id, sent}

    constructor(url, tell) {
        this.#url = url;
        this.#tell = tell;
    }

    get waiting() {
        return this.#pending.length;
    }

    /// Into a room; connects if need be.
    join(room, name) {
        this.#wish = { room, name };
        if (this.#socket?.readyState === WebSocket.OPEN) {
            this.#sendJoin();
        } else if (this.#socket === null) {
            this.connectNow();
        }
    }

    /// It is kept until it has come back with its number, however often the connection breaks.
    say(line) {
        this.#pending.push({ text: line, id: `${this.#ids}${this.#nextId++}`, sent: false });
        this.#sayPending();
    }

    /// Does not wait for the next try.
    connectNow() {
        if (this.#socket !== null || this.#wish === null) return;
        clearTimeout(this.#timer);
        this.#connect();
    }

    leave() {
        clearTimeout(this.#timer);
        const socket = this.#socket;
        this.#forget();
        this.#wasInside = false;
        this.#wish = null;
        socket?.close(1000, 'bye');
        this.#tell.onstate('ended', 'you have left');
    }

    #connect() {
        this.#tell.onstate('connecting', null);
        const socket = new WebSocket(this.#url, ['chat', 'superchat']);
        this.#socket = socket;
        this.#timer = setTimeout(() => this.#lose(`no answer for ${patience / 1000} s`), patience);
        const ours = (handler) => (event) => {
            if (this.#socket === socket) handler(event);
        };
        socket.onopen = ours(() => this.#sendJoin());
        socket.onmessage = ours(({ data }) => this.#take(data));
        socket.onclose = ours(({ code, reason }) => {
            const why = code === 1006 ? 'the connection is lost' : `closed: ${code}${reason ? ` ${reason}` : ''}`;
            if (passing.has(code)) return this.#lose(why);
            this.#forget();
            this.#tell.onstate('ended', why);
        });
    }

    #forget() {
        clearTimeout(this.#timer);
        this.#socket = null;
        this.#joined = false;
        for (const line of this.#pending) line.sent = false;
    }

    /// The next try is the later the more have failed, and never at an exact time: else all would come at once.
    #lose(why) {
        const socket = this.#socket;
        this.#forget();
        socket.close();
        const longest = Math.min(longestWait, firstWait * 2 ** this.#failures++);
        const milliseconds = Math.round(longest * (0.5 + Math.random() / 2));
        this.#timer = setTimeout(() => this.#connect(), milliseconds);
        this.#tell.onstate('waiting', { why, milliseconds });
    }

    #send(message) {
        this.#socket.send(JSON.stringify(message));
    }

    #sendJoin() {
        this.#send({ join: this.#wish.room, name: this.#wish.name, key: this.#key, life: this.#life, since: this.#since });
    }

    #sayPending() {
        if (!this.#joined) return;
        for (const line of this.#pending.slice(0, mostUnconfirmed)) {
            if (line.sent) continue;
            line.sent = true;
            this.#send({ say: line.text, id: line.id });
        }
        this.#watch();
    }

    /// A page can't ping, nor does it see that it is pinged: it notices that nobody is there when no line comes back.
    #watch() {
        clearTimeout(this.#timer);
        if (this.#pending.length > 0) this.#timer = setTimeout(() => this.#lose(`no answer for ${patience / 1000} s`), patience);
    }

    #take(data) {
        let message = null;
        try {
            message = JSON.parse(data);
        } catch {
            // not ours
        }
        if (message === null || typeof message !== 'object') return this.#tell.onerror('the server says what we don\'t understand');
        if ('joined' in message) {
            this.#takeJoined(message);
        } else if ('line' in message) {
            this.#takeLine(message);
        } else if ('here' in message) {
            this.#tell.onhere({ here: names(message.here), members: number(message.members), come: names(message.come), left: names(message.left) });
        } else if ('error' in message) {
            this.#takeError(message);
        }
    }

    #takeJoined(message) {
        clearTimeout(this.#timer);
        const again = this.#wasInside && this.#failures > 0;
        this.#joined = this.#wasInside = true;
        this.#failures = 0;
        this.#is = this.#wish = { room: text(message.joined), name: text(message.name) };
        const life = text(message.life);
        if (life !== this.#life) this.#since = 0; // other numbers: another room, or a server that has forgotten the old ones
        this.#life = life.slice(0, 64);
        this.#tell.onstate('joined', { ...this.#is, missed: number(message.missed), again });
        this.#sayPending();
    }

    #takeLine(message) {
        const line = number(message.line);
        if (line <= this.#since) return; // nothing twice
        this.#since = line;
        this.#pending = this.#pending.filter(({ id }) => id !== message.id);
        const name = text(message.name);
        this.#tell.online({ line, name, text: text(message.text), at: number(message.at), ours: name === this.#is?.name });
        this.#sayPending();
    }

    #takeError(message) {
        this.#pending = this.#pending.filter(({ id }) => id !== message.id);
        const why = text(message.text);
        if (this.#joined) {
            this.#wish = this.#is; // where we were, we are
            this.#sayPending();
            return this.#tell.onerror(why);
        }
        const socket = this.#socket;
        this.#forget();
        this.#wish = null;
        socket.close(1000);
        this.#tell.onstate('refused', why);
    }
}
