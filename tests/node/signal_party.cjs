// A Signal party made of npm libsignal (ratchets) and Baileys' group cipher (sender keys).
// Everything that crosses its edge is hex; keys have 32 bytes there, as in Perene.

'use strict';

const { curve, keyhelper, ProtocolAddress, SessionBuilder, SessionCipher, SessionRecord } = require('libsignal');
const libsignalCurve = require('libsignal/src/curve');

// libsignal and its users write to the console; stdout belongs to whoever runs this.
for (const level of ['log', 'info', 'warn', 'debug', 'trace']) {
    console[level] = () => {};
}
console.error = () => {};

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const unhex = (text) => Buffer.from(text, 'hex');
const bare = (key) => hex(key.length === 33 ? key.slice(1) : key);
const wire = (text) => Buffer.concat([Buffer.from([5]), unhex(text)]);

const drawn = [];
const generate = libsignalCurve.generateKeyPair;
libsignalCurve.generateKeyPair = () => {
    const pair = generate();
    drawn.push(hex(pair.privKey));
    return pair;
};

class Party {
    constructor() {
        this.identity = curve.generateKeyPair();
        this.registrationId = keyhelper.generateRegistrationId() || 1;
        this.signedPreKeys = new Map();
        this.preKeys = new Map();
        this.sessions = new Map();
        this.nextId = 1;
        this.keepsPreKeys = false; // so that a vector can list them afterwards
    }

    // --- the storage that libsignal asks for
    async loadSession(address) { return this.sessions.get(address); }
    async storeSession(address, record) { this.sessions.set(address, record); }
    isTrustedIdentity() { return true; }
    async loadPreKey(id) { return this.preKeys.get(Number(id)); }
    async removePreKey(id) { if (!this.keepsPreKeys) this.preKeys.delete(Number(id)); }
    async loadSignedPreKey(id) { return this.signedPreKeys.get(Number(id)); }
    async getOurIdentity() { return this.identity; }
    async getOurRegistrationId() { return this.registrationId; }

    // --- what a test asks for
    bundle({ oneTime = true } = {}) {
        const signed = keyhelper.generateSignedPreKey(this.identity, this.nextId++);
        this.signedPreKeys.set(signed.keyId, signed.keyPair);
        const bundle = {
            registrationId: this.registrationId,
            identity: bare(this.identity.pubKey),
            signedPreKeyId: signed.keyId,
            signedPreKey: bare(signed.keyPair.pubKey),
            signature: hex(signed.signature),
        };
        if (oneTime) {
            const one = keyhelper.generatePreKey(this.nextId++);
            this.preKeys.set(one.keyId, one.keyPair);
            Object.assign(bundle, { preKeyId: one.keyId, preKey: bare(one.keyPair.pubKey) });
        }
        return bundle;
    }

    secrets() {
        const pairs = (map) => [...map].map(([id, pair]) => ({ id, private: hex(pair.privKey) }));
        return {
            identity: hex(this.identity.privKey),
            registrationId: this.registrationId,
            signedPreKeys: pairs(this.signedPreKeys),
            preKeys: pairs(this.preKeys),
        };
    }

    async start(peer, bundle) {
        const device = {
            registrationId: bundle.registrationId,
            identityKey: wire(bundle.identity),
            signedPreKey: {
                keyId: bundle.signedPreKeyId,
                publicKey: wire(bundle.signedPreKey),
                signature: unhex(bundle.signature),
            },
        };
        if (bundle.preKeyId !== undefined) {
            device.preKey = { keyId: bundle.preKeyId, publicKey: wire(bundle.preKey) };
        }
        await new SessionBuilder(this, new ProtocolAddress(peer, 0)).initOutgoing(device);
    }

    async encrypt(peer, plaintext) {
        const sent = await new SessionCipher(this, new ProtocolAddress(peer, 0)).encrypt(unhex(plaintext));
        return { kind: sent.type === 3 ? 'pkmsg' : 'msg', data: hex(sent.body) };
    }

    async decrypt(peer, kind, data) {
        const cipher = new SessionCipher(this, new ProtocolAddress(peer, 0));
        const body = unhex(data);
        const plaintext = kind === 'pkmsg'
            ? await cipher.decryptPreKeyWhisperMessage(body)
            : await cipher.decryptWhisperMessage(body);
        return hex(plaintext);
    }

    restart() {
        for (const [address, record] of this.sessions) {
            const stored = JSON.stringify(record.serialize());
            this.sessions.set(address, SessionRecord.deserialize(JSON.parse(stored)));
        }
    }
}

async function groupParty() {
    const { GroupCipher, GroupSessionBuilder, SenderKeyDistributionMessage, SenderKeyName, SenderKeyRecord } =
        await import('baileys/lib/Signal/Group/index.js');
    const senderKeys = new Map();
    const store = {
        async loadSenderKey(name) { return senderKeys.get(name.toString()) ?? new SenderKeyRecord(); },
        async storeSenderKey(name, record) { senderKeys.set(name.toString(), record); },
    };
    const named = (sender) => new SenderKeyName('group', new ProtocolAddress(sender, 0));
    return {
        async distribution(sender) {
            return hex((await new GroupSessionBuilder(store).create(named(sender))).serialize());
        },
        async process(sender, data) {
            const message = new SenderKeyDistributionMessage(null, null, null, null, unhex(data));
            await new GroupSessionBuilder(store).process(named(sender), message);
        },
        async encrypt(sender, plaintext) {
            return hex(await new GroupCipher(store, named(sender)).encrypt(unhex(plaintext)));
        },
        async decrypt(sender, data) {
            return hex(await new GroupCipher(store, named(sender)).decrypt(unhex(data)));
        },
    };
}

module.exports = { Party, groupParty, drawn, hex, unhex };
