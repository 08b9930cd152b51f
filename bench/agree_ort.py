#!/usr/bin/env python3
"""Whether ONNX Runtime and ingot compute a quantised file alike: layer by layer on the same inputs, and the whole network.

    ORT_DIR=DIR python3 bench/agree_ort.py --ingot build/ingot --ort ../shared/tools/ort.mjs [--input NAME=F.npy] QUANTISED.onnx...

Needs python3-onnx, node and onnxruntime-node (in DIR). Layers: every Conv, MatMul or Gemm of dequantised bytes with what follows it up to the next
QuantizeLinear, cut out of the file and fed random bytes, of the sizes that the --input gives them. Prints per file: layers, the largest difference in steps and how many elements differ; for the whole
network the largest difference between ingot and ONNX Runtime, between ONNX Runtime's own optimised and unoptimised run, and whether the largest score is
the same. Exit status 1 if a layer is off by more than a step, or the network by more than both ONNX Runtime's own difference and one step (1/255 of the range).
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLLOW = {"Relu", "Clip", "Add", "Max", "Min"}


class Model:
    def __init__(self, path, inputs):
        """inputs: name -> .npy, whose sizes take the place of symbolic ones."""
        self.m = onnx.load(path)
        g = self.m.graph
        for v in g.input:
            if v.name in inputs:
                for d, n in zip(v.type.tensor_type.shape.dim, np.load(inputs[v.name], mmap_mode="r").shape):
                    d.dim_value = n
        del g.value_info[:]
        self.init = {i.name: i for i in g.initializer}
        self.made = {o: n for n in g.node for o in n.output}
        self.users = {}
        for n in g.node:
            for i in n.input:
                self.users.setdefault(i, []).append(n)
        self.types = {v.name: v for v in onnx.shape_inference.infer_shapes(self.m, data_prop=True).graph.value_info}

    def constant(self, name):
        """A name is constant if it is an initializer, or a DequantizeLinear of one."""
        n = self.made.get(name)
        return not name or name in self.init or (n is not None and n.op_type == "Constant") or \
            (n is not None and n.op_type == "DequantizeLinear" and self.constant(n.input[0]))

    def layer(self, n):
        """Nodes from the operand's DequantizeLinear to the QuantizeLinear behind the layer, or None."""
        d = self.made.get(n.input[0])
        if d is None or d.op_type != "DequantizeLinear" or self.constant(n.input[0]) or not self.constant(n.input[1]) or n.input[1] in self.init:
            return None
        nodes = [d] + [self.made[i] for i in n.input[1:] if i in self.made] + [n]
        while len(self.users.get(n.output[0], [])) == 1:
            n = self.users[n.output[0]][0]
            others = [i for i in n.input if i not in nodes[-1].output]
            if n.op_type not in FOLLOW | {"QuantizeLinear"} or not all(map(self.constant, others)):
                break
            nodes += [self.made[i] for i in others if i in self.made] + [n]
            if n.op_type == "QuantizeLinear":
                break
        return nodes

    def layers(self):
        """All layers in one model, each with an input of its own; and the inputs."""
        nodes, inputs, outputs, init, feeds = [], [], [], {}, {}
        rng = np.random.default_rng(1)
        for k, n in enumerate(self.m.graph.node):
            cut = self.layer(n) if n.op_type in ("Conv", "MatMul", "Gemm") else None
            x = self.types.get(cut[0].input[0]) if cut else None
            if x is None:
                continue
            shape = [d.dim_value or 1 for d in x.type.tensor_type.shape.dim]
            name, seen = f"x{k}", set()
            inputs.append(helper.make_tensor_value_info(name, x.type.tensor_type.elem_type, shape))
            signed = x.type.tensor_type.elem_type == TensorProto.INT8
            feeds[name] = rng.integers(-128, 128, shape).astype(np.int8) if signed else rng.integers(0, 256, shape).astype(np.uint8)
            for i, c in enumerate(cut):
                if c.output[0] in seen:
                    continue
                seen.add(c.output[0])
                c2 = onnx.NodeProto()
                c2.CopyFrom(c)
                c2.name = f"n{k}_{i}"
                for j, v in enumerate(c.input):
                    if v in self.init:
                        init[v] = self.init[v]
                    elif v:
                        c2.input[j] = name if i == 0 and j == 0 else f"{v}_{k}"
                c2.output[0] = f"{c.output[0]}_{k}"
                nodes.append(c2)
            last = cut[-1]
            kind = TensorProto.FLOAT
            if last.op_type == "QuantizeLinear":
                kind = self.init[last.input[2]].data_type if len(last.input) > 2 and last.input[2] else TensorProto.UINT8
            outputs.append(helper.make_tensor_value_info(f"{last.output[0]}_{k}", kind, None))
        g = helper.make_graph(nodes, "layers", inputs, outputs, list(init.values()))
        return helper.make_model(g, opset_imports=self.m.opset_import, ir_version=self.m.ir_version), feeds


def safe(name):
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in name)


def read_folder(path):
    return {f: np.load(f"{path}/{f}") for f in sorted(os.listdir(path)) if f.endswith(".npy")}


def run_ort(o, model, feeds, out, level="all"):
    args = [a for k, f in feeds.items() for a in ("--input", f"{k}={f}")]
    subprocess.run(["node", o.ort, "run", model, "--out", out, "--opt", level] + args, check=True, stdout=subprocess.DEVNULL)
    return read_folder(f"{out}/outputs")


def run_ingot(o, model, feeds, out):
    args = [a for k, f in feeds.items() for a in ("--input", f"{k}={f}")]
    subprocess.run([o.ingot, "run", model, "--output", out] + args, check=True, stdout=subprocess.DEVNULL)
    return read_folder(out)


def difference(a, b):
    return max((float(np.abs(a[k].astype(np.float64) - b[k].astype(np.float64)).max()) for k in a if a[k].size), default=0.0)


def check_layers(o, model, folder):
    cut, feeds = model.layers()
    onnx.save(cut, f"{folder}/layers.onnx")
    files = {k: f"{folder}/{k}.npy" for k in feeds}
    for k, a in feeds.items():
        np.save(files[k], a)
    theirs, ours = run_ort(o, f"{folder}/layers.onnx", files, f"{folder}/lo"), run_ingot(o, f"{folder}/layers.onnx", files, f"{folder}/li")
    steps, off, count, worst = 0.0, 0, 0, ""
    for k, a in theirs.items():
        b, unit = ours[k], 1.0
        if a.dtype == np.float32:
            unit = max(float(np.abs(a).max()), 1e-30) / 255
        d = np.abs(a.astype(np.float64) - b.astype(np.float64)) / unit
        if float(d.max()) > steps:
            steps, worst = float(d.max()), f" ({k[:-4]})"
        off, count = off + int((d >= 0.5).sum()), count + d.size
    print(f"  {len(feeds)} layers: at most {steps:.3f} steps{worst}, {off} of {count} elements differ by half a step or more")
    return steps <= 1


def check_network(o, path, folder):
    ours, best = None, None
    inputs = dict(i.rsplit("=", 1) for i in o.input)
    best = run_ort(o, path, inputs, f"{folder}/a")
    plain = run_ort(o, path, inputs, f"{folder}/d", "disabled")
    made = read_folder(f"{folder}/a/inputs")
    names = {safe(i.name) + ".npy": i.name for i in onnx.load(path).graph.input}
    ours = run_ingot(o, path, {names[f]: f"{folder}/a/inputs/{f}" for f in made}, f"{folder}/i")
    own, far = difference(best, plain), min(difference(ours, best), difference(ours, plain))
    step = max((float(a.max() - a.min()) / 255 for a in best.values() if a.size), default=0)
    first = next(iter(best))
    top = best[first].reshape(-1).argmax() == ours[first].reshape(-1).argmax()
    print(f"  network: ingot and ONNX Runtime differ by {far:.4g}; ONNX Runtime optimised and not by {own:.4g}; a step is {step:.4g}; "
          f"{'same' if top else 'another'} largest score")
    return far <= max(own, step) and top


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ingot", default="build/ingot")
    p.add_argument("--ort", default="../shared/tools/ort.mjs")
    p.add_argument("--input", action="append", default=[])
    p.add_argument("models", nargs="+")
    o = p.parse_args()
    ok = True
    for path in o.models:
        print(path, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            ok &= check_layers(o, Model(path, dict(i.rsplit("=", 1) for i in o.input)), folder)
            ok &= check_network(o, path, folder)
    raise SystemExit(0 if ok else 1)


main()
