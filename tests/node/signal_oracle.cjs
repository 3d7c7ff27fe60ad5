// A Signal party driven by JSON lines: one request in, one answer out, in order.
//
// stdin   {"do": "encrypt", "args": ["peer", "<hex>"]}
// stdout  {"result": …} or {"error": "…"}

'use strict';

const { createInterface } = require('node:readline');
const { Party, groupParty } = require('./signal_party.cjs');

async function main() {
    const party = new Party();
    const group = await groupParty();
    const commands = {
        bundle: (options) => party.bundle(options),
        start: (peer, bundle) => party.start(peer, bundle),
        encrypt: (peer, plaintext) => party.encrypt(peer, plaintext),
        decrypt: (peer, kind, data) => party.decrypt(peer, kind, data),
        restart: () => party.restart(),
        groupDistribution: (sender) => group.distribution(sender),
        groupProcess: (sender, data) => group.process(sender, data),
        groupEncrypt: (sender, plaintext) => group.encrypt(sender, plaintext),
        groupDecrypt: (sender, data) => group.decrypt(sender, data),
    };
    for await (const line of createInterface({ input: process.stdin })) {
        const request = JSON.parse(line);
        let answer;
        try {
            answer = { result: (await commands[request.do](...(request.args ?? []))) ?? null };
        } catch (error) {
            answer = { error: `${error.name}: ${error.message}` };
        }
        process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
}

main();
