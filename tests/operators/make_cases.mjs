#!/usr/bin/env node
// Writes the operator tests in data/: tiny models whose expected outputs ONNX Runtime computes, in the layout of the ONNX backend tests.
//
//   npm install --ignore-scripts --prefix DIR onnxruntime-node@1.30.0
//   ORT_DIR=DIR node tests/operators/make_cases.mjs [TEXT]         only the cases whose name contains TEXT
//
// The cases are at the end. A case: { op, domain, attrs, in: [tensor...], out: [type...], ops: opset of ai.onnx }. An operand made with `weight` becomes
// an initialiser, null is an absent one. Attributes: whole numbers, F(real), text, lists of these, tensors, graphs. A case of several nodes has `nodes` instead of op,
// domain and attrs: each { op, domain, attrs, in: [names], out: [names] } of the operands x0, x1... and the results y0, y1...
// Where ONNX Runtime has no CPU kernel, `unfused` are the nodes that it runs instead. A case zero_X is also written as zero_X_open, with symbols for its zeros.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
const require = createRequire(path.resolve(process.env.ORT_DIR ?? '.', 'x.js'));
const ort = require('onnxruntime-node');
const here = path.join(path.dirname(fileURLToPath(import.meta.url)), 'data');

// ---- protobuf ----
const varint = n => { const out = []; for (n = BigInt.asUintN(64, BigInt(n)); n > 127n; n >>= 7n) out.push(Number(n & 127n) | 128); return Buffer.from([...out, Number(n)]); };
const vi = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const bytes = (field, b) => Buffer.concat([varint(field << 3 | 2), varint(b.length), b]);
const str = (field, s) => bytes(field, Buffer.from(s));
const f32bytes = x => { const b = Buffer.alloc(4); b.writeFloatLE(x); return b; };
const msg = (...parts) => Buffer.concat(parts.filter(Boolean));
const TYPE = { float32: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6, int64: 7, string: 8, bool: 9, float16: 10, float64: 11, uint32: 12, uint64: 13 };

const tensorProto = t => msg(...t.dims.map(d => vi(1, d)), vi(2, TYPE[t.type]), t.name ? str(8, t.name) : null,
                             ...(t.type === 'string' ? t.data.map(s => str(6, s)) : [bytes(9, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength))]));
const valueInfo = (name, type, dims) => msg(str(1, name), bytes(2, bytes(1, msg(vi(1, TYPE[type]), dims ? bytes(2, msg(...dims.map(d => bytes(1, typeof d === 'string' ? str(2, d) : vi(1, d))))) : null))));
class Real { constructor(v) { this.v = v; } }
const F = v => new Real(v);
const real = (field, x) => Buffer.concat([varint(field << 3 | 5), f32bytes(x)]);
function attribute(name, v) {
  const head = str(1, name);
  if (v instanceof Real && Array.isArray(v.v)) return msg(head, ...v.v.map(x => real(7, x)), vi(20, 6));
  if (v instanceof Real) return msg(head, real(2, v.v), vi(20, 1));
  if (typeof v === 'number') return msg(head, vi(3, v), vi(20, 2));
  if (typeof v === 'string') return msg(head, str(4, v), vi(20, 3));
  if (v.nodes) return msg(head, bytes(6, subgraph(v)), vi(20, 5));
  if (v.dims) return msg(head, bytes(5, tensorProto(v)), vi(20, 4));
  if (typeof v[0] === 'string') return msg(head, ...v.map(s => str(9, s)), vi(20, 8));
  return msg(head, ...v.map(x => vi(8, x)), vi(20, 7));
}
// A graph as attribute: { nodes, in: { name: type }, out: { name: type } }; shapes are left open.
const subgraph = g => msg(...g.nodes.map(n => bytes(1, nodeProto(n))), str(2, 'sub'), ...Object.entries(g.in ?? {}).map(([n, t]) => bytes(11, valueInfo(n, ...[t].flat(1)))),
                          ...Object.entries(g.out).map(([n, t]) => bytes(12, valueInfo(n, t))));
const nodeProto = n => msg(...n.in.map(t => str(1, t ?? '')), ...n.out.map(t => str(2, t ?? '')), str(4, n.op),
                           ...Object.entries(n.attrs ?? {}).map(([k, v]) => bytes(5, attribute(k, v))), str(7, n.domain ?? ''));
function model(c, results) {
  const operands = c.in.map((t, i) => t && { ...t, name: `x${i}` });
  const outs = c.out.map((t, i) => t ? `y${i}` : '');
  const nodes = c.nodes ?? [{ ...c, in: operands.map(t => t?.name), out: outs }];
  const graph = msg(...nodes.map(n => bytes(1, nodeProto(n))), str(2, 'g'), ...operands.filter(t => t?.fixed).map(t => bytes(5, tensorProto(t))),
                    ...operands.filter(t => t && !t.fixed).map(t => bytes(11, valueInfo(t.name, t.type, c.open ? t.dims.map((d, k) => d || `${t.name}_${k}`) : t.dims))),
                    ...outs.map((n, i) => n && bytes(12, valueInfo(n, c.out[i], c.open ? null : results?.[n].dims))));
  const opset = (d, v) => bytes(8, msg(d ? str(1, d) : null, vi(2, v)));
  const domains = [...new Set(nodes.map(n => n.domain).filter(Boolean))];
  return msg(vi(1, 8), str(2, 'make_cases'), bytes(7, graph), opset('', c.ops ?? 17), ...domains.map(d => opset(d, d === 'ai.onnx.ml' ? c.ml ?? 3 : 1)));
}

// ---- data: one generator, so that a case is the same each time ----
let seed = 1;
const rnd = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 4294967296;
const ARRAY = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int8: Int8Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
                uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, uint64: BigUint64Array };
const text = (dims, data) => ({ type: 'string', dims, data });
function tensor(type, dims, fill) {
  const n = dims.reduce((a, b) => a * b, 1), data = new ARRAY[type](n);
  for (let i = 0; i < n; i++) { const x = Array.isArray(fill) ? fill[i] : fill(i); data[i] = type.endsWith('int64') ? BigInt(x) : x; }
  return { type, dims, data };
}
const f = (...dims) => tensor('float32', dims, () => rnd() * 2 - 1);
const pos = (...dims) => tensor('float32', dims, () => 0.01 + rnd() * 0.05);
const f32 = (dims, v) => tensor('float32', dims, v);
const i64 = (dims, v) => tensor('int64', dims, v);
const i32 = (dims, v) => tensor('int32', dims, v);
const u8 = (...dims) => tensor('uint8', dims, () => Math.floor(rnd() * 256));
const i8 = (...dims) => tensor('int8', dims, () => Math.floor(rnd() * 256) - 128);
const u8k = v => tensor('uint8', [], [v]);
const i8k = v => tensor('int8', [], [v]);
const k = v => tensor('float32', [], [v]);
const weight = t => ({ ...t, fixed: true });
const list = n => Array.from({ length: n }, () => Math.fround(rnd() * 2 - 1));

async function write(name, c) {
  const first = model(c.unfused ? { ...c, nodes: c.unfused } : c);
  const s = await ort.InferenceSession.create(new Uint8Array(first), { graphOptimizationLevel: 'disabled', logSeverityLevel: 3 });
  const feeds = {};
  c.in.forEach((t, i) => { if (t && !t.fixed) feeds[`x${i}`] = new ort.Tensor(t.type, t.data, t.dims); });
  const r = await s.run(feeds), set = path.join(here, name, 'test_data_set_0');
  fs.rmSync(path.join(here, name), { recursive: true, force: true });
  fs.mkdirSync(set, { recursive: true });
  fs.writeFileSync(path.join(here, name, 'model.onnx'), model(c, r));
  Object.keys(feeds).forEach((key, i) => fs.writeFileSync(path.join(set, `input_${i}.pb`), tensorProto({ ...c.in[Number(key.slice(1))], name: key })));
  c.out.map((t, i) => t && `y${i}`).filter(Boolean).forEach((key, i) =>
    fs.writeFileSync(path.join(set, `output_${i}.pb`), tensorProto({ type: r[key].type, dims: r[key].dims, data: r[key].data, name: key })));
  if (c.tolerance) fs.writeFileSync(path.join(here, name, 'data.json'), JSON.stringify(c.tolerance) + '\n');
}

// ---- the cases ----
const ml = 'ai.onnx.ml', ms = 'com.microsoft', fl = 'float32', loose = { rtol: 1e-3, atol: 1e-5 };
const svm = (classes, per, features, more) => {
  const n = per.reduce((a, b) => a + b, 0), pairs = classes * (classes - 1) / 2;
  return { classlabels_ints: Array.from({ length: classes }, (_, i) => 2 * i + 1), vectors_per_class: per, support_vectors: F(list(n * features)),
           coefficients: F(list(n * (classes - 1))), rho: F(list(pairs)), ...more };
};
// A forest of stumps with two levels: feature, thresholds; leaves get what `leaf` says.
function forest(trees, features, prefix, ids, leaf) {
  const a = { nodes_treeids: [], nodes_nodeids: [], nodes_featureids: [], nodes_values: [], nodes_modes: [], nodes_truenodeids: [], nodes_falsenodeids: [] };
  const l = { treeids: [], nodeids: [], ids: [], weights: [] };
  for (let t = 0; t < trees; t++)
    for (let n = 0; n < 7; n++) {
      const inner = n < 3;
      a.nodes_treeids.push(t); a.nodes_nodeids.push(n); a.nodes_featureids.push(inner ? (t + n) % features : 0);
      a.nodes_values.push(inner ? Math.fround(rnd() - 0.5) : 0); a.nodes_modes.push(inner ? 'BRANCH_LEQ' : 'LEAF');
      a.nodes_truenodeids.push(inner ? 2 * n + 1 : 0); a.nodes_falsenodeids.push(inner ? 2 * n + 2 : 0);
      for (const id of inner ? [] : ids) { l.treeids.push(t); l.nodeids.push(n); l.ids.push(id); l.weights.push(leaf(id)); }
    }
  return { ...a, nodes_values: F(a.nodes_values), [`${prefix}_treeids`]: l.treeids, [`${prefix}_nodeids`]: l.nodeids, [`${prefix}_ids`]: l.ids, [`${prefix}_weights`]: F(l.weights) };
}
const B = 2, S = 4, N = 2, H = 8, D = N * H, P = 3;
const turned = (n, half, fn) => weight(f32([n, half], i => fn((1 + i % half) * Math.floor(i / half) / 4)));
const rotary = (n, size) => [turned(n, size / 2, Math.cos), turned(n, size / 2, Math.sin)];
const q8 = (t, s, z) => [t, weight(k(s)), weight(t.type === 'int8' ? i8k(z) : u8k(z))];

const toText = (type, v) => ({ op: 'Cast', in: [tensor(type, [v.length], v)], out: ['string'], attrs: { to: TYPE.string }, ops: 21 });
const ofText = (type, v) => ({ op: 'Cast', in: [text([v.length], v)], out: [type], attrs: { to: TYPE[type] }, ops: 21, tolerance: { rtol: 0, atol: 0 } });
const reals = ['1', '-1', '3.14', '  7', '7  ', '1e5', '1E-5', '100.5', '+INF', 'inf', '-inf', 'NaN', '+5', '1.17549435e-38', '16777217', '3.4028235e38', '1e', '-0', '0.1e1x'];

const node = (op, from, to, attrs, domain) => ({ op, in: from.split(' ').filter(Boolean), out: to.split(' '), attrs, domain });
const turn = (from, to, perm) => node('Transpose', from, to, { perm });
function t5(both, buckets, most, queries, keys) {
  const n = both ? buckets / 2 : buckets, exact = n / 2, whole = (name, v) => node('Constant', '', name, { value: i64([], [v]) }), real = (name, v) => node('Constant', '', name, { value: k(v) });
  return { domain: ms, op: 'RelativePositionBias', in: [f(buckets, 2), i64([], [queries]), i64([], [keys])], out: [fl], attrs: { max_distance: most, is_bidirectional: both },
    unfused: [whole('zero', 0), whole('one', 1), whole('exact', exact), whole('last', n - 1), whole('n', n), real('exactf', exact), real('span', Math.log(most / exact)), real('rest', n - exact),
      node('Constant', '', 'first', { value_ints: [0] }), node('Constant', '', 'second', { value_ints: [1] }), node('Range', 'zero x1 one', 'q'), node('Range', 'zero x2 one', 'k'),
      node('Unsqueeze', 'q second', 'q1'), node('Sub', 'k q1', 'a'), node('Neg', 'a', 'na'), both ? node('Abs', 'a', 'd') : node('Max', 'na zero', 'd'), node('Less', 'd exact', 'small'),
      node('Max', 'd one', 'm'), node('Cast', 'm', 'mf', { to: 1 }), node('Div', 'mf exactf', 'r'), node('Log', 'r', 'l'), node('Div', 'l span', 'p'), node('Mul', 'p rest', 'g'),
      node('Cast', 'g', 'gi', { to: 7 }), node('Add', 'gi exact', 'ge'), node('Min', 'ge last', 'shared'), node('Where', 'small d shared', 'w'),
      node('Greater', 'a zero', 'ahead'), node('Cast', 'ahead', 'ai', { to: 7 }), node('Mul', 'ai n', 'an'), both ? node('Add', 'w an', 'bucket') : node('Identity', 'w', 'bucket'),
      node('Gather', 'x0 bucket', 'rows'), node('Transpose', 'rows', 'heads', { perm: [2, 0, 1] }), node('Unsqueeze', 'heads first', 'y0')] };
}
// A past with room for more: of every sequence last + 1 keys are known in the end.
const gqaBuffer = (batch, queries, last, room, attrs) => ({ domain: ms, op: 'GroupQueryAttention',
  in: [f(batch, queries, 4 * 16), f(batch, queries, 2 * 16), f(batch, queries, 2 * 16), f(batch, 2, room, 16), f(batch, 2, room, 16), i32([batch], last), i32([], [Math.max(...last) + 1]), ...rotary(16, 16)],
  out: [fl, fl, fl], attrs: { num_heads: 4, kv_num_heads: 2, ...attrs }, tolerance: loose });
const ints = (name, v) => node('Constant', '', name, { value_ints: v });
const named = n => ({ ...n, in: n.in.map(s => s === '_' ? '' : s), out: n.out.map(s => s === '_' ? '' : s) });
const ifSizes = c => ({ in: [tensor('bool', [], [c]), f(4, 3)], out: [fl, 'int64'],
  nodes: [{ op: 'If', in: ['x0'], out: ['z'], attrs: { then_branch: { nodes: [{ op: 'Concat', in: ['x1', 'x1'], out: ['t'], attrs: { axis: 0 } }], out: { t: fl } },
                                                       else_branch: { nodes: [{ op: 'Transpose', in: ['x1'], out: ['e'], attrs: { perm: [1, 0] } }], out: { e: fl } } } },
          { op: 'Neg', in: ['z'], out: ['y0'] }, { op: 'Shape', in: ['z'], out: ['y1'] }] });

const cases = {
  // support vectors
  svm_classifier_rbf_probabilities: () => ({ domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: svm(3, [2, 3, 2], 3, { kernel_type: 'RBF', kernel_params: F([0.5, 0, 3]), prob_a: F(list(3)), prob_b: F(list(3)) }), tolerance: loose }),
  svm_classifier_poly: () => ({ domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: svm(4, [2, 1, 2, 2], 3, { kernel_type: 'POLY', kernel_params: F([0.5, 1, 2]) }), tolerance: loose }),
  svm_classifier_two: () => ({ domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: svm(2, [2, 3], 3, { kernel_type: 'SIGMOID', kernel_params: F([0.5, 0.1, 0]) }), tolerance: loose }),
  svm_classifier_two_probabilities: () => ({ domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: svm(2, [2, 3], 3, { kernel_type: 'LINEAR', kernel_params: F([0, 0, 0]), prob_a: F([-1.5]), prob_b: F([0.25]) }), tolerance: loose }),
  svm_classifier_linear: () => ({ domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: { classlabels_ints: [0, 1, 2], coefficients: F(list(9)), rho: F([0.1]), kernel_type: 'LINEAR', kernel_params: F([0, 0, 0]), post_transform: 'SOFTMAX' }, tolerance: loose }),
  svm_regressor_rbf: () => ({ domain: ml, op: 'SVMRegressor', in: [f(5, 3)], out: [fl],
    attrs: { kernel_type: 'RBF', kernel_params: F([0.5, 0, 3]), n_supports: 4, support_vectors: F(list(12)), coefficients: F(list(4)), rho: F([0.3]) }, tolerance: loose }),
  svm_regressor_linear: () => ({ domain: ml, op: 'SVMRegressor', in: [f(5, 3)], out: [fl],
    attrs: { kernel_type: 'LINEAR', kernel_params: F([0, 0, 0]), coefficients: F(list(3)), rho: F([0.3]) }, tolerance: loose }),
  // trees
  trees_regressor: () => ({ domain: ml, op: 'TreeEnsembleRegressor', in: [f(9, 4)], out: [fl],
    attrs: { ...forest(10, 4, 'target', [0, 1], () => Math.fround(rnd())), n_targets: 2, base_values: F([0.5, -0.5]) }, tolerance: loose }),
  trees_regressor_one_row: () => ({ domain: ml, op: 'TreeEnsembleRegressor', in: [f(1, 4)], out: [fl], attrs: { ...forest(10, 4, 'target', [0], () => Math.fround(rnd() - 0.5)), n_targets: 1 }, tolerance: loose }),
  trees_regressor_min: () => ({ domain: ml, op: 'TreeEnsembleRegressor', in: [f(6, 4)], out: [fl],
    attrs: { ...forest(7, 4, 'target', [0], () => Math.fround(rnd())), n_targets: 1, aggregate_function: 'MIN' }, tolerance: loose }),
  trees_regressor_average: () => ({ domain: ml, op: 'TreeEnsembleRegressor', in: [f(6, 4)], out: [fl],
    attrs: { ...forest(7, 4, 'target', [0], () => Math.fround(rnd())), n_targets: 1, aggregate_function: 'AVERAGE' }, tolerance: loose }),
  trees_classifier: () => ({ domain: ml, op: 'TreeEnsembleClassifier', in: [f(9, 4)], out: ['int64', fl],
    attrs: { ...forest(10, 4, 'class', [0, 1, 2], () => Math.fround(rnd() < 0.5 ? 0 : rnd() / 10)), classlabels_int64s: [0, 1, 2] }, tolerance: loose }),
  trees_classifier_softmax: () => ({ domain: ml, op: 'TreeEnsembleClassifier', in: [f(9, 4)], out: ['int64', fl],
    attrs: { ...forest(5, 4, 'class', [0, 1, 2], () => Math.fround(rnd() - 0.5)), classlabels_int64s: [5, 6, 9], post_transform: 'SOFTMAX' }, tolerance: loose }),
  trees_classifier_two: () => ({ domain: ml, op: 'TreeEnsembleClassifier', in: [f(9, 4)], out: ['int64', fl],
    attrs: { ...forest(5, 4, 'class', [0], () => Math.fround(rnd() - 0.5)), classlabels_int64s: [0, 1], post_transform: 'LOGISTIC', base_values: F([0.1]) }, tolerance: loose }),
  // linear models and features
  linear_classifier: () => ({ domain: ml, op: 'LinearClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: { coefficients: F(list(9)), intercepts: F(list(3)), classlabels_ints: [3, 4, 7], post_transform: 'SOFTMAX', multi_class: 1 }, tolerance: loose }),
  linear_classifier_two: () => ({ domain: ml, op: 'LinearClassifier', in: [f(5, 3)], out: ['int64', fl],
    attrs: { coefficients: F(list(6)), intercepts: F(list(2)), classlabels_ints: [0, 1], post_transform: 'LOGISTIC' }, tolerance: loose }),
  linear_classifier_text: () => ({ domain: ml, op: 'LinearClassifier', in: [f(5, 3)], out: ['string', fl],
    attrs: { coefficients: F(list(9)), intercepts: F(list(3)), classlabels_strings: ['ant', 'bee', 'cat'], post_transform: 'SOFTMAX', multi_class: 1 }, tolerance: loose }),
  linear_classifier_text_two: () => ({ domain: ml, op: 'LinearClassifier', in: [f(5, 3)], out: ['string', fl],
    attrs: { coefficients: F(list(6)), intercepts: F(list(2)), classlabels_strings: ['no', 'yes'], post_transform: 'LOGISTIC' }, tolerance: loose }),
  trees_classifier_text: () => ({ domain: ml, op: 'TreeEnsembleClassifier', in: [f(9, 4)], out: ['string', fl],
    attrs: { ...forest(10, 4, 'class', [0, 1, 2], () => Math.fround(rnd() < 0.5 ? 0 : rnd() / 10)), classlabels_strings: ['ant', 'bee', 'cat'] }, tolerance: loose }),
  trees_classifier_text_two: () => ({ domain: ml, op: 'TreeEnsembleClassifier', in: [f(9, 4)], out: ['string', fl],
    attrs: { ...forest(5, 4, 'class', [0], () => Math.fround(rnd() - 0.5)), classlabels_strings: ['no', 'yes'], post_transform: 'LOGISTIC' }, tolerance: loose }),
  svm_classifier_text: () => { const { classlabels_ints, ...rest } = svm(3, [2, 3, 2], 3, { kernel_type: 'RBF', kernel_params: F([0.5, 0, 3]) });
    return { domain: ml, op: 'SVMClassifier', in: [f(5, 3)], out: ['string', fl], attrs: { ...rest, classlabels_strings: ['ant', 'bee', 'cat'] }, tolerance: loose }; },
  linear_regressor: () => ({ domain: ml, op: 'LinearRegressor', in: [f(5, 3)], out: [fl], attrs: { coefficients: F(list(6)), intercepts: F(list(2)), targets: 2 }, tolerance: loose }),
  scaler: () => ({ domain: ml, op: 'Scaler', in: [f(5, 3)], out: [fl], attrs: { offset: F([0.1, 0.2, 0.3]), scale: F([2, 3, 4]) } }),
  normalizer_l1: () => ({ domain: ml, op: 'Normalizer', in: [f(5, 3)], out: [fl], attrs: { norm: 'L1' } }),
  normalizer_l2: () => ({ domain: ml, op: 'Normalizer', in: [f(5, 3)], out: [fl], attrs: { norm: 'L2' } }),
  normalizer_max: () => ({ domain: ml, op: 'Normalizer', in: [f(5, 3)], out: [fl], attrs: { norm: 'MAX' } }),
  imputer: () => ({ domain: ml, op: 'Imputer', in: [f32([2, 3], [1, NaN, 3, NaN, 5, 6])], out: [fl], attrs: { imputed_value_floats: F([7, 8, 9]), replaced_value_float: F(NaN) } }),
  binarizer: () => ({ domain: ml, op: 'Binarizer', in: [f(5, 3)], out: [fl], attrs: { threshold: F(0.2) } }),
  array_feature_extractor: () => ({ domain: ml, op: 'ArrayFeatureExtractor', in: [f(3, 5), i64([1, 2], [4, 1])], out: [fl] }),
  feature_vectorizer: () => ({ domain: ml, op: 'FeatureVectorizer', in: [f(2, 3), f(2, 2)], out: [fl], attrs: { inputdimensions: [3, 2] } }),
  one_hot_encoder: () => ({ domain: ml, op: 'OneHotEncoder', in: [i64([4], [3, 1, 9, 2])], out: [fl], attrs: { cats_int64s: [1, 2, 3], zeros: 1 } }),
  label_encoder_ints: () => ({ domain: ml, op: 'LabelEncoder', in: [i64([4], [3, 1, 9, 2])], out: [fl], attrs: { keys_int64s: [1, 2, 3], values_floats: F([0.5, 1.5, 2.5]), default_float: F(-1) }, ml: 2 }),
  // fused operators
  fused_conv_relu: () => ({ domain: ms, op: 'FusedConv', in: [f(1, 3, 6, 6), weight(f(4, 3, 3, 3)), weight(f(4))], out: [fl], attrs: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], activation: 'Relu' }, tolerance: loose }),
  fused_conv_sum_clip: () => ({ domain: ms, op: 'FusedConv', in: [f(1, 3, 6, 6), weight(f(4, 3, 3, 3)), weight(f(4)), f(1, 4, 6, 6)], out: [fl],
    attrs: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], activation: 'Clip', activation_params: F([-0.5, 0.75]) }, tolerance: loose }),
  fused_conv_leaky: () => ({ domain: ms, op: 'FusedConv', in: [f(1, 2, 5, 5), weight(f(2, 2, 1, 1))], out: [fl], attrs: { kernel_shape: [1, 1], activation: 'LeakyRelu', activation_params: F([0.25]) }, tolerance: loose }),
  fused_conv_hard_sigmoid: () => ({ domain: ms, op: 'FusedConv', in: [f(1, 2, 5, 5), weight(f(2, 2, 1, 1))], out: [fl], attrs: { kernel_shape: [1, 1], activation: 'HardSigmoid', activation_params: F([0.3, 0.4]) }, tolerance: loose }),
  fused_gemm: () => ({ domain: ms, op: 'FusedGemm', in: [f(3, 5), weight(f(4, 5)), weight(f(4))], out: [fl], attrs: { transB: 1, alpha: F(0.5), beta: F(2), activation: 'LeakyRelu', activation_alpha: F(0.1) }, tolerance: loose }),
  fused_matmul: () => ({ domain: ms, op: 'FusedMatMul', in: [f(2, 5, 3), f(2, 4, 5)], out: [fl], attrs: { transA: 1, transB: 1, alpha: F(0.25) }, tolerance: loose }),
  fused_matmul_batch: () => ({ domain: ms, op: 'FusedMatMul', in: [f(5, 2, 3), f(2, 3, 4)], out: [fl], attrs: { transBatchA: 1 }, tolerance: loose }),
  fast_gelu: () => ({ domain: ms, op: 'FastGelu', in: [f(3, 4), f(4)], out: [fl], tolerance: loose }),
  gelu: () => ({ domain: ms, op: 'Gelu', in: [f(3, 4)], out: [fl], tolerance: loose }),
  bias_gelu: () => ({ domain: ms, op: 'BiasGelu', in: [f(3, 4), f(4)], out: [fl], tolerance: loose }),
  quick_gelu: () => ({ domain: ms, op: 'QuickGelu', in: [f(3, 4)], out: [fl], attrs: { alpha: F(1.5) }, tolerance: loose }),
  layer_norm_skip: () => ({ domain: ms, op: 'SkipLayerNormalization', in: [f(B, S, D), f(B, S, D), weight(f(D)), weight(f(D)), weight(f(D))], out: [fl, null, null, fl], attrs: { epsilon: F(1e-5) }, tolerance: loose }),
  rms_norm_skip: () => ({ domain: ms, op: 'SkipSimplifiedLayerNormalization', in: [f(B, S, D), f(B, S, D), weight(f(D)), weight(f(D))], out: [fl, null, null, fl], attrs: { epsilon: F(1e-5) }, tolerance: loose }),
  rms_norm: () => ({ op: 'SimplifiedLayerNormalization', in: [f(B, S, D), weight(f(D))], out: [fl], attrs: { epsilon: F(1e-5), axis: -1 }, tolerance: loose }),
  embed_layer_norm: () => ({ domain: ms, op: 'EmbedLayerNormalization', attrs: { epsilon: F(1e-5) }, out: [fl, 'int32'], tolerance: loose,
    in: [i32([B, S], [1, 4, 2, 0, 3, 3, 1, 2]), i32([B, S], [0, 0, 1, 1, 0, 1, 1, 1]), weight(f(5, D)), weight(f(6, D)), weight(f(2, D)), weight(f(D)), weight(f(D)), i32([B, S], [1, 1, 1, 0, 1, 1, 0, 0])] }),
  embed_layer_norm_plain: () => ({ domain: ms, op: 'EmbedLayerNormalization', attrs: { epsilon: F(1e-5), mask_index_type: 0 }, out: [fl, 'int32', fl], tolerance: loose,
    in: [i32([B, S], [1, 4, 2, 0, 3, 3, 1, 2]), null, weight(f(5, D)), weight(f(6, D)), null, weight(f(D)), weight(f(D))] }),
  // attention
  attention_plain: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 3 * D)), weight(f(3 * D))], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  attention_lengths: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 3 * D)), weight(f(3 * D)), i32([B], [4, 2])], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  attention_start_end: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 3 * D)), weight(f(3 * D)), i32([2 * B], [4, 3, 0, 1])], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  attention_raw_mask_causal: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 3 * D)), weight(f(3 * D)), i32([B, S], [1, 1, 1, 1, 1, 1, 0, 0])], out: [fl],
    attrs: { num_heads: N, unidirectional: 1 }, tolerance: loose }),
  attention_past: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 3 * D)), weight(f(3 * D)), null, f(2, B, N, P, H)], out: [fl, fl], attrs: { num_heads: N, unidirectional: 1 }, tolerance: loose }),
  attention_sizes_bias: () => ({ domain: ms, op: 'Attention', in: [f(B, S, D), weight(f(D, 2 * D + 8)), weight(f(2 * D + 8)), null, null, f(B, N, S, S)], out: [fl],
    attrs: { num_heads: N, qkv_hidden_sizes: [D, D, 8], scale: F(0.3) }, tolerance: loose }),
  qattention: () => ({ domain: ms, op: 'QAttention', in: [u8(B, S, D), weight(i8(D, 3 * D)), weight(f(3 * D)), weight(k(0.02)), weight(k(0.01)), i32([B], [4, 2]), weight(u8k(120)), weight(i8k(0))], out: [fl],
    attrs: { num_heads: N }, tolerance: loose }),
  multi_head: () => ({ domain: ms, op: 'MultiHeadAttention', in: [f(B, S, D), f(B, S + 1, D), f(B, S + 1, D), weight(f(3 * D))], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  multi_head_past: () => ({ domain: ms, op: 'MultiHeadAttention', in: [f(B, S, D), f(B, S, D), f(B, S, D), null, null, f(B, N, S, S + P), f(B, N, P, H), f(B, N, P, H)], out: [fl, fl, fl],
    attrs: { num_heads: N, unidirectional: 1 }, tolerance: loose }),
  multi_head_cross: () => ({ domain: ms, op: 'MultiHeadAttention', in: [f(B, S, D), f(B, N, P, H), f(B, N, P, H)], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  multi_head_padding: () => ({ domain: ms, op: 'MultiHeadAttention', in: [f(B, S, D), f(B, S, D), f(B, S, D), null, i32([B, S], [1, 1, 1, 0, 1, 1, 0, 0])], out: [fl], attrs: { num_heads: N }, tolerance: loose }),
  group_query: () => ({ domain: ms, op: 'GroupQueryAttention', in: [f(1, S, 4 * H), f(1, S, 2 * H), f(1, S, 2 * H), f(1, 2, 0, H), f(1, 2, 0, H), i32([1], [S - 1]), i32([], [S])], out: [fl, fl, fl],
    attrs: { num_heads: 4, kv_num_heads: 2 }, tolerance: loose }),
  group_query_rotary_decode: () => ({ domain: ms, op: 'GroupQueryAttention', in: [f(1, 1, 8 * H), f(1, 1, 2 * 2 * H), f(1, 1, 2 * 2 * H), f(1, 2, P, 2 * H), f(1, 2, P, 2 * H), i32([1], [P]), i32([], [P + 1]), ...rotary(16, 16)],
    out: [fl, fl, fl], attrs: { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, tolerance: loose }),
  group_query_packed_window: () => ({ domain: ms, op: 'GroupQueryAttention', in: [f(1, 6, 8 * 2 * H), null, null, f(1, 2, 0, 2 * H), f(1, 2, 0, 2 * H), i32([1], [5]), i32([], [6]), ...rotary(16, 16)],
    out: [fl, fl, fl], attrs: { num_heads: 4, kv_num_heads: 2, do_rotary: 1, rotary_interleaved: 1, local_window_size: 3, softcap: F(0.8) }, tolerance: loose }),
  group_query_smooth: () => ({ domain: ms, op: 'GroupQueryAttention', in: [f(1, S, 4 * H), f(1, S, 2 * H), f(1, S, 2 * H), f(1, 2, 0, H), f(1, 2, 0, H), i32([1], [S - 1]), i32([], [S])], out: [fl, fl, fl],
    attrs: { num_heads: 4, kv_num_heads: 2, smooth_softmax: 1 }, tolerance: loose }),
  group_query_sink: () => ({ domain: ms, op: 'GroupQueryAttention', in: [f(1, S, 4 * H), f(1, S, 2 * H), f(1, S, 2 * H), f(1, 2, 0, H), f(1, 2, 0, H), i32([1], [S - 1]), i32([], [S]), null, null, null, null, f(4)], out: [fl, fl, fl],
    attrs: { num_heads: 4, kv_num_heads: 2 }, tolerance: loose }),
  group_query_buffer: () => gqaBuffer(1, 2, [4], 9, {}),
  group_query_buffer_first: () => gqaBuffer(1, 4, [3], 9, { do_rotary: 1 }),
  group_query_buffer_rotary: () => gqaBuffer(2, 1, [4, 2], 8, { do_rotary: 1, local_window_size: 3 }),
  rotary_offset: () => ({ domain: ms, op: 'RotaryEmbedding', in: [f(B, S, D), i64([1], [2]), ...rotary(16, H)], out: [fl], tolerance: loose }),
  rotary_positions: () => ({ domain: ms, op: 'RotaryEmbedding', in: [f(B, N, S, H), i64([B, S], [0, 1, 2, 3, 5, 4, 3, 2]), ...rotary(16, H)], out: [fl], attrs: { interleaved: 1 }, tolerance: loose }),
  // few bits
  matmul_4_bits: () => ({ domain: ms, op: 'MatMulNBits', in: [f(3, 40), weight(u8(5, 3, 8)), weight(pos(15))], out: [fl], attrs: { K: 40, N: 5, bits: 4, block_size: 16 }, tolerance: loose }),
  matmul_4_bits_zeros: () => ({ domain: ms, op: 'MatMulNBits', in: [f(2, 3, 48), weight(u8(5, 3, 8)), weight(pos(15)), weight(u8(10))], out: [fl], attrs: { K: 48, N: 5, bits: 4, block_size: 16 }, tolerance: loose }),
  matmul_nf4: () => ({ domain: ms, op: 'MatMulBnb4', in: [f(3, 32), weight(u8(80)), weight(pos(10))], out: [fl], attrs: { K: 32, N: 5, block_size: 16, quant_type: 1 } }),
  matmul_fp4: () => ({ domain: ms, op: 'MatMulBnb4', in: [f(1, 48), weight(u8(168)), weight(pos(21))], out: [fl], attrs: { K: 48, N: 7, block_size: 16, quant_type: 0 } }),
  matmul_8_bits: () => ({ domain: ms, op: 'MatMulNBits', in: [f(3, 32), weight(u8(5, 2, 16)), weight(pos(10))], out: [fl], attrs: { K: 32, N: 5, bits: 8, block_size: 16 }, tolerance: loose }),
  gather_4_bits: () => ({ domain: ms, op: 'GatherBlockQuantized', in: [weight(u8(6, 16)), i64([2, 2], [5, 0, 3, 3]), weight(pos(6, 2))], out: [fl], attrs: { gather_axis: 0, quantize_axis: 1, block_size: 16, bits: 4 }, tolerance: loose }),
  gather_4_bits_zeros: () => ({ domain: ms, op: 'GatherBlockQuantized', in: [weight(u8(6, 16)), i64([3], [5, 0, 3]), weight(pos(6, 2)), weight(u8(6, 1))], out: [fl], attrs: { gather_axis: 0, quantize_axis: 1, block_size: 16, bits: 4 }, tolerance: loose }),
  // integers
  qlinear_add: () => ({ domain: ms, op: 'QLinearAdd', in: [...q8(u8(2, 5), 0.02, 100), ...q8(u8(2, 5), 0.03, 120), weight(k(0.05)), weight(u8k(128))], out: ['uint8'] }),
  qlinear_mul: () => ({ domain: ms, op: 'QLinearMul', in: [...q8(i8(2, 5), 0.02, 3), ...q8(i8(2, 5), 0.03, -4), weight(k(0.05)), weight(i8k(1))], out: ['int8'] }),
  qlinear_sigmoid: () => ({ domain: ms, op: 'QLinearSigmoid', in: [...q8(u8(2, 5), 0.05, 128), weight(k(1 / 256)), weight(u8k(0))], out: ['uint8'] }),
  qlinear_leaky_relu: () => ({ domain: ms, op: 'QLinearLeakyRelu', in: [...q8(u8(2, 5), 0.05, 128), weight(k(0.04)), weight(u8k(100))], out: ['uint8'], attrs: { alpha: F(0.1) } }),
  qlinear_softmax: () => ({ domain: ms, op: 'QLinearSoftmax', in: [...q8(u8(2, 5), 0.03, 128), weight(k(1 / 256)), weight(u8k(0))], out: ['uint8'], attrs: { opset: 13, axis: -1 } }),
  qlinear_concat: () => ({ domain: ms, op: 'QLinearConcat', in: [weight(k(0.05)), weight(u8k(128)), ...q8(u8(2, 5), 0.02, 100), ...q8(u8(2, 3), 0.03, 120)], out: ['uint8'], attrs: { axis: 1 } }),
  qlinear_average_pool: () => ({ domain: ms, op: 'QLinearAveragePool', in: [...q8(u8(1, 2, 6, 6), 0.02, 100), weight(k(0.015)), weight(u8k(90))], out: ['uint8'], attrs: { kernel_shape: [3, 3], strides: [2, 2] } }),
  qlinear_global_average_pool: () => ({ domain: ms, op: 'QLinearGlobalAveragePool', in: [...q8(u8(1, 3, 4, 4), 0.02, 100), weight(k(0.015)), weight(u8k(90))], out: ['uint8'] }),
  qlinear_where: () => ({ domain: ms, op: 'QLinearWhere', in: [tensor('bool', [2, 3], [1, 0, 1, 0, 0, 1]), ...q8(u8(2, 3), 0.02, 100), ...q8(u8(2, 3), 0.03, 120), weight(k(0.05)), weight(u8k(128))], out: ['uint8'] }),
  qgemm: () => ({ domain: ms, op: 'QGemm', in: [...q8(u8(3, 6), 0.02, 100), ...q8(weight(i8(6, 4)), 0.01, 0), weight(i32([4], [100, -200, 300, 0])), weight(k(0.5)), weight(u8k(128))], out: ['uint8'] }),
  dynamic_quantize_matmul: () => ({ domain: ms, op: 'DynamicQuantizeMatMul', in: [f(3, 6), weight(i8(6, 4)), weight(k(0.01)), weight(i8k(0)), weight(f(4))], out: [fl], tolerance: loose }),
  matmul_integer_to_float: () => ({ domain: ms, op: 'MatMulIntegerToFloat', in: [u8(3, 6), weight(i8(6, 4)), weight(k(0.02)), weight(k(0.01)), weight(u8k(100)), weight(i8k(0)), weight(f(4))], out: [fl], tolerance: loose }),
  dynamic_quantize_lstm: () => ({ domain: ms, op: 'DynamicQuantizeLSTM', in: [f(3, 2, 5), weight(i8(1, 5, 16)), weight(i8(1, 4, 16)), weight(f(1, 32)), null, null, null, null,
    weight(f32([1], [0.01])), weight(tensor('int8', [1], [0])), weight(f32([1], [0.01])), weight(tensor('int8', [1], [0]))], out: [fl, fl, fl], attrs: { hidden_size: 4 }, tolerance: { rtol: 0.02, atol: 0.02 } }),
  nhwc_max_pool: () => ({ domain: ms, op: 'NhwcMaxPool', in: [u8(1, 6, 6, 2)], out: ['uint8'], attrs: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } }),
  // others
  inverse: () => ({ domain: ms, op: 'Inverse', in: [f(2, 4, 4)], out: [fl], tolerance: { rtol: 1e-3, atol: 1e-4 } }),
  crop_and_resize: () => ({ domain: ms, op: 'CropAndResize', in: [f(2, 3, 6, 7), f32([3, 4], [0, 0, 1, 1, 0.1, 0.2, 0.7, 0.9, -0.2, 0.3, 0.5, 1.3]), i32([3], [0, 1, 0]), weight(i32([2], [4, 3]))], out: [fl],
    attrs: { mode: 'bilinear', extrapolation_value: F(7) }, tolerance: loose }),
  crop_and_resize_nearest: () => ({ domain: ms, op: 'CropAndResize', in: [f(2, 3, 6, 7), f32([2, 4], [0, 0, 1, 1, 0.13, 0.2, 0.72, 0.9]), i32([2], [0, 1]), weight(i32([2], [4, 1]))], out: [fl], attrs: { mode: 'nearest' }, tolerance: loose }),
  cdist: () => ({ domain: ms, op: 'CDist', in: [f(4, 3), f(5, 3)], out: [fl], attrs: { metric: 'euclidean' }, tolerance: loose }),
  expand_dims: () => ({ domain: ms, op: 'ExpandDims', in: [f(4, 3), weight(i32([], [1]))], out: [fl] }),
  pad_ms: () => ({ domain: ms, op: 'Pad', in: [f(2, 3), weight(i64([4], [0, 1, 1, 0])), weight(f32([1], [5]))], out: [fl] }),
  max_roi_pool: () => ({ op: 'MaxRoiPool', in: [f(2, 3, 8, 8), f32([3, 5], [0, 0, 0, 7, 7, 1, 2, 1, 5, 6, 0, 4, 4, 13, 15])], out: [fl], attrs: { pooled_shape: [3, 2], spatial_scale: F(0.5) } }),
  // text
  cast_f32_to_text: () => toText('float32', [0, -0, 1, -1, 0.5, 3.14, 1e-5, 1e-4, 123456789, 1234567.8, 1e20, 3.4028235e38, 1.4e-45, NaN, Infinity, -Infinity, 1 / 3, 99999999, 16777216, 2.5e-7, ...list(12)]),
  cast_f64_to_text: () => toText('float64', [1 / 3, 1e300, 5e-324, 9.99999995, 9.9999999499, 0.000099999999, 123456785, 123456775, 1e8, 99999999.5, 2.5, -1e-7, Number.MAX_VALUE]),
  cast_i8_to_text: () => toText('int8', [0, 127, -128]),
  cast_u8_to_text: () => toText('uint8', [0, 255]),
  cast_i16_to_text: () => toText('int16', [-32768, 5]),
  cast_u16_to_text: () => toText('uint16', [65535, 5]),
  cast_i32_to_text: () => toText('int32', [-2147483648, 2147483647]),
  cast_u32_to_text: () => toText('uint32', [4294967295, 0]),
  cast_i64_to_text: () => toText('int64', ['-9223372036854775808', '9223372036854775807', 0]),
  cast_u64_to_text: () => toText('uint64', ['18446744073709551615', 0]),
  cast_bool_to_text: () => toText('bool', [1, 0]),
  cast_text_to_f32: () => ofText('float32', reals),
  cast_text_to_f64: () => ofText('float64', [...reals, '0.1', '1.7976931348623157e308', '123456789012345678', '9007199254740993', '9007199254740993.0000000001',
    '0.500000000000000166533453693773481063544750213623046875', '1e23', '8.5e22', '179769313486231570000000000000000000000', '.5', '5.', '7.0385307e-26', '000001.50']),
  cast_text_to_i8: () => ofText('int8', ['1', '-128', '  7', '3.9', '1e5']),
  cast_text_to_u8: () => ofText('uint8', ['1', '255', '300', '+5 apples']),
  cast_text_to_i32: () => ofText('int32', ['-2147483648', '2147483647', '12']),
  cast_text_to_i64: () => ofText('int64', ['-9223372036854775808', '9223372036854775807', '100.5']),
  cast_text_to_u64: () => ofText('uint64', ['18446744073709551615', '-1']),
  cast_text_to_bool: () => ofText('bool', ['0', '1', '2']),
  constant_text: () => ({ in: [text([2], ['a', 'x'])], out: ['string', 'bool'], ops: 21,
    nodes: [{ op: 'Constant', in: [], out: ['c'], attrs: { value_strings: ['x', '\u00e9\u4e2d'] } }, { op: 'Constant', in: [], out: ['one'], attrs: { value_string: 'x' } },
            { op: 'StringConcat', in: ['x0', 'c'], out: ['y0'] }, { op: 'Equal', in: ['x0', 'one'], out: ['y1'] }] }),
  where_text: () => ({ op: 'Where', in: [tensor('bool', [2, 1], [1, 0]), text([2, 3], ['a', 'b', 'c', 'd', 'e', 'f']), text([3], ['x', 'y', ''])], out: ['string'] }),
  // what the transformer optimiser writes for GPUs
  bias_softmax: () => ({ domain: ms, op: 'BiasSoftmax', in: [f(2, 3, 4, 4), f(2, 1, 1, 4)], out: [fl], attrs: { axis: 3, is_inner_broadcast: 1 }, tolerance: loose,
    unfused: [node('Add', 'x0 x1', 'a'), node('Softmax', 'a', 'y0', { axis: 3 })] }),
  bias_softmax_axis: () => ({ domain: ms, op: 'BiasSoftmax', in: [f(2, 3, 4), f(3, 4)], out: [fl], attrs: { axis: 1, is_inner_broadcast: 0 }, tolerance: loose,
    unfused: [node('Add', 'x0 x1', 'a'), node('Shape', 'a', 's'), node('Flatten', 'a', 'b', { axis: 1 }), node('Softmax', 'b', 'd', { axis: 1 }), node('Reshape', 'd s', 'y0')] }),
  bias_add: () => ({ domain: ms, op: 'BiasAdd', in: [f(2, 3, 4), f(4), f(2, 3, 4)], out: [fl], unfused: [node('Add', 'x0 x1', 'a'), node('Add', 'a x2', 'y0')] }),
  bias_dropout: () => ({ domain: ms, op: 'BiasDropout', in: [f(3, 4), f(4), f(3, 4)], out: [fl], unfused: [node('Add', 'x0 x1', 'a'), node('Add', 'a x2', 'y0')] }),
  bias_split_gelu: () => ({ domain: ms, op: 'BiasSplitGelu', in: [f(2, 3, 8), f(8)], out: [fl], tolerance: loose,
    unfused: [node('Add', 'x0 x1', 'a'), node('Split', 'a', 'l r', { axis: 2 }), node('Gelu', 'r', 'g', {}, ms), node('Mul', 'l g', 'y0')] }),
  gemm_fast_gelu: () => ({ domain: ms, op: 'GemmFastGelu', in: [f(2, 3, 4), f(4, 5), f(5)], out: [fl], tolerance: loose,
    unfused: [node('MatMul', 'x0 x1', 'a'), node('FastGelu', 'a x2', 'y0', {}, ms)] }),
  group_norm_silu: () => ({ domain: ms, op: 'GroupNorm', in: [f(2, 3, 5, 8), f(8), f(8)], out: [fl], attrs: { groups: 4, activation: 1, epsilon: F(1e-4) }, tolerance: loose, ops: 21,
    unfused: [turn('x0', 't', [0, 3, 1, 2]), node('GroupNormalization', 't x1 x2', 'n', { num_groups: 4, epsilon: F(1e-4) }), node('Sigmoid', 'n', 's'), node('Mul', 'n s', 'm'), turn('m', 'y0', [0, 2, 3, 1])] }),
  group_norm_first: () => ({ domain: ms, op: 'GroupNorm', in: [f(2, 8, 3, 5), f(8), f(8)], out: [fl], attrs: { groups: 2, activation: 0, channels_last: 0 }, tolerance: loose, ops: 21,
    unfused: [node('GroupNormalization', 'x0 x1 x2', 'y0', { num_groups: 2 })] }),
  group_norm_skip: () => ({ domain: ms, op: 'SkipGroupNorm', in: [f(2, 3, 5, 8), f(8), f(8), f(2, 8), f(8)], out: [fl, fl], attrs: { groups: 4, activation: 0 }, tolerance: loose, ops: 21,
    unfused: [node('Constant', '', 'at', { value_ints: [1, 2] }), node('Unsqueeze', 'x3 at', 'k'), node('Add', 'x0 k', 'a'), node('Add', 'a x4', 'y1'), turn('y1', 't', [0, 3, 1, 2]),
              node('GroupNormalization', 't x1 x2', 'n', { num_groups: 4 }), turn('n', 'y0', [0, 2, 3, 1])] }),
  nhwc_conv: () => ({ domain: ms, op: 'NhwcConv', in: [f(1, 6, 5, 4), weight(f(6, 3, 3, 2)), weight(f(6))], out: [fl], attrs: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], group: 2 }, tolerance: loose,
    unfused: [turn('x0', 't', [0, 3, 1, 2]), turn('x1', 'w', [0, 3, 1, 2]), node('Conv', 't w x2', 'v', { pads: [1, 1, 1, 1], group: 2 }), turn('v', 'y0', [0, 2, 3, 1])] }),
  nhwc_fused_conv: () => ({ domain: ms, op: 'NhwcFusedConv', in: [f(1, 6, 5, 4), weight(f(6, 4, 3, 3)), weight(f(6)), f(1, 4, 3, 6)], out: [fl], attrs: { kernel_shape: [3, 3], activation: 'Relu' }, tolerance: loose,
    unfused: [turn('x0', 't', [0, 3, 1, 2]), node('Conv', 't x1 x2', 'v'), turn('v', 'b', [0, 2, 3, 1]), node('Add', 'b x3', 'a'), node('Relu', 'a', 'y0')] }),
  fused_matmul_activation: () => ({ domain: ms, op: 'FusedMatMulActivation', in: [f(3, 2), f(3, 4)], out: [fl], attrs: { transA: 1, alpha: F(2), activation: 'LeakyRelu', activation_alpha: F(0.1) }, tolerance: loose,
    unfused: [node('FusedMatMul', 'x0 x1', 'a', { transA: 1, alpha: F(2) }, ms), node('LeakyRelu', 'a', 'y0', { alpha: F(0.1) })] }),
  relative_position_bias: () => t5(1, 16, 64, 70, 90),
  relative_position_bias_causal: () => t5(0, 32, 128, 150, 150),
  range_ms: () => ({ domain: ms, op: 'Range', in: [k(1), k(7), k(1.5)], out: [fl] }),
  // control flow and sizes that the data decides
  if_sizes_then: () => ifSizes(1),
  if_sizes_else: () => ifSizes(0),
  if_data_sizes: () => ({ in: [tensor('bool', [], [1]), f32([6], [0, 1, 0, 2, 3, 0])], out: ['int64', fl],
    nodes: [{ op: 'If', in: ['x0'], out: ['y0', 'y1'],
              attrs: { then_branch: { nodes: [{ op: 'NonZero', in: ['x1'], out: ['t'] }, { op: 'Relu', in: ['x1'], out: ['t1'] }], out: { t: 'int64', t1: fl } },
                       else_branch: { nodes: [{ op: 'Constant', in: [], out: ['e'], attrs: { value: i64([1, 0], []) } }, { op: 'Neg', in: ['x1'], out: ['e1'] }], out: { e: 'int64', e1: fl } } } }] }),
  sequence_of_ranks_at: () => ({ in: [f(2), f(2, 3), f(3, 1, 2), i64([], [1]), i64([], [2])], out: [fl],
    nodes: [{ op: 'SequenceConstruct', in: ['x0', 'x1'], out: ['s'] }, { op: 'SequenceInsert', in: ['s', 'x2', 'x3'], out: ['t'] }, { op: 'SequenceAt', in: ['t', 'x4'], out: ['y0'] }] }),
  sequence_of_ranks_joined: () => ({ in: [f(2), f(2, 3), f(4, 3), i64([], [0]), i64([], [1])], out: [fl],
    nodes: [{ op: 'SequenceConstruct', in: ['x0', 'x1'], out: ['s'] }, { op: 'SequenceErase', in: ['s', 'x3'], out: ['t'] }, { op: 'SequenceInsert', in: ['t', 'x2', 'x4'], out: ['u'] },
            { op: 'ConcatFromSequence', in: ['u'], out: ['y0'], attrs: { axis: 0 } }] }),
  // nothing: sizes of zero
  zero_elementwise: () => ({ in: [f(0, 3), f(1, 3)], out: [fl, fl, 'bool'], nodes: [node('Add', 'x0 x1', 'y0'), node('Exp', 'x0', 'y1'), node('Less', 'x0 x1', 'y2')] }),
  zero_movement: () => ({ in: [f(2, 0, 3), f(2, 4, 3)], out: [fl, fl, fl, fl, fl], nodes: [node('Concat', 'x0 x1', 'y0', { axis: 1 }), turn('x0', 'y1', [2, 1, 0]),
    ints('r', [1, 2, 1]), node('Tile', 'x0 r', 'y2'), ints('p', [0, 1, 0, 0, 2, 0]), node('Pad', 'x0 p', 'y3'), ints('s', [0, 6]), node('Constant', '', 'm', { value: i64([2], [0, 6]) }), node('Reshape', 'x0 m', 'y4', { allowzero: 1 })] }),
  zero_slices: () => ({ in: [f(4, 3)], out: [fl, fl, fl], nodes: [ints('a', [2]), ints('b', [2]), ints('t', [0]), node('Slice', 'x0 a b t', 'y0'), ints('sizes', [0, 4]), node('Split', 'x0 sizes', 'y1 y2', { axis: 0 })] }),
  zero_gather: () => ({ in: [f(4, 3), i64([0], [])], out: [fl, fl], nodes: [node('Gather', 'x0 x1', 'y0', { axis: 0 }), node('Gather', 'x0 x1', 'y1', { axis: 1 })] }),
  zero_scatter: () => ({ in: [f(4, 3), i64([0, 1], []), f(0, 3), i64([0, 3], []), f(0, 3)], out: [fl, fl], nodes: [node('ScatterND', 'x0 x1 x2', 'y0'), node('ScatterElements', 'x0 x3 x4', 'y1', { axis: 0 })] }),
  zero_reduce: () => ({ in: [f(3, 0, 2)], out: [fl, fl, fl], nodes: [ints('a', [1]), node('ReduceSum', 'x0 a', 'y0'), node('ReduceProd', 'x0', 'y1', { axes: [1], keepdims: 0 }), node('ReduceSum', 'x0', 'y2', { keepdims: 0 })] }),
  zero_reduce_rows: () => ({ in: [f(0, 4)], out: [fl, fl, 'int64', fl], nodes: [node('ReduceMax', 'x0', 'y0', { axes: [1] }), node('ReduceMean', 'x0', 'y1', { axes: [1] }), node('ArgMax', 'x0', 'y2', { axis: 1 }), node('Softmax', 'x0', 'y3')] }),
  zero_matmul: () => ({ in: [f(0, 4), f(4, 5), f(3, 0), f(0, 2)], out: [fl, fl, fl], nodes: [node('MatMul', 'x0 x1', 'y0'), node('MatMul', 'x2 x3', 'y1'), node('Gemm', 'x0 x1', 'y2')] }),
  zero_batch: () => ({ in: [f(0, 3, 6, 6), weight(f(4, 3, 3, 3)), weight(f(3)), weight(f(3)), weight(f(3)), weight(pos(3))], out: [fl, fl, fl, fl, fl, fl],
    nodes: [node('Conv', 'x0 x1', 'y0'), node('MaxPool', 'x0', 'y1', { kernel_shape: [2, 2] }), node('AveragePool', 'x0', 'y2', { kernel_shape: [2, 2] }), node('GlobalAveragePool', 'x0', 'y3'),
            node('BatchNormalization', 'x0 x2 x3 x4 x5', 'y4'), node('Constant', '', 'scale', { value: f32([4], [1, 1, 2, 2]) }), node('Resize', 'x0  scale'.replace('  ', ' none '), 'y5', { mode: 'linear' })].map(n => ({ ...n, in: n.in.map(i => i === 'none' ? '' : i) })) }),
  zero_layer_norm: () => ({ in: [f(2, 0, 8), weight(f(8)), weight(f(8))], out: [fl], nodes: [node('LayerNormalization', 'x0 x1 x2', 'y0')] }),
  zero_topk: () => ({ in: [f(3, 4)], out: [fl, 'int64'], nodes: [ints('k', [0]), node('TopK', 'x0 k', 'y0 y1')] }),
  zero_found: () => ({ in: [f32([2, 3], () => 0), tensor('bool', [4], [0, 0, 0, 0]), f(4, 2)], out: ['int64', fl], nodes: [node('NonZero', 'x0', 'y0'), node('Compress', 'x2 x1', 'y1', { axis: 0 })] }),
  zero_unique: () => ({ in: [f(0)], out: [fl, 'int64'], nodes: [node('Unique', 'x0', 'y0 y1')] }),
  zero_boxes: () => ({ in: [f(1, 5, 4), f32([1, 2, 5], () => 0.1)], out: ['int64'], nodes: [ints('most', [3]), node('Constant', '', 'iou', { value: k(0.5) }), node('Constant', '', 'least', { value: k(0.9) }), node('NonMaxSuppression', 'x0 x1 most iou least', 'y0')] }),
  zero_one_hot: () => ({ in: [i64([0], [])], out: [fl, 'int64'], nodes: [node('Constant', '', 'depth', { value: i64([], [3]) }), node('Constant', '', 'v', { value: f32([2], [0, 1]) }), node('OneHot', 'x0 depth v', 'y0'),
    node('Constant', '', 'axis', { value: i64([], [0]) }), node('CumSum', 'x0 axis', 'y1')] }),
  zero_attention: () => ({ in: [f(0, 2, 4, 8), f(0, 2, 4, 8), f(0, 2, 4, 8)], out: [fl], nodes: [turn('x1', 't', [0, 1, 3, 2]), node('MatMul', 'x0 t', 's'), node('Softmax', 's', 'p'), node('MatMul', 'p x2', 'y0')] }),
  zero_einsum: () => ({ in: [f(2, 0, 3), f(3, 4)], out: [fl, fl], nodes: [node('Einsum', 'x0 x1', 'y0', { equation: 'bij,jk->bik' }), node('Einsum', 'x0', 'y1', { equation: 'bij->bj' })] }),
  zero_text: () => ({ in: [text([0], []), text([1], ['a'])], out: ['string', 'bool'], nodes: [node('StringConcat', 'x0 x1', 'y0'), node('Equal', 'x0 x1', 'y1')], ops: 21 }),
  zero_range: () => ({ in: [i64([], [5]), i64([], [2])], out: ['int64', fl], nodes: [node('Constant', '', 'one', { value: i64([], [1]) }), node('Range', 'x0 x1 one', 'y0'), node('Constant', '', 'none', { value: i64([2], [0, 3]) }), node('ConstantOfShape', 'none', 'y1')] }),
  zero_quantised: () => ({ in: [f(0, 4)], out: ['uint8', fl], nodes: [node('Constant', '', 's', { value: k(0.1) }), node('Constant', '', 'z', { value: u8k(3) }), node('QuantizeLinear', 'x0 s z', 'y0'), node('DequantizeLinear', 'y0 s z', 'y1')] }),
  // sizes that the data decides, one after the other
  chain_found_sorted: () => ({ in: [f32([3, 4], [0, 2, 0, -1, 5, 0, 0, 3, 0, 0, -4, 2])], out: [fl, 'int64', fl, 'int64', fl],
    nodes: [node('NonZero', 'x0', 'at'), turn('at', 'rows', [1, 0]), node('GatherND', 'x0 rows', 'v'), node('Unique', 'v', 'u _ _ counts'), node('Shape', 'u', 'n'), ints('two', [2]), node('Div', 'n two', 'k'),
            node('TopK', 'u k', 'y0 y1'), node('Concat', 'v y0', 'both', { axis: 0 }), node('Identity', 'both', 'y2'), node('Identity', 'counts', 'y3'),
            ints('col', [-1, 1]), node('Reshape', 'both col', 'c'), node('MatMul', 'c weights', 'y4'), node('Constant', '', 'weights', { value: f32([1, 3], [1, 2, 3]) })].map(named) }),
  chain_resized: () => ({ in: [f(1, 2, 5, 6), i64([2], [7, 4]), i64([], [1])], out: [fl, fl, fl],
    nodes: [node('Shape', 'x0', 's'), ints('zero', [0]), ints('two', [2]), node('Slice', 's zero two', 'front'), node('Concat', 'front x1', 'sizes', { axis: 0 }), node('Resize', 'x0 _ _ sizes', 'r', { mode: 'linear' }),
            node('Identity', 'r', 'y0'), node('Unsqueeze', 'x2 zero', 'from'), node('Gather', 'x1 zero', 'to'), ints('axis', [2]), node('Slice', 'r from to axis', 'cut'), node('Identity', 'cut', 'y1'),
            node('Shape', 'cut', 'cs'), ints('one', [1]), node('Gather', 'cs one', 'c1'), ints('rest', [-1]), node('Concat', 'c1 rest', 'shape', { axis: 0 }), turn('cut', 'turned', [1, 0, 2, 3]), node('Reshape', 'turned shape', 'flat'),
            node('Softmax', 'flat', 'y2')].map(named) }),
  chain_boxes: () => ({ in: [f32([1, 6, 4], [0, 0, 4, 4, 0, 0.1, 4, 4, 5, 5, 9, 9, 5, 5.2, 9, 9, 1, 6, 3, 9, 0, 0, 0.5, 0.5]), f32([1, 2, 6], [0.9, 0.8, 0.3, 0.7, 0.6, 0.2, 0.1, 0.95, 0.5, 0.4, 0.85, 0.65]), f(1, 6, 3)], out: [fl, fl, 'int64', fl],
    nodes: [ints('most', [4]), node('Constant', '', 'iou', { value: k(0.5) }), node('Constant', '', 'least', { value: k(0.25) }), node('NonMaxSuppression', 'x0 x1 most iou least', 'kept'), node('Constant', '', 'last', { value: i64([], [2]) }),
            node('Gather', 'kept last', 'box', { axis: 1 }), node('Gather', 'x0 box', 'b', { axis: 1 }), node('Identity', 'b', 'y0'), node('Gather', 'x2 box', 'feature', { axis: 1 }), node('ReduceMax', 'feature', 'strong', { axes: [2], keepdims: 0 }),
            node('Shape', 'box', 'n'), ints('three', [3]), node('Min', 'n three', 'k'), node('TopK', 'strong k', 'y1 y2'), node('Gather', 'b first', 'again', { axis: 1 }), node('Squeeze', 'y2 zero', 'first'), ints('zero', [0]), node('ReduceSum', 'again one', 'y3'), ints('one', [1])].map(named) }),
  chain_if_loop: () => ({ in: [f32([6], [0, 1, 0, 2, 3, 0]), tensor('bool', [], [1]), i64([], [3])], out: [fl, fl],
    nodes: [node('NonZero', 'x0', 'at'), ints('zero', [0]), node('Squeeze', 'at zero', 'index'), node('Gather', 'x0 index', 'v'),
            node('If', 'x1', 'w', { then_branch: { nodes: [node('Concat', 'v v', 't', { axis: 0 })], out: { t: fl } }, else_branch: { nodes: [node('Neg', 'v', 'e')], out: { e: fl } } }),
            node('Loop', 'x2 x1 w', 'y0 scans', { body: { in: { i: ['int64', []], go: ['bool', []], state: [fl] }, nodes: [node('Identity', 'go', 'on'), node('Shape', 'state', 'n'), ints('one', [1]), node('Slice', 'state one n', 'next'), node('ReduceSum', 'next', 's', { keepdims: 0 })],
                                                       out: { on: 'bool', next: fl, s: fl } } }), node('Identity', 'scans', 'y1')] }),
  // drawn at random: compared by range and mean
  random_uniform: () => ({ op: 'RandomUniform', in: [], out: [fl], attrs: { shape: [40, 20], low: F(-3), high: F(5), seed: F(7) } }),
  random_normal_like: () => ({ op: 'RandomNormalLike', in: [f(40, 20)], out: [fl], attrs: { mean: F(2), scale: F(3), seed: F(7) } }),
  multinomial: () => ({ op: 'Multinomial', in: [f32([2, 4], [0, 1, 2, 3, 3, 2, 1, 0])], out: ['int32'], attrs: { sample_size: 300, seed: F(7) } }),
};

const only = process.argv[2] ?? '';
let failed = 0;
for (const [name, make] of Object.entries(cases)) {
  seed = [...name].reduce((h, ch) => Math.imul(h ^ ch.charCodeAt(0), 16777619) >>> 0, 2166136261);
  if (!name.includes(only)) continue;
  try {
    await write(name, make());
    if (name.startsWith('zero_')) await write(`${name}_open`, { ...make(), open: true });
  } catch (e) { failed++; console.error(`${name}: ${e.message}`); }
}
process.exit(failed ? 1 : 0);
