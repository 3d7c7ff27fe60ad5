// One unmodified Baileys client per process, driven by JSON lines.
//
//   node baileys_client.mjs '{"url": "ws://127.0.0.1:1234/ws/chat", "auth": "<folder>", ...}'
//
// stdin   {"id": 1, "do": "send", "to": "…@s.whatsapp.net", "text": "hello"}
// stdout  {"reply": 1, "result": {…}} or {"reply": 1, "error": "…"}, and events: {"event": "open", …}
// stderr  what Baileys and libsignal log, which is no part of the protocol
//
// Options: url; auth (folder); store ("multi-file" keeps the state in the folder, "memory" keeps it
// for the life of the process); rootKey (hex, the simulator's root); pushName; log (lowest level);
// advSecret (base64, instead of a random one); anyCertificate (accept what a server on TLS shows).
//
// It does what an ordinary program on Baileys does: it saves credentials when told, opens a new
// socket on 515, keeps the messages it has sent so that `getMessage` can answer a resend, and
// flushes the event buffer before it closes. It sends nothing but to `url`.

import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as baileys from 'baileys';

const RESTART_REQUIRED = 515;
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

const options = { store: 'multi-file', pushName: 'Witness', log: 'warn', ...JSON.parse(process.argv[2]) };

// libsignal writes to the console; stdout belongs to the protocol.
for (const level of ['log', 'info', 'warn', 'debug', 'trace']) {
    console[level] = (...args) => console.error(...args);
}

const say = line => process.stdout.write(JSON.stringify(line) + '\n');
const report = (event, facts) => say({ event, ...facts });

const makeLogger = () => {
    const logger = { level: options.log, child: () => logger };
    for (const level of LEVELS) {
        const heard = LEVELS.indexOf(level) >= LEVELS.indexOf(options.log) && options.log !== 'silent';
        logger[level] = heard ? (facts, text) => console.error(level, text ?? '', facts) : () => {};
    }
    return logger;
};
const logger = makeLogger();

if (options.rootKey) {
    baileys.WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(options.rootKey, 'hex');
}

// --- state ----------------------------------------------------------------------------------------

const writes = new Set(); // under way; awaited before the process ends
const tracked = promise => {
    writes.add(promise);
    return promise.finally(() => writes.delete(promise));
};

const memoryState = () => {
    const creds = baileys.initAuthCreds();
    const rows = new Map();
    const keys = {
        get: async (type, ids) => {
            const found = {};
            for (const id of ids) {
                const text = rows.get(`${type}-${id}`);
                let value = text === undefined ? null : JSON.parse(text, baileys.BufferJSON.reviver);
                if (type === 'app-state-sync-key' && value) {
                    value = baileys.proto.Message.AppStateSyncKeyData.fromObject(value);
                }
                found[id] = value;
            }
            return found;
        },
        set: async data => {
            for (const type in data) {
                for (const id in data[type]) {
                    const value = data[type][id];
                    if (value) {
                        rows.set(`${type}-${id}`, JSON.stringify(value, baileys.BufferJSON.replacer));
                    } else {
                        rows.delete(`${type}-${id}`);
                    }
                }
            }
        },
    };
    return { state: { creds, keys }, saveCreds: async () => {} };
};

const openState = async () => {
    if (options.store === 'memory') {
        return memoryState();
    }
    mkdirSync(options.auth, { recursive: true });
    return baileys.useMultiFileAuthState(options.auth);
};

const { state, saveCreds } = await openState();
if (options.advSecret) {
    state.creds.advSecretKey = options.advSecret;
}
const known = { session: new Set(), 'sender-key': new Set() };
if (options.store === 'multi-file') {
    for (const name of readdirSync(options.auth)) {
        const match = /^session-(.+)\.json$/.exec(name);
        if (match) {
            known.session.add(match[1]);
        }
    }
}
const keys = baileys.makeCacheableSignalKeyStore(
    {
        get: state.keys.get,
        set: data => {
            for (const type in known) {
                for (const id in data[type] ?? {}) {
                    known[type].add(id);
                }
            }
            return tracked(state.keys.set(data));
        },
    },
    logger
);

const sentFile = options.store === 'multi-file' ? join(options.auth, 'sent.jsonl') : null;
const sent = new Map();
if (sentFile && existsSync(sentFile)) {
    for (const line of readFileSync(sentFile, 'utf8').split('\n').filter(Boolean)) {
        const { id, message } = JSON.parse(line);
        sent.set(id, Buffer.from(message, 'base64'));
    }
}
const remember = ({ key, message }) => {
    const bytes = Buffer.from(baileys.proto.Message.encode(message).finish());
    sent.set(key.id, bytes);
    if (sentFile) {
        appendFileSync(sentFile, JSON.stringify({ id: key.id, message: bytes.toString('base64') }) + '\n');
    }
};
const getMessage = async ({ id }) => {
    const bytes = sent.get(id);
    return bytes && baileys.proto.Message.decode(bytes);
};

// --- the socket -----------------------------------------------------------------------------------

let socket;
let connection = 'close';

const textOf = message => message?.conversation ?? message?.extendedTextMessage?.text ?? null;

const reportMessage = (type, info) => {
    const { key } = info;
    const facts = {
        id: key.id,
        chat: key.remoteJid,
        chatAlt: key.remoteJidAlt ?? null,
        sender: key.participant || key.remoteJid,
        senderAlt: key.participantAlt ?? key.remoteJidAlt ?? null,
        fromMe: Boolean(key.fromMe),
        timestamp: Number(info.messageTimestamp ?? 0),
        pushName: info.pushName ?? null,
        text: textOf(info.message),
        type,
    };
    if (facts.text !== null) {
        report('message', facts);
    } else if (!info.message) {
        report('unreadable', { ...facts, why: info.messageStubParameters?.[0] ?? null });
    } else {
        report('control', { ...facts, kinds: Object.keys(info.message) });
    }
};

const encTypes = node =>
    baileys
        .getAllBinaryNodeChildren(node)
        .filter(({ tag }) => tag === 'enc')
        .map(({ attrs }) => attrs.type);

const listenToWire = ({ ws }) => {
    ws.on('CB:message', node => {
        report('stanza', { id: node.attrs.id, from: node.attrs.from, offline: 'offline' in node.attrs, enc: encTypes(node) });
    });
    ws.on('CB:ack,class:message', ({ attrs }) => report('ack', { id: attrs.id, error: attrs.error ?? null }));
    ws.on('CB:receipt', node => {
        const { attrs } = node;
        const list = baileys.getBinaryNodeChild(node, 'list');
        const more = list ? baileys.getBinaryNodeChildren(list, 'item').map(item => item.attrs.id) : [];
        report('receipt', {
            ids: [attrs.id, ...more],
            from: attrs.from,
            participant: attrs.participant ?? null,
            type: attrs.type ?? 'delivered',
        });
    });
};

const listenToEvents = current => {
    const { ev } = current;
    ev.on('creds.update', () => tracked(saveCreds()));
    ev.on('messages.upsert', ({ messages, type }) => messages.forEach(info => reportMessage(type, info)));
    ev.on('messages.update', updates => {
        for (const { key, update } of updates) {
            if (update.status !== undefined) {
                report('status', { id: key.id, chat: key.remoteJid, fromMe: Boolean(key.fromMe), status: update.status });
            }
        }
    });
    ev.on('message-receipt.update', updates => {
        for (const { key, receipt } of updates) {
            report('group-receipt', { id: key.id, chat: key.remoteJid, by: receipt.userJid, read: Boolean(receipt.readTimestamp) });
        }
    });
    ev.on('connection.update', update => {
        if (update.qr) {
            report('qr', { qr: update.qr });
        }
        if (update.isNewLogin) {
            report('paired', { me: state.creds.me });
        }
        if (update.receivedPendingNotifications) {
            report('caught-up', {});
        }
        if (update.connection === 'open') {
            connection = 'open';
            report('open', { me: state.creds.me });
        }
        if (update.connection === 'close') {
            connection = 'close';
            ev.flush(); // Baileys throws away what is still in its buffer
            const error = update.lastDisconnect?.error;
            const statusCode = error?.output?.statusCode ?? null;
            report('close', { statusCode, reason: error?.message ?? null });
            if (statusCode === RESTART_REQUIRED && current === socket) {
                connect();
            }
        }
    });
};

const agent = options.anyCertificate ? new Agent({ rejectUnauthorized: false }) : undefined;

const connect = () => {
    connection = 'connecting';
    socket = baileys.makeWASocket({
        auth: { creds: state.creds, keys },
        waWebSocketUrl: options.url,
        pushName: options.pushName,
        logger,
        agent,
        getMessage,
    });
    listenToWire(socket);
    listenToEvents(socket);
};

const disconnect = async () => {
    const current = socket;
    socket = undefined;
    if (current) {
        current.ev.flush();
        await current.end(undefined);
    }
    while (writes.size) {
        await Promise.allSettled(writes);
    }
};

const open = () => {
    if (!socket) {
        throw new Error('not connected');
    }
    return socket;
};

// --- commands -------------------------------------------------------------------------------------

const drop = async (type, matches) => {
    const ids = [...known[type]].filter(matches);
    const present = await keys.get(type, ids);
    const gone = ids.filter(id => present[id]);
    await keys.set({ [type]: Object.fromEntries(gone.map(id => [id, null])) });
    return { dropped: gone };
};

const commands = {
    connect: async () => {
        if (socket && connection !== 'close') {
            throw new Error('already connected');
        }
        connect();
        return {};
    },
    disconnect: async () => {
        await disconnect();
        return {};
    },
    state: async () => ({ connection, me: state.creds.me ?? null }),
    pairingCode: async ({ phone }) => ({ code: await open().requestPairingCode(phone) }),
    send: async ({ to, text }) => {
        const id = baileys.generateMessageIDV2(state.creds.me.id);
        // A resend can be asked for before Baileys has told us what it sent.
        remember({ key: { id }, message: { extendedTextMessage: { text } } });
        const info = await open().sendMessage(to, { text }, { messageId: id });
        return { id: info.key.id, chat: info.key.remoteJid };
    },
    // One after the other, as fast as Baileys takes them.
    sendAll: async ({ to, texts }) => {
        const ids = [];
        for (const text of texts) {
            ids.push((await commands.send({ to, text })).id);
        }
        return { ids };
    },
    read: async ({ chat, message, participant }) => {
        await open().readMessages([{ remoteJid: chat, id: message, participant, fromMe: false }]);
        return {};
    },
    createGroup: async ({ subject, participants }) => {
        const { id } = await open().groupCreate(subject, participants);
        return { id };
    },
    listGroups: async () => {
        const groups = await open().groupFetchAllParticipating();
        return { groups: Object.values(groups).map(({ id, subject }) => ({ id, subject })) };
    },
    // Lose the ratchets with a user's devices (all users' without one), as a damaged store does.
    dropRatchets: async ({ user }) =>
        drop('session', id => !user || id.split('.')[0].split('_')[0] === user),
    // Lose the keys that a group's members gave us for their messages.
    dropSenderKeys: async ({ group }) => drop('sender-key', id => id.startsWith(`${group}::`)),
    logout: async () => {
        await open().logout();
        return {};
    },
    quit: async () => {
        await disconnect();
        return {};
    },
};

const handle = async line => {
    const { id, do: name, ...args } = JSON.parse(line);
    try {
        if (!Object.hasOwn(commands, name)) {
            throw new Error(`no command ${name}`);
        }
        say({ reply: id, result: await commands[name](args) });
    } catch (error) {
        say({ reply: id, error: String(error?.message ?? error) });
    }
    if (name === 'quit') {
        process.stdout.end(() => process.exit(0));
    }
};

const lines = createInterface({ input: process.stdin });
lines.on('line', handle);
// Whoever started us is gone: leave nothing behind.
lines.on('close', () => process.exit(0));
report('ready', {});
