// Writes tests/unit/wire/golden/nodes.json: nodes and what the codec of npm `baileys` makes of them.
// Run `node tests/node/vectors_wire.mjs` after a change of the pinned version and look at the diff.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { deflateSync } from 'node:zlib'
import { decodeBinaryNode, encodeBinaryNode } from 'baileys'

const require = createRequire(import.meta.url)
const { version } = JSON.parse(readFileSync(require.resolve('baileys/package.json'), 'utf-8'))

const bytes = (length, step = 7) => Buffer.from(Array.from({ length }, (_, i) => (i * step) & 255))

// Texts that both sides must write alike. Left out, because we write what whatsmeow writes: an
// address of device 0 with its zero, hosted users, Messenger and interop users.
const texts = [
	'receipt', 'urn:xmpp:whatsapp:push', 'read-self', 'screen_width', 'profile_picture', '0', '1', '404',
	'5511999998888', '1790000000', '12', '123', '127.0.0.1', '2026-01-01', '-.', '9'.repeat(127), '9'.repeat(128),
	'3EB0A1B2C3D4E5F60718', 'ABC', 'AB', 'DEADBEEF', 'F'.repeat(127), 'F'.repeat(128), 'deadbeef', '1A-', '',
	'João da Silva 😀', 'x'.repeat(255), 'x'.repeat(256), 'é'.repeat(2000), ' ', 's.whatsapp.net',
	'@s.whatsapp.net', '5511999998888@s.whatsapp.net', '5511999998888:3@s.whatsapp.net',
	'5511999998888:99@s.whatsapp.net', '123456789012345@lid', '123456789012345:255@lid',
	'120363025246125486@g.us', '5511999998888-1600000000@g.us', 'status@broadcast', '1234@newsletter',
	'13135550002@bot', '123456:99@hosted', '123456:99@hosted.lid', '123@hosted.example', '@g.us', '5511999998888@c.us'
]

const nodes = [
	{ tag: 'iq', attrs: {} },
	{ tag: 'iq', attrs: { id: '1', to: '@s.whatsapp.net', type: 'get', xmlns: 'w:p' }, content: [{ tag: 'ping', attrs: {} }] },
	{ tag: 'message', attrs: { from: '123456789012345:3@lid', id: '3EB0A1B2C3D4E5F60718', t: '1790000000', notify: 'Ana' },
		content: [{ tag: 'enc', attrs: { v: '2', type: 'pkmsg' }, content: bytes(250) },
			{ tag: 'device-identity', attrs: {}, content: bytes(255) }] },
	{ tag: 'enc', attrs: {}, content: bytes(0) },
	{ tag: 'enc', attrs: {}, content: bytes(256) },
	{ tag: 'enc', attrs: {}, content: bytes((1 << 20) - 1, 3) },
	{ tag: 'enc', attrs: {}, content: bytes(1 << 20, 3) },
	{ tag: 'list', attrs: {}, content: [] },
	{ tag: 'list', attrs: {}, content: Array.from({ length: 255 }, (_, i) => ({ tag: 'item', attrs: { id: `${i}` } })) },
	{ tag: 'list', attrs: {}, content: Array.from({ length: 300 }, (_, i) => ({ tag: 'item', attrs: { id: `${i}` } })) },
	{ tag: 'wide', attrs: Object.fromEntries(Array.from({ length: 140 }, (_, i) => [`name${i}`, `${i}`])) },
	{ tag: 'unheard-of', attrs: { 'odd name': 'odd value' }, content: [{ tag: '12345', attrs: { ABCDEF: '1' } }] },
	{ tag: 'state', attrs: {}, content: 'success' },
	...texts.map(value => ({ tag: 'a', attrs: { value } }))
]
let deep = { tag: 'deep', attrs: {} }
for (let i = 1; i < 60; i++) deep = { tag: 'deep', attrs: {}, content: [deep] }
nodes.push(deep)

// Bytes that Baileys' encoder never writes but a server may: what its decoder reads from them.
const a = [248, 3, 252, 1, 97, 252, 1, 98] // <a b=…>
const foreign = [
	Buffer.from([0, ...a, 247, 128, 0, 255, 3, 0x12, 0x34, 0x56]), // hosted number
	Buffer.from([0, ...a, 247, 129, 99, 255, 3, 0x12, 0x34, 0x56]), // hosted LID
	Buffer.from([0, ...a, 247, 0, 0, 255, 3, 0x12, 0x34, 0x56]), // phone
	Buffer.from([0, ...a, 247, 1, 0, 255, 3, 0x12, 0x34, 0x56]), // phone, by LID
	Buffer.from([0, ...a, 247, 7, 2, 255, 3, 0x12, 0x34, 0x56]), // a domain nobody knows
	Buffer.from([0, ...a, 246, 255, 3, 0x12, 0x34, 0x56, 1, 2, 252, 4, ...Buffer.from('msgr')]),
	Buffer.from([0, ...a, 245, 255, 3, 0x12, 0x34, 0x56, 0, 5, 0, 7, 252, 7, ...Buffer.from('interop')]),
	Buffer.from([0, ...a, 250, 0, 3]), // the server
	Buffer.from([0, ...a, 0]), // an empty list for a text
	Buffer.from([0, ...a, 255, 131, 0x12, 0x3a, 0xbf]), // odd number of digits
	Buffer.from([0, ...a, 251, 2, 0xab, 0xcf]),
	Buffer.from([0, ...a, 253, 0, 0, 2, 0xc3, 0xa9]),
	Buffer.from([0, ...a, 254, 0, 0, 0, 2, 0xc3, 0xa9]),
	Buffer.from([0, ...a, 252, 3, 0x61, 0xf0, 0x9f]), // half a character
	Buffer.from([0, 249, 0, 3, 252, 1, 97, 252, 1, 98, 236, 0]), // long list, double-byte word
	Buffer.from([0, 248, 2, 252, 1, 97, 0]), // no children
	Buffer.concat([Buffer.from([2]), deflateSync(encodeBinaryNode(nodes[2]).subarray(1))]) // compressed
]

const plain = ({ tag, attrs, content }) => ({
	tag, attrs,
	...(content === undefined ? {}
		: Array.isArray(content) ? { children: content.map(plain) }
		: typeof content === 'string' ? { text: content }
		: content.length > 5000 ? { repeated: content.subarray(0, 256).toString('hex'), length: content.length }
		: { hex: Buffer.from(content).toString('hex') })
})
// Half a megabyte of the same is written as its length and digest.
const { createHash } = await import('node:crypto')
const wire = data => data.length > 5000
	? { sha256: createHash('sha256').update(data).digest('hex'), length: data.length }
	: { hex: data.toString('hex') }

const encoded = []
for (const node of nodes) {
	const data = encodeBinaryNode(node)
	encoded.push({ node: plain(node), wire: wire(data), read: data.length > 5000 ? null : plain(await decodeBinaryNode(data)) })
}
const decoded = []
for (const data of foreign) decoded.push({ wire: { hex: data.toString('hex') }, read: plain(await decodeBinaryNode(data)) })

const target = new URL('../unit/wire/golden/nodes.json', import.meta.url)
writeFileSync(target, JSON.stringify({ package: 'baileys', version, encoded, decoded }, null, '\t') + '\n')
