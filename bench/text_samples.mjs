#!/usr/bin/env node
// A text as samples for a model of characters: windows of ids, and for each place the id that comes next.
//
//   node text_samples.mjs TEXT VOCAB.json OUT [--length 128] [--train 500] [--share 0.9]
//
// VOCAB.json is {"chars": [...]}: a character's id is its place. The first `share` of the text is for training: OUT-train.npy has `train` windows spread over it.
// The rest is for validation: OUT-valid.npy all its windows, side by side, OUT-valid-labels.npy what comes next.
import fs from 'node:fs';
const [text, vocab, out, ...rest] = process.argv.slice(2);
if (!out) { console.error('usage: text_samples.mjs TEXT VOCAB.json OUT [--length N] [--train N] [--share X]'); process.exit(2); }
const opt = { length: 128, train: 500, share: 0.9 };
for (let i = 0; i < rest.length; i += 2) opt[rest[i].slice(2)] = Number(rest[i + 1]);
const id = new Map(JSON.parse(fs.readFileSync(vocab)).chars.map((c, i) => [c, i]));
const ids = [...fs.readFileSync(text, 'utf8')].map(c => id.get(c));
if (ids.includes(undefined)) { console.error(`${text}: a character is not in ${vocab}`); process.exit(1); }
function writeNpy(file, rows) {
  let h = `{'descr': '<i8', 'fortran_order': False, 'shape': (${rows.length}, ${opt.length}), }`;
  h += ' '.repeat(63 - (10 + h.length) % 64) + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(h.length, 8);
  const data = BigInt64Array.from(rows.flat(), BigInt);
  fs.writeFileSync(file, Buffer.concat([head, Buffer.from(h, 'latin1'), Buffer.from(data.buffer)]));
}
const window = (from, k) => ids.slice(from + k, from + k + opt.length);
const split = Math.floor(ids.length * opt.share), n = Math.floor((ids.length - split - 1) / opt.length);
const places = Array.from({ length: opt.train }, (_, i) => Math.floor(i * (split - opt.length) / Math.max(1, opt.train - 1)));
const valid = Array.from({ length: n }, (_, i) => split + i * opt.length);
writeNpy(`${out}-train.npy`, places.map(p => window(p, 0)));
writeNpy(`${out}-valid.npy`, valid.map(p => window(p, 0)));
writeNpy(`${out}-valid-labels.npy`, valid.map(p => window(p, 1)));
console.log(`${opt.train} windows to train on, ${n} to validate on`);
