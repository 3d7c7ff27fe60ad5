// Unmodified Baileys clients in one process, for the benchmark.
//
//   node baileys.mjs '{"url": …, "rootKey": …, "store": "files" | "memory", "folder": …, "sockets": 1}'
//
// stdin   a line each: "settle" (collect garbage, then report)
// stdout  JSON lines: {"event": "qr" | "open" | "settled", …}
//
// Each client is set up as Baileys' own example does it: credentials saved when told, the key store
// behind makeCacheableSignalKeyStore, a new socket on 515. Its listener for messages takes the text
// and counts. The logger is silent. "files" is Baileys' useMultiFileAuthState; "memory" is a Map
// that keeps the objects themselves, the cheapest store there can be.

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as baileys from '../tests/node/node_modules/baileys/lib/index.js';

const RESTART_REQUIRED = 515;
const PAIRING_AT_ONCE = 8;

const options = JSON.parse(process.argv[2]);
for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) {
    console[level] = () => {}; // libsignal's
}
const nothing = () => {};
const logger = { level: 'silent', child: () => logger };
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) {
    logger[level] = nothing;
}
baileys.WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(options.rootKey, 'hex');

const say = line => process.stdout.write(JSON.stringify(line) + '\n');

let texts = 0;
let characters = 0;

const memoryState = () => {
    const rows = new Map();
    return {
        state: {
            creds: baileys.initAuthCreds(),
            keys: {
                get: async (type, ids) => Object.fromEntries(ids.map(id => [id, rows.get(`${type}-${id}`)])),
                set: async data => {
                    for (const type in data) {
                        for (const id in data[type]) {
                            const value = data[type][id];
                            value ? rows.set(`${type}-${id}`, value) : rows.delete(`${type}-${id}`);
                        }
                    }
                },
            },
        },
        saveCreds: nothing,
    };
};

const openState = number =>
    options.store === 'memory' ? memoryState() : baileys.useMultiFileAuthState(join(options.folder, String(number)));

const listener = ({ messages }) => {
    for (const { message } of messages) {
        const text = message?.conversation ?? message?.extendedTextMessage?.text;
        if (text) {
            texts += 1;
            characters += text.length;
        }
    }
};

const run = (number, { state, saveCreds }, onOpen) => {
    const socket = baileys.makeWASocket({
        auth: { creds: state.creds, keys: baileys.makeCacheableSignalKeyStore(state.keys, logger) },
        waWebSocketUrl: options.url,
        logger,
    });
    socket.ev.on('creds.update', saveCreds);
    socket.ev.on('messages.upsert', listener);
    socket.ev.on('connection.update', ({ qr, connection, lastDisconnect }) => {
        if (qr) {
            say({ event: 'qr', qr });
        }
        if (connection === 'open') {
            say({ event: 'open', socket: number, phone: state.creds.me.id.split(':')[0] });
            onOpen();
        }
        if (connection === 'close' && lastDisconnect?.error?.output?.statusCode === RESTART_REQUIRED) {
            run(number, { state, saveCreds }, onOpen);
        }
    });
};

let next = 0;
const another = async () => {
    const number = next++;
    if (number < options.sockets) {
        run(number, await openState(number), another);
    }
};

createInterface({ input: process.stdin })
    .on('line', () => {
        globalThis.gc?.();
        say({ event: 'settled', texts, characters });
    })
    // Whoever started us is gone: leave nothing behind.
    .on('close', () => process.exit(0));

for (let begun = 0; begun < Math.min(PAIRING_AT_ONCE, options.sockets); begun += 1) {
    await another();
}
