// Writes conversations between two npm libsignal parties, with every secret they drew, as JSON:
//
//   node vectors_signal.cjs > ../unit/signal/golden/libsignal.json
//
// A test takes either side's part: it draws the same keys, must produce the same bytes where its
// side sends, and must read what the other side sent.

'use strict';

const { Party, groupParty, drawn, hex } = require('./signal_party.cjs');

const version = (name) => require(`./node_modules/${name}/package.json`).version;

class Conversation {
    constructor(name) {
        this.parties = { alice: new Party(), bob: new Party() };
        for (const party of Object.values(this.parties)) party.keepsPreKeys = true;
        this.drawn = { alice: [], bob: [] };
        this.events = [];
        this.sent = 0;
        this.name = name;
    }

    // Notes the keys that one party draws while it does something.
    async as(who, work) {
        const before = drawn.length;
        const result = await work(this.parties[who]);
        this.drawn[who].push(...drawn.slice(before));
        return result;
    }

    other(who) { return who === 'alice' ? 'bob' : 'alice'; }

    async start(who, options) {
        const bundle = this.parties[this.other(who)].bundle(options);
        this.events.push({ do: 'start', by: who, bundle });
        await this.as(who, (party) => party.start(this.other(who), bundle));
    }

    async send(who) {
        const plaintext = hex(Buffer.from(`${this.name} ${this.sent}`));
        const message = await this.as(who, (party) => party.encrypt(this.other(who), plaintext));
        this.events.push({ do: 'send', by: who, plaintext, ...message });
        this.sent += 1;
        return this.events.length - 1;
    }

    async deliver(index) {
        const { by, kind, data, plaintext } = this.events[index];
        const to = this.other(by);
        const read = await this.as(to, (party) => party.decrypt(by, kind, data));
        if (read !== plaintext) throw new Error('libsignal did not read itself');
        this.events.push({ do: 'receive', by: to, event: index });
    }

    async exchange(...senders) {
        for (const who of senders) await this.deliver(await this.send(who));
    }

    written() {
        const secrets = Object.fromEntries(
            Object.entries(this.parties).map(([who, party]) => [who, party.secrets()]));
        return { name: this.name, secrets, drawn: this.drawn, events: this.events };
    }
}

async function inOrder() {
    const talk = new Conversation('in order, several ratchet steps');
    await talk.start('alice');
    await talk.exchange('alice', 'alice', 'bob', 'alice', 'bob', 'bob', 'alice', 'alice', 'bob');
    return talk.written();
}

async function withoutOneTimeKey() {
    const talk = new Conversation('no one-time pre-key');
    await talk.start('alice', { oneTime: false });
    await talk.exchange('alice', 'bob', 'alice');
    return talk.written();
}

async function outOfOrder() {
    const talk = new Conversation('out of order');
    await talk.start('alice');
    const first = [];
    for (let i = 0; i < 5; i++) first.push(await talk.send('alice'));
    for (const i of [2, 0, 4]) await talk.deliver(first[i]);
    const answers = [await talk.send('bob'), await talk.send('bob'), await talk.send('bob')];
    await talk.deliver(answers[2]);
    await talk.exchange('alice', 'bob', 'alice');
    await talk.deliver(answers[0]);
    await talk.deliver(first[1]);
    await talk.deliver(first[3]);
    await talk.deliver(answers[1]);
    await talk.exchange('bob', 'alice');
    return talk.written();
}

async function begunTwice() {
    const talk = new Conversation('the initiator begins anew');
    await talk.start('alice');
    await talk.exchange('alice', 'bob', 'alice');
    const late = await talk.send('alice');
    await talk.start('alice');
    await talk.exchange('alice');
    // The last thing said: npm libsignal steps the newer session before it finds that the message
    // belongs to the older one, and stores that, so the newer one is of no use after it.
    await talk.deliver(late);
    return talk.written();
}

async function senderKeys() {
    const group = await groupParty();
    const distribution = await group.distribution('carol');
    const messages = [];
    const say = async () => {
        const plaintext = hex(Buffer.from(`to the group ${messages.length}`));
        messages.push({ plaintext, data: await group.encrypt('carol', plaintext) });
    };
    for (let i = 0; i < 6; i++) await say();
    const later = { from: messages.length, data: await group.distribution('carol') };
    for (let i = 0; i < 2; i++) await say();
    return { distribution, messages, later };
}

async function main() {
    const conversations = [];
    for (const make of [inOrder, withoutOneTimeKey, outOfOrder, begunTwice]) {
        conversations.push(await make());
    }
    const vectors = {
        made_with: { libsignal: version('libsignal'), baileys: version('baileys'), node: process.versions.node },
        conversations,
        sender_keys: await senderKeys(),
    };
    process.stdout.write(`${JSON.stringify(vectors, null, 1)}\n`);
}

main();
