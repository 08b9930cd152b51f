#!/usr/bin/env node
// kernels.mjs -- the f32 micro-kernels alone, on layers large enough that only their inner loops matter.
//
// For this machine they are timed, with AVX-512 and with AVX2 code, against the peak that machine.c measures for vectors of that width. For another CPU the
// innermost loop of the emitted assembly goes through llvm-mca, which says how busy its multiply-add ports are; a load or store on the stack inside is a spill.
import fs from 'node:fs';
import path from 'node:path';
import { parseOptions, run, runJson, withFolder, words } from './models.mjs';

const usage = `usage: node bench/kernels.mjs [options]

  --build DIR        where ingot was built (default: build)
  --cpus NAME,...    CPUs to time code for (default: x86-64-v4,x86-64-v3 on x86-64, else native)
  --rounds N         times to measure kernel and peak; the median of the ratios counts (default: 9)
  --least PERCENT    exit with status 1 if a kernel is below (default: 95 timed, 90 with --mca)
  --mca CPU          do not time; analyse the inner loops for this CPU, such as neoverse-n1
  --target TRIPLE    the target of --mca (default: aarch64-linux-gnu)
  --llvm-mca FILE    the program (default: llvm-mca-19)
  --compile FLAGS    options for ingot, in one word`;

// ---- the kernels ----

const dims = list => `f32[${list.join(',')}]`;

/** Channels-last convolution of one image: [height and width, channels] -> filters of kernel x kernel. */
function conv(size, channels, filters, kernel, stride = 1, group = 1) {
  const out = Math.floor((size - kernel) / stride) + 1, weight = dims([filters, channels / group, kernel, kernel]);
  return `  %0 = input() : ${dims([1, size, size, channels])} "x"
  %1 = constant() {value=${weight} splat(0.01)} : ${weight}
  %2 = conv(%0, %1) {strides=[${stride},${stride}], dilations=[1,1], pads=[0,0,0,0], group=${group}, channels_last=true} : ${dims([1, out, out, filters])}`;
}

/** [rows, inner] x [inner, columns]; the right operand is a weight or an input. */
function matmul(rows, inner, columns, weight = true) {
  const right = dims([inner, columns]);
  return `  %0 = input() : ${dims([rows, inner])} "x"
  %1 = ${weight ? `constant() {value=${right} splat(0.01)} : ${right}` : `input() {index=1} : ${right} "w"`}
  %2 = matmul(%0, %1) : ${dims([rows, columns])}`;
}

const kernels = {
  'conv 1x1, 64 to 64': conv(56, 64, 64, 1),
  'conv 1x1, 256 to 256': conv(28, 256, 256, 1),
  'conv 1x1 stride 2': conv(57, 256, 512, 1, 2),
  'conv 3x3 stride 2': conv(57, 128, 128, 3, 2),
  'conv 3x3 in 2 groups': conv(30, 256, 256, 3, 1, 2),
  'conv 5x5': conv(32, 64, 64, 5),
  'conv 7x7 stride 2, 3 to 64': conv(229, 3, 64, 7, 2),
  'matmul 128x384x1536': matmul(128, 384, 1536),
  'matmul 512x512x512': matmul(512, 512, 512),
  'matmul of two inputs': matmul(512, 512, 512, false),
};

// Without the rules: they would compute a weight that is one number repeated only once.
const passes = ['--passes', 'layout,algorithm,explicit_pad,fuse,plan'];

const moduleText = body => `module "kernel"\n\ngraph typed {\n${body}\n  return(%2) {names=["y"]}\n}\n`;

/** Calls use(name, file) for each kernel's .irt file; what that returns, as rows. */
const eachKernel = use => withFolder(folder => Object.entries(kernels).map(([name, body]) => {
  const file = path.join(folder, 'kernel.irt');
  fs.writeFileSync(file, moduleText(body));
  return use(name, file, folder);
}));

// ---- timing ----

const runs = 20;        // of the kernel in a round: so few that kernel and peak are measured at the same clock rate

function timeKernels(cpu, options) {
  return eachKernel((name, file) => {
    const args = ['profile', file, '--json', '--runs', String(runs), ...passes, ...(cpu === 'native' ? [] : ['--cpu', cpu]), ...words(options.compile)];
    const rounds = Array.from({ length: Number(options.rounds) }, () => runJson(path.join(options.build, 'ingot'), args));
    const share = p => (100 * p.kernels[0].gflops) / p.machine.gflops, p = rounds.sort((a, b) => share(a) - share(b))[rounds.length >> 1], k = p.kernels[0];
    return { name, percent: share(p), text: `${k.gflops.toFixed(1)} of ${p.machine.gflops.toFixed(1)} GFLOP/s in ${p.machine.vector_bits}-bit vectors` };
  });
}

// ---- inner loops ----

const multiplyAdd = /^\s+(v?f[mn]*madd|fml[as])/;

/** Loops that are one basic block: from a label to the branch back to it. */
function innermostLoops(assembly) {
  const loops = [], lines = assembly.split('\n');
  let label = '', start = 0;
  lines.forEach((line, i) => {
    const named = /^(\.L\w+):/.exec(line);
    if (named) [label, start] = [named[1], i + 1];
    else if (label && new RegExp(`\\s${label.replace('.', '\\.')}$`).test(line)) loops.push(lines.slice(start, i + 1));
  });
  return loops;
}

/** The loop with the most multiply-adds, through llvm-mca. */
function analyse(assembly, folder, options) {
  const count = loop => loop.filter(l => multiplyAdd.test(l)).length;
  const loop = innermostLoops(assembly).sort((a, b) => count(b) - count(a))[0];
  if (!loop || !count(loop)) return { percent: 0, text: 'no inner loop with multiply-adds was found' };
  const file = path.join(folder, 'loop.s'), iterations = 200;
  fs.writeFileSync(file, loop.join('\n') + '\n');
  const report = run(options['llvm-mca'], [`-mtriple=${options.target}`, `-mcpu=${options.mca}`, `-iterations=${iterations}`, file]);
  const cycles = Number(/Total Cycles:\s+(\d+)/.exec(report)[1]) / iterations, spills = loop.filter(l => /\[sp|\(%rsp|\(sp\)/.test(l)).length;
  const percent = (100 * count(loop)) / 2 / cycles;
  return { percent: spills ? 0 : percent, text: `${count(loop)} multiply-adds in ${cycles.toFixed(1)} cycles, ${percent.toFixed(0)} % of two ports, ${spills} accesses to the stack, ${loop.length} instructions` };
}

function analyseKernels(options) {
  return eachKernel((name, file, folder) => {
    const out = path.join(folder, 'kernel.s');
    run(path.join(options.build, 'ingot'), ['compile', file, ...passes, '--target', options.target, '--cpu', options.mca, '-o', out, ...words(options.compile)]);
    return { name, ...analyse(fs.readFileSync(out, 'utf8'), folder, options) };
  });
}

// ---- both ----

/** Prints a table; the number of rows below `least`. */
function printRows(title, rows, least) {
  console.log(`${title}\n`);
  for (const r of rows) console.log(`  ${r.name.padEnd(28)} ${r.percent.toFixed(1).padStart(5)} %${r.percent < least ? ' <' : '  '} ${r.text}`);
  console.log('');
  return rows.filter(r => r.percent < least).length;
}

function main() {
  const defaults = { build: 'build', cpus: process.arch === 'x64' ? 'x86-64-v4,x86-64-v3' : 'native', rounds: '9', least: '', mca: '', target: 'aarch64-linux-gnu', 'llvm-mca': 'llvm-mca-19', compile: '' };
  const { options } = parseOptions(process.argv.slice(2), defaults, usage);
  const least = Number(options.least || (options.mca ? 90 : 95));
  let below = 0;
  if (options.mca) below = printRows(`${options.mca}: multiply-add ports in the inner loop`, analyseKernels(options), least);
  else for (const cpu of options.cpus.split(',')) below += printRows(`${cpu}: share of the peak`, timeKernels(cpu, options), least);
  console.log(`${below} below ${least} %`);
  process.exitCode = below ? 1 : 0;
}

try {
  main();
} catch (e) {
  console.error(`error: ${e.message}`);
  process.exitCode = 1;
}
