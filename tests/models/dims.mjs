#!/usr/bin/env node
// One compiled file serves every size: each model below is compiled once, with its symbolic sizes left open, and run at five settings of them. At every one
// the outputs are compared with those of ONNX Runtime on the same inputs (check.json of the model says how closely, as for the stored references).
// Inputs are cut out of the model's own reference inputs, which repeat where a size is larger: a network for photos says nothing about noise.
//
//   SHARED=DIR ORT_DIR=DIR node tests/models/dims.mjs [--ingot build/ingot] [--only TEXT]
//
// SHARED has models/ and tools/ort.mjs, ORT_DIR has node_modules/onnxruntime-node. Prints a line per model and size.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const opt = { ingot: 'build/ingot', only: '' };
for (let i = 2; i < process.argv.length; i += 2) opt[process.argv[i].slice(2)] = process.argv[i + 1];
const shared = process.env.SHARED ?? '../shared';
const { readNpy, compare, files } = await import(path.resolve(shared, 'tools/npy.mjs'));

// Symbols of a model, as the file spells them, and five values for each.
const sizes = {
  'mnist-mlp': { N: [1, 2, 7, 33, 128] },
  'seg-bodypix': { unk__349: [33, 65, 97, 128, 225], unk__350: [33, 49, 161, 96, 200] },
  'ocr-ppv4-det': { 'p2o.DynamicDimension.0': [1, 1, 2, 1, 3], 'p2o.DynamicDimension.1': [320, 64, 96, 160, 192], 'p2o.DynamicDimension.2': [480, 128, 160, 224, 96] },
  'text-gpt2-char': { batch: [1, 1, 2, 3, 1], seq: [1, 5, 16, 31, 64] },
  'text-llama-260k': { batch: [1, 1, 2, 3, 1], seq: [1, 7, 16, 29, 128] },
  'audio-melspectrogram': { batch_size: [1, 1, 2, 3, 1], samples: [512, 1600, 4000, 16000, 24321] },
};

const run = (cmd, args) => execFileSync(cmd, args, { stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
const npys = dir => files(dir).filter(f => f.endsWith('.npy'));

/** The reference input `name` at other sizes: a window around its middle, which wraps around. Written in place of what ort.mjs would make up. */
function cutInput(file, dims, to) {
  const whole = readNpy(file), n = dims.reduce((a, b) => a * b, 1), from = dims.map((d, i) => d < whole.dims[i] ? (whole.dims[i] - d) >> 1 : 0);
  const data = new (whole.descr === '<i8' ? BigInt64Array : Float32Array)(n);
  for (let i = 0; i < n; i++) {
    let rest = i, at = 0;
    for (let k = dims.length - 1, stride = 1; k >= 0; k--) {
      at += (from[k] + rest % dims[k]) % whole.dims[k] * stride;
      rest = Math.floor(rest / dims[k]), stride *= whole.dims[k];
    }
    data[i] = whole.descr === '<i8' ? BigInt(whole.data[at]) : whole.data[at];
  }
  const text = `{'descr': '${whole.descr}', 'fortran_order': False, 'shape': (${dims.map(d => d + ',').join(' ')}), }`.padEnd(117) + '\n';
  fs.writeFileSync(to, Buffer.concat([Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'), Buffer.from(text), Buffer.from(data.buffer)]));
}

/** What differs between the outputs in two folders, as sentences; the largest error. */
function differences(got, want, how) {
  const bad = [];
  let error = 0;
  for (const f of npys(want)) {
    if (!fs.existsSync(path.join(got, f))) { bad.push(`${f}: missing`); continue; }
    const reference = readNpy(path.join(want, f)), r = compare(readNpy(path.join(got, f)), reference, how);
    error = Math.max(error, r.err);
    if (r.ok && reference.data.length > 1 && reference.data.every(x => x === reference.data[0])) bad.push(`${f}: the reference is one number, which proves nothing`);
    if (!r.ok) bad.push(`${f}: ${r.why}`);
  }
  return { bad, error };
}

/** The symbols' values put into the shape of the model's one input, as the description `ort.mjs info` gives it. */
function checkSize(folder, so, input, dims, how, dir) {
  const model = path.join(folder, 'model.onnx'), cut = path.join(dir, 'input.npy');
  fs.mkdirSync(dir);
  cutInput(path.join(folder, 'inputs', files(path.join(folder, 'inputs'))[0]), input.shape.map(d => dims[d] ?? d), cut);
  run('node', [path.join(shared, 'tools/ort.mjs'), 'run', model, '--input', `${input.name}=${cut}`, '--opt', 'disabled', '--out', dir]);
  run(opt.ingot, ['run', so, '--input', `${input.name}=${cut}`, '--output', path.join(dir, 'got')]);
  return differences(path.join(dir, 'got'), path.join(dir, 'outputs'), how);
}

let passed = 0, failed = 0;
for (const [name, symbols] of Object.entries(sizes).filter(([name]) => name.includes(opt.only))) {
  const folder = path.join(shared, 'models', name), model = path.join(folder, 'model.onnx'), check = path.join(folder, 'check.json');
  const how = fs.existsSync(check) ? JSON.parse(fs.readFileSync(check)) : {};
  const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'ingot-dims-')), so = path.join(tmp, 'm.so');
  try {
    run(opt.ingot, ['compile', model, '-o', so]);
    const [input] = JSON.parse(run('node', [path.join(shared, 'tools/ort.mjs'), 'info', model])).inputs;
    for (let i = 0; i < Object.values(symbols)[0].length; i++) {
      const dims = Object.fromEntries(Object.entries(symbols).map(([k, v]) => [k, v[i]]));
      const { bad, error } = checkSize(folder, so, input, dims, how, path.join(tmp, String(i)));
      bad.length ? failed++ : passed++;
      console.log(`${bad.length ? 'FAIL' : 'pass'}  ${name.padEnd(22)} ${Object.values(dims).join(' x ').padEnd(14)} error ${error.toExponential(1)}  ${bad.join('; ')}`);
    }
  } catch (e) {
    failed++;
    console.log(`FAIL  ${name}: ${String(e.stderr?.length ? e.stderr : e.message).trim().slice(0, 300)}`);
  } finally { fs.rmSync(tmp, { recursive: true, force: true }); }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
