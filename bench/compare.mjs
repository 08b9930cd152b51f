#!/usr/bin/env node
// compare.mjs -- ingot against ONNX Runtime: a table, JSON and a picture.
//
// Each round times the peer, then ingot, in processes of their own; the figure is the median of the rounds' ratios of medians, so what slows the machine
// for a while slows both. The roofline is `ingot profile`'s: the least time that the model's arithmetic and traffic take on this machine.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawChart } from './chart.mjs';
import { fail, findModels, geometricMean, median, parseOptions, run, runJson, withFolder, words } from './models.mjs';

const usage = `usage: node bench/compare.mjs [options] MODEL.onnx|FOLDER...

  --ort DIR          folder in which 'npm install onnxruntime-node' was run (default: $ORT_DIR, else the current one)
  --peer COMMAND     time this instead, as COMMAND MODEL.onnx --threads N --json ...: it prints what 'ingot bench --json' prints
  --build DIR        where ingot was built (default: build)
  --threads N,N...   numbers of threads (default: 1)
  --rounds N         rounds of peer and ingot (default: 5)
  --runs N           timed runs in each (default: half a second's worth)
  --compile FLAGS    options for 'ingot compile', in one word
  --compiled FILE    time this file, which 'ingot compress' may have made of the model, instead of compiling it
  --output DIR       write compare.md, compare.json and compare.svg there`;

const defaults = { ort: process.env.ORT_DIR ?? '.', peer: '', build: 'build', threads: '1', rounds: '5', runs: '', compile: '', compiled: '', output: '' };

/** The command that times the peer, and what to call it. */
function findPeer(options) {
  if (options.peer) return { name: path.basename(words(options.peer)[0]), command: words(options.peer) };
  const module = path.join(options.ort, 'node_modules/onnxruntime-node');
  if (!fs.existsSync(module)) fail(`${module} is missing: run 'npm install onnxruntime-node' in that folder, or name another with --ort`);
  const { version } = JSON.parse(fs.readFileSync(path.join(module, 'package.json'), 'utf8'));
  const binaries = path.join(module, 'bin');
  const folder = fs.readdirSync(binaries).map(n => path.join(binaries, n, 'linux', process.arch)).find(p => fs.existsSync(p));
  const library = folder && fs.readdirSync(folder).find(n => n.startsWith('libonnxruntime.so'));
  if (!library) fail(`${binaries} has no libonnxruntime.so for ${process.arch}`);
  return { name: `ONNX Runtime ${version.split('.').slice(0, 2).join('.')}`, command: [path.join(options.build, 'ingot-peer-ort'), path.join(folder, library)] };
}

function summary(rounds) {
  const of = key => median(rounds.map(r => r[key]));
  return { median_ms: of('median_ms'), load_ms: of('load_ms'), first_ms: of('first_ms'), rss_mb: of('rss_mb') };
}

function timeBoth(model, so, threads, peer, options) {
  const args = ['--threads', String(threads), '--json', ...model.feed, ...(options.runs ? ['--runs', options.runs] : [])];
  const [command, ...first] = peer.command, theirs = [], ours = [];
  for (let i = 0; i < Number(options.rounds); i++) {
    theirs.push(runJson(command, [...first, model.file, ...args]));
    ours.push(runJson(path.join(options.build, 'ingot-run'), ['bench', so, ...args]));
  }
  return { peer: summary(theirs), ingot: summary(ours), ratio: median(theirs.map((t, i) => t.median_ms / ours[i].median_ms)) };
}

function compareModel(model, threadCounts, peer, options) {
  if (options.compiled) return threadCounts.map(threads => ({ name: model.name, threads, ...timeBoth(model, options.compiled, threads, peer, options) }));
  return withFolder(folder => {
    const so = path.join(folder, 'model.so'), ingot = path.join(options.build, 'ingot'), start = performance.now();
    run(ingot, ['compile', model.file, '-o', so, ...words(options.compile)]);
    const compile_s = (performance.now() - start) / 1e3;
    return threadCounts.map(threads => {
      const profile = runJson(ingot, ['profile', model.file, '--json', '--runs', '3', '--threads', String(threads), ...words(options.compile), ...model.feed]);
      return { name: model.name, threads, compile_s, roof_ms: profile.roof_ms, flops: profile.flops, ...timeBoth(model, so, threads, peer, options) };
    });
  });
}

// ---- output ----

const digits = x => x.toPrecision(x < 1 ? 3 : 4);

function tableRow(r) {
  if (r.error) return `| ${r.name} | ${r.threads} | failed: ${r.error} | | | | | | |`;
  const roof = r.roof_ms ? `${Math.round((100 * r.roof_ms) / r.ingot.median_ms)} %` : '', compiled = r.compile_s?.toFixed(1) ?? '';
  return `| ${r.name} | ${r.threads} | ${digits(r.peer.median_ms)} | ${digits(r.ingot.median_ms)} | **${r.ratio.toFixed(2)}** | ${roof} | ` +
    `${r.peer.load_ms.toFixed(1)} / **${r.ingot.load_ms.toFixed(2)}** | ${r.peer.rss_mb.toFixed(0)} / **${r.ingot.rss_mb.toFixed(0)}** | ${compiled} |`;
}

/** For each number of threads: the geometric mean of the ratios, and the lowest. */
function totals(result) {
  return [...new Set(result.rows.map(r => r.threads))].flatMap(threads => {
    const ratios = result.rows.filter(r => r.threads === threads && !r.error).map(r => r.ratio);
    return ratios.length ? [{ threads, models: ratios.length, mean: geometricMean(ratios), lowest: Math.min(...ratios) }] : [];
  });
}

export function markdownTable(result) {
  const head = `| network | threads | ${result.peer} ms | ingot ms | speed ratio | of roofline | opened in ms | resident MB | compiled in s |`;
  const lines = [head, head.replace(/[^|]+/g, '---'), ...result.rows.map(tableRow), ''];
  for (const t of result.totals)
    lines.push(`${t.threads} thread${t.threads === 1 ? '' : 's'}: geometric mean of ${t.models} speed ratios ${t.mean.toFixed(2)}, lowest ${t.lowest.toFixed(2)}.`);
  return lines.join('\n') + '\n';
}

/** Time all models; progress goes to stderr. */
export function compare(list, options) {
  const peer = findPeer(options), models = findModels(list), threadCounts = options.threads.split(',').map(Number);
  if (!models.length) fail('no model was given');
  if (threadCounts.some(n => !(n > 0))) fail(`--threads ${options.threads}: not numbers`);
  const result = { peer: peer.name, cpu: os.cpus()[0].model.trim(), rows: [] };
  for (const model of models) {
    try {
      result.rows.push(...compareModel(model, threadCounts, peer, options));
    } catch (e) {
      result.rows.push(...threadCounts.map(threads => ({ name: model.name, threads, error: e.message })));
    }
    for (const r of result.rows.slice(-threadCounts.length)) console.error(r.error ? `${r.name}: ${r.error}` : `${r.name}, ${r.threads} threads: ${r.ratio.toFixed(2)}`);
  }
  result.totals = totals(result);
  return result;
}

function main() {
  const { options, list } = parseOptions(process.argv.slice(2), defaults, usage);
  const result = compare(list, options), table = markdownTable(result);
  process.stdout.write(table);
  if (options.output) {
    fs.mkdirSync(options.output, { recursive: true });
    fs.writeFileSync(path.join(options.output, 'compare.md'), table);
    fs.writeFileSync(path.join(options.output, 'compare.json'), JSON.stringify(result, null, 1) + '\n');
    fs.writeFileSync(path.join(options.output, 'compare.svg'), drawChart(result));
  }
  process.exitCode = result.rows.some(r => r.error) ? 1 : 0;
}

export const compareDefaults = defaults;
if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) main();
