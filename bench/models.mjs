// models.mjs -- what the bench scripts share: their options, the models they are given, and running the programs they time.
//
// A model is an .onnx file, or a folder that holds model.onnx and perhaps inputs/*.npy (named after the inputs) and check.json
// ({"inputs": {FILE: INPUT}, "dims": {SYMBOL: SIZE}}, where those names differ or sizes are symbolic). A folder of such files and folders stands for all of them.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export function fail(sentence) {
  console.error(`error: ${sentence}`);
  process.exit(1);
}

/** --NAME VALUE pairs over `defaults` (which lists the names), the rest as `list`. */
export function parseOptions(argv, defaults, usage) {
  const options = { ...defaults }, list = [];
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].startsWith('--') ? argv[i].slice(2) : '';
    if (name === 'help') {
      console.log(usage);
      process.exit(0);
    }
    if (!name) list.push(argv[i]);
    else if (!(name in defaults) || i + 1 === argv.length) {
      console.error(`error: ${name in defaults ? `--${name} needs a value` : `unknown option --${name}`}\n${usage}`);
      process.exit(2);
    } else options[name] = argv[++i];
  }
  return { options, list };
}

export const words = text => text.split(' ').filter(Boolean);

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

export const geometricMean = values => Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);

/** What a program prints, or an Error with its first sentence on stderr. */
export function run(command, args) {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 900e3, maxBuffer: 1 << 28 }).toString();
  } catch (e) {
    throw new Error((e.stderr?.toString().trim() || e.message).split('\n')[0].replace(/^error: /, ''));
  }
}

/** The last line of what a program prints, which is JSON. */
export const runJson = (command, args) => JSON.parse(run(command, args).trim().split('\n').pop());

function caseOfFolder(folder) {
  const check = path.join(folder, 'check.json'), inputs = path.join(folder, 'inputs');
  const config = fs.existsSync(check) ? JSON.parse(fs.readFileSync(check, 'utf8')) : {};
  const files = fs.existsSync(inputs) ? fs.readdirSync(inputs).filter(f => f.endsWith('.npy')) : [];
  const feed = Object.entries(config.dims ?? {}).flatMap(([symbol, size]) => ['--dim', `${symbol}=${size}`]);
  for (const f of files) feed.push('--input', `${config.inputs?.[f] ?? f.replace(/\.npy$/, '')}=${path.join(inputs, f)}`);
  return { name: path.basename(folder), file: path.join(folder, 'model.onnx'), feed };
}

/** [{ name, file, feed }]: feed are the options of `bench` that give its inputs. */
export function findModels(list) {
  const found = [];
  for (const item of list) {
    if (!fs.existsSync(item)) fail(`${item}: no such file`);
    if (!fs.statSync(item).isDirectory()) found.push({ name: path.basename(item).replace(/\.onnx$/, ''), file: item, feed: [] });
    else if (fs.existsSync(path.join(item, 'model.onnx'))) found.push(caseOfFolder(path.resolve(item)));
    else {
      const inside = fs.readdirSync(item).sort().map(n => path.join(item, n));
      found.push(...findModels(inside.filter(p => p.endsWith('.onnx') || (fs.statSync(p).isDirectory() && fs.existsSync(path.join(p, 'model.onnx'))))));
    }
  }
  return found;
}

/** Calls use(folder) with a temporary folder. */
export function withFolder(use) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ingot-bench-'));
  try {
    return use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
