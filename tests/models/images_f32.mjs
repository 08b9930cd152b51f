#!/usr/bin/env node
// The first pictures of a .npy of bytes [N, C, H, W], as the floats that a network reads: (x / 255 - mean) / std, rounded to f32.
//
//   node images_f32.mjs IMAGES-u8.npy COUNT OUT.npy [MEAN,... STD,...]
import fs from 'node:fs';
const [file, count, out, mean, std] = process.argv.slice(2);
if (!out) { console.error('usage: images_f32.mjs IMAGES-u8.npy COUNT OUT.npy [MEAN,... STD,...]'); process.exit(2); }
const bytes = fs.readFileSync(file), start = 10 + bytes.readUInt16LE(8), header = bytes.toString('latin1', 10, start);
const [, c, h, w] = header.match(/\(([\d, ]+)\)/)[1].split(',').map(Number);
const numbers = (text, otherwise) => text ? text.split(',').map(Number) : Array(c).fill(otherwise);
const m = numbers(mean, 0), s = numbers(std, 1), plane = h * w;
const x = Float32Array.from({ length: count * c * plane }, (_, i) => {
  const channel = Math.floor(i / plane) % c;
  return (bytes[start + i] / 255 - m[channel]) / s[channel];
});
const head = Buffer.alloc(128, ' ');
head.write('\x93NUMPY\x01\x00v\x00', 'latin1');
head.write(`{'descr': '<f4', 'fortran_order': False, 'shape': (${count}, ${c}, ${h}, ${w}), }`, 10, 'latin1');
head[127] = 10;
fs.writeFileSync(out, Buffer.concat([head, Buffer.from(x.buffer)]));
