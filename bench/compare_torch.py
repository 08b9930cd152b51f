#!/usr/bin/env python3
"""Static int8: ingot against PyTorch's own (torch.ao, onednn engine), on the same model, calibration samples and test set.

    python3 bench/compare_torch.py --ingot build/ingot --shared ../shared [cifar-resnet20-bn mnist-cnn-bn]

Needs python3-torch and python3-onnx. The ONNX file is rebuilt as a torch module from its operators (Conv, BatchNormalization, Relu, Add, MaxPool,
GlobalAveragePool, Flatten, Gemm), so both sides start from the same weights. torch.ao fuses, calibrates with the default qconfig of the engine (histogram
observers, weights per channel) and converts. Prints one line per model: top-1 of f32, of torch's int8, of ingot's.
"""
import argparse
import copy
import json
import subprocess
import tempfile

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.ao.quantization import QConfigMapping, get_default_qconfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

DATA = {
    "mnist": ("mnist-train-images-u8.npy", "mnist-test-images-u8.npy", "mnist-test-labels-u8.npy", [0.0], [1.0]),
    "cifar": ("cifar10-train-images-u8.npy", "cifar10-test-images-u8.npy", "cifar10-test-labels-u8.npy", [.4914, .4822, .4465], [.247, .2435, .2616]),
}


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def conv(node, w):
    a, k = attributes(node), w[node.input[1]]
    pads = a.get("pads", [0, 0, 0, 0])
    c = torch.nn.Conv2d(k.shape[1] * a.get("group", 1), k.shape[0], k.shape[2:], a.get("strides", 1), pads[:2], a.get("dilations", 1), a.get("group", 1),
                        bias=len(node.input) > 2)
    c.weight.data = k
    if len(node.input) > 2:
        c.bias.data = w[node.input[2]]
    return c


def batch_norm(node, w):
    gamma, beta, mean, var = (w[i] for i in node.input[1:5])
    b = torch.nn.BatchNorm2d(len(gamma), attributes(node).get("epsilon", 1e-5))
    b.weight.data, b.bias.data, b.running_mean, b.running_var = gamma, beta, mean, var
    return b


def gemm(node, w):
    k = w[node.input[1]]
    k = k if attributes(node).get("transB", 0) else k.T
    g = torch.nn.Linear(k.shape[1], k.shape[0])
    g.weight.data, g.bias.data = k.contiguous(), w[node.input[2]]
    return g


MODULES = {
    "Conv": conv, "BatchNormalization": batch_norm, "Gemm": gemm, "Relu": lambda n, w: torch.nn.ReLU(), "Flatten": lambda n, w: torch.nn.Flatten(),
    "GlobalAveragePool": lambda n, w: torch.nn.AdaptiveAvgPool2d(1),
    "MaxPool": lambda n, w: torch.nn.MaxPool2d(attributes(n)["kernel_shape"], attributes(n)["strides"]),
}


def rebuild(path):
    """The model as a torch.fx graph of modules and additions."""
    g = onnx.load(path).graph
    w = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in g.initializer}
    for n in g.node:
        if n.op_type == "Constant":
            w[n.output[0]] = torch.from_numpy(np.array(numpy_helper.to_array(n.attribute[0].t)))
        if n.op_type == "Identity" and n.input[0] in w:
            w[n.output[0]] = w[n.input[0]]
    root, graph, env = torch.nn.Module(), torch.fx.Graph(), {}
    env[g.input[0].name] = graph.placeholder("x")
    for i, n in enumerate(n for n in g.node if n.output[0] not in w):
        if n.op_type == "Add":
            env[n.output[0]] = graph.call_function(torch.add, (env[n.input[0]], env[n.input[1]]))
        elif n.op_type == "Reshape":
            env[n.output[0]] = graph.call_function(torch.flatten, (env[n.input[0]], 1))
        else:
            setattr(root, f"m{i}", MODULES[n.op_type](n, w))
            env[n.output[0]] = graph.call_module(f"m{i}", (env[n.input[0]],))
    graph.output(env[g.output[0].name])
    return torch.fx.GraphModule(root, graph).eval()


def top1(model, x, y):
    right = 0
    with torch.no_grad():
        for i in range(0, len(x), 100):
            right += int((model(x[i:i + 100]).argmax(1) == y[i:i + 100]).sum())
    return 100 * right / len(x)


def torch_int8(model, calibration):
    torch.backends.quantized.engine = "onednn"
    prepared = prepare_fx(copy.deepcopy(model), QConfigMapping().set_global(get_default_qconfig("onednn")), (calibration[:1],))
    with torch.no_grad():
        for i in range(0, len(calibration), 100):
            prepared(calibration[i:i + 100])
    return convert_fx(prepared)


def ingot_int8(o, model, train, test, labels, mean, std, folder):
    form = ["--scale", "1/255", "--mean", ",".join(map(str, mean)), "--std", ",".join(map(str, std))]
    subprocess.run([o.ingot, "quantize", "-q", model, "-o", f"{folder}/m.so", "--calibrate", train] + form, check=True)
    said = subprocess.run([o.ingot, "eval", f"{folder}/m.so", "--data", test, "--labels", labels, "--json"] + form, check=True, capture_output=True).stdout
    return json.loads(said)["top1"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ingot", default="build/ingot")
    p.add_argument("--shared", default="../shared")
    p.add_argument("models", nargs="*", default=["cifar-resnet20-bn", "mnist-cnn-bn"])
    o = p.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':24} {'f32':>8} {'torch':>8} {'ingot':>8}")
    for name in o.models:
        train, test, labels, mean, std = DATA[name.split("-")[0].rstrip("10")]
        train, test, labels = (f"{o.shared}/data/{f}" for f in (train, test, labels))
        path = f"{o.shared}/models/{name}/model.onnx"
        m, s = (torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1) for v in (mean, std))
        normal = lambda a: (torch.from_numpy(a.astype(np.float32)) / 255 - m) / s
        x, y = normal(np.load(test)), torch.from_numpy(np.load(labels).astype(np.int64))
        model = rebuild(path)
        quantised = torch_int8(model, normal(np.load(train)[:500]))
        with tempfile.TemporaryDirectory() as folder:
            ours = ingot_int8(o, path, train, test, labels, mean, std, folder)
        print(f"{name:24} {top1(model, x, y):8.2f} {top1(quantised, x, y):8.2f} {ours:8.2f}", flush=True)


main()
