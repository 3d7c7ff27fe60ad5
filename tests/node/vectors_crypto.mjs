// Writes tests/unit/crypto/golden/xeddsa.json: signatures by npm `curve25519-js`, which Baileys uses.
// It leaves the sign of the Edwards point in the signature's top bit, so about half have it set.
import { readFileSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import curve from 'curve25519-js'

const require = createRequire(import.meta.url)
const { version } = JSON.parse(readFileSync(require.resolve('curve25519-js/package.json'), 'utf-8'))
const cases = []
for (let i = 0; i < 12; i++) {
	const seed = createHash('sha256').update(`seed ${i}`).digest()
	const pair = curve.generateKeyPair(Uint8Array.from(seed))
	const message = Uint8Array.from(Buffer.from('m'.repeat(i)))
	const signature = curve.sign(pair.private, message, Uint8Array.from(Buffer.alloc(64, i)))
	cases.push({
		public: Buffer.from(pair.public).toString('hex'),
		message: Buffer.from(message).toString('hex'),
		signature: Buffer.from(signature).toString('hex')
	})
}
const target = new URL('../unit/crypto/golden/xeddsa.json', import.meta.url)
writeFileSync(target, JSON.stringify({ package: 'curve25519-js', version, cases }, null, '\t') + '\n')
