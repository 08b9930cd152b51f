#!/usr/bin/env node
// report.mjs -- measures the networks and rewrites what docs/performance.md says about them: the comparison, its picture, and where each one's time goes.
//
// Only what stands between the two markers is replaced; the rest of the page is written by hand.
import fs from 'node:fs';
import path from 'node:path';
import { drawChart } from './chart.mjs';
import { compare, compareDefaults, markdownTable } from './compare.mjs';
import { fail, findModels, parseOptions, runJson, words } from './models.mjs';

const usage = `usage: node bench/report.mjs [options] MODEL.onnx|FOLDER...

  --docs FILE        the page to rewrite (default: docs/performance.md)
  --image FILE       the picture (default: docs/images/performance.svg)
  --kernels N        kernels to list for each network (default: 5)
  and the options of compare.mjs except --output`;

const markers = ['<!-- begin: written by bench/report.mjs -->', '<!-- end: written by bench/report.mjs -->'];

function machineText(machine, threads) {
  const [l2, l3, memory] = machine.levels, kb = l => `${Math.round(l.bytes / 1024)} KB`;
  return `${threads === 1 ? 'One thread' : `${threads} threads`} of this machine: ${machine.gflops.toFixed(0)} GFLOP/s in ${machine.vector_bits}-bit multiply-adds; ` +
    `reads ${l2.gbs.toFixed(0)} GB/s from blocks of up to ${kb(l2)}, ${l3.gbs.toFixed(0)} up to ${kb(l3)}, ${memory.gbs.toFixed(0)} beyond.`;
}

// A vertical bar would end the table's cell.
const cell = text => text.replaceAll('|', '\\|');

function kernelRow(k) {
  const roof = Math.round((100 * k.roof_ms) / k.ms);
  return `| ${k.ms.toFixed(3)} | ${Math.round(100 * k.share)} % | ${k.calls} | ${k.gflops.toFixed(1)} | ${k.gbs.toFixed(1)} | ${k.bound}, ${roof} % | ${cell(k.ops)} | ${cell(k.shapes)} |`;
}

function networkText(name, p, kernels) {
  const percent = (part, whole) => `${Math.round((100 * part) / whole)} %`;
  return [`### ${name}`, '',
    `${p.total_ms.toFixed(2)} ms for ${(p.flops * 1e-9).toFixed(2)} GFLOP: ${p.gflops.toFixed(1)} GFLOP/s, ${percent(p.gflops, p.machine.gflops)} of the peak, ${percent(p.roof_ms, p.total_ms)} of the roofline ` +
    `(${p.roof_ms.toFixed(2)} ms); ${p.launches} launches.`, '',
    '| ms | share | calls | GFLOP/s | GB/s | bound by, of its limit | operators | shapes |', '|---|---|---|---|---|---|---|---|',
    ...p.kernels.slice(0, kernels).map(kernelRow), ''];
}

function profileAll(models, options, threads) {
  const ingot = path.join(options.build, 'ingot'), lines = [];
  let machine;
  for (const m of models) {
    const p = runJson(ingot, ['profile', m.file, '--json', '--threads', String(threads), ...words(options.compile), ...m.feed]);
    machine ??= machineText(p.machine, threads);
    lines.push(...networkText(m.name, p, Number(options.kernels)));
    console.error(`${m.name}: profiled`);
  }
  return ['## Network by network', '',
    `${machine} The roofline is the least time that arithmetic by the operators' definition and traffic take at these rates; Winograd's method needs less, and may exceed it.`,
    `The ${options.kernels} most expensive kernels of each network, equal ones together; columns as in [where the time goes](#where-the-time-goes).`, '', ...lines];
}

function replaceBetween(page, file, text) {
  const [begin, end] = markers.map(m => page.indexOf(m));
  if (begin < 0 || end < begin) fail(`${file} lacks the lines '${markers[0]}' and '${markers[1]}'`);
  return page.slice(0, begin + markers[0].length) + '\n' + text + page.slice(end);
}

function main() {
  const defaults = { ...compareDefaults, docs: 'docs/performance.md', image: 'docs/images/performance.svg', kernels: '5' };
  delete defaults.output;
  const { options, list } = parseOptions(process.argv.slice(2), defaults, usage);
  const page = fs.readFileSync(options.docs, 'utf8');
  replaceBetween(page, options.docs, '');
  const result = compare(list, options), threads = Number(options.threads.split(',')[0]);
  const image = path.relative(path.dirname(options.docs), options.image);
  const text = [`## Against ${result.peer}`, '', `![Bars: the speed of ingot relative to ${result.peer}](${image})`, '',
    `${result.cpu}. Interleaved, median of the ratios of ${options.rounds} rounds. Where two figures stand, ${result.peer}'s comes first.`, '', markdownTable(result),
    ...profileAll(findModels(list), options, threads)].join('\n');
  fs.mkdirSync(path.dirname(options.image), { recursive: true });
  fs.writeFileSync(options.image, drawChart(result));
  fs.writeFileSync(options.docs, replaceBetween(page, options.docs, text));
  process.exitCode = result.rows.some(r => r.error) ? 1 : 0;
}

main();
