"""A trained decoder as an ONNX file, for runtimes that know nothing of torch.

The graph is written down operation by operation, so that it holds what the decoder computes and no
more: hidden layers, the linear skip, the two linear layers, and rest at q = 0 exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.networks.hodnet import Decoder, Shape

DTYPES: Final = ("float32", "float64")
# Old enough for runtimes of 2022, and all that is needed.
_OPSET, _IR = 17, 8
# Units of rounding (`rounding_units`) that a right graph may be off: measured 0.4 on the shipped
# models, 0.2 to 0.6 on small random ones.
_SLACK = 8.0


def save_onnx(
    path: str | Path,
    decoder: Decoder,
    shape: Shape,
    metadata: Mapping[str, str],
    dtype: str = "float32",
    rows: np.ndarray | None = None,
    poses: np.ndarray | None = None,
) -> float:
    """Write u = f(q) as a graph from `latent` (batch, r) to `displacement` [m], and check it.

    Parameters
    ----------
    path
        File to write, in one move.
    decoder, shape
        What to write.
    metadata
        Goes into the model's `metadata_props`, as it is.
    dtype
        "float32" or "float64", of input, weights and output.
    rows
        Where each vertex of a mesh stands among the free ones, -1 for a clamped one, (n_vertices,):
        `displacement` is then (batch, n_vertices, 3), 0 at clamped vertices, and not
        (batch, n_dofs).
    poses
        Latent coordinates (n, r) to check the file at; rest and 64 drawn from N(0, 1) unless given.

    Returns
    -------
    The largest difference from the decoder in float64 that onnxruntime makes, in units of its
    rounding (see `rounding_units`).

    Raises
    ------
    InputError
        The packages onnx and onnxruntime are not there, another dtype, or a runtime that computes
        something else: nothing is written then.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype: expected {' or '.join(DTYPES)}, given {dtype!r}; choose one")
    onnx, runtime = _packages()
    model = _model(onnx, decoder, shape, dtype, rows)
    model.metadata_props.extend(
        onnx.StringStringEntryProto(key=key, value=value) for key, value in metadata.items()
    )
    onnx.checker.check_model(model, full_check=True)
    if poses is None:
        drawn = np.random.default_rng(0).standard_normal((64, shape.rank))
        poses = np.vstack([np.zeros((1, shape.rank)), drawn])
    with atomic(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        session = runtime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        (u,) = session.run(None, {"latent": poses.astype(dtype)})
        off = rounding_units(decoder, poses, _free(u, rows), dtype)
        if not off <= _SLACK:
            raise InputError(
                f"{path}: expected onnxruntime to compute what the decoder does, to {_SLACK:g} "
                f"units of {dtype} rounding, found {off:.3g}; install another onnxruntime"
            )
    return off


def rounding_units(decoder: Decoder, q: np.ndarray, u: np.ndarray, dtype: str) -> float:
    """How far displacements u (n, n_dofs) [m] are from f(q), in units of what rounding can make.

    One unit is eps of the dtype times the sum of the absolute parts that make an entry of u,
    |B| |W| [|h| + |h(0)|, |q|]; q (n, r) is rounded to the dtype first.
    """
    with torch.inference_mode():
        x = torch.from_numpy(q.astype(dtype).astype(np.float64))
        decoder = copy.deepcopy(decoder).double()
        wanted = decoder(x).numpy()
        parts = torch.cat([decoder.hidden(x).abs() + decoder.rest().abs(), x.abs()], dim=-1)
        size = parts @ decoder.mix.weight.abs().T @ decoder.out.weight.abs().T
    unit = np.finfo(dtype).eps * size.numpy().max()
    return float(np.abs(u.astype(np.float64) - wanted).max() / unit)


def _free(u: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """The free degrees of freedom (n, n_dofs) of what the graph gives."""
    if rows is None:
        return u
    order = np.argsort(rows[rows >= 0])
    return np.asarray(u[:, np.flatnonzero(rows >= 0)[order]].reshape(len(u), -1))


def _model(onnx: Any, decoder: Decoder, shape: Shape, dtype: str, rows: np.ndarray | None) -> Any:
    graph = _Graph(onnx, dtype)
    h = "latent"
    for k, layer in enumerate(m for m in decoder.hidden if isinstance(m, torch.nn.Linear)):
        weight = graph.constant(f"W{k + 1}", layer.weight)
        bias = graph.constant(f"b{k + 1}", layer.bias)
        y = graph.node("Gemm", h, weight, bias, transB=1)
        h = graph.activation(shape.activation, y)
    # h - h(0), and 0 where q is: see `since_rest`.
    moved = graph.node("Sub", h, graph.constant("rest", decoder.rest()))
    size = graph.node("ReduceMax", graph.node("Abs", "latent"), axes=[-1], keepdims=1)
    zero = graph.constant("zero", torch.zeros(1))
    moved = graph.node("Where", graph.node("Greater", size, zero), moved, zero)
    both = graph.node("Concat", moved, "latent", axis=-1)
    z = graph.node("Gemm", both, graph.constant("W", decoder.mix.weight), transB=1)
    B = decoder.out.weight.detach().double().numpy()
    wide: list[int | str] = ["batch", shape.n_dofs]
    if rows is not None:
        whole = np.zeros((len(rows), 3, B.shape[1]))
        whole[rows >= 0] = B.reshape(-1, 3, B.shape[1])[rows[rows >= 0]]
        B, wide = whole.reshape(-1, B.shape[1]), ["batch", len(rows), 3]
    basis = graph.constant("B", torch.from_numpy(B))
    if rows is None:
        graph.node("Gemm", z, basis, out="displacement", transB=1)
    else:
        flat = graph.node("Gemm", z, basis, transB=1)
        graph.whole("shape", [-1, len(rows), 3])
        graph.node("Reshape", flat, "shape", out="displacement")
    return graph.model(["batch", shape.rank], wide)


class _Graph:
    """Nodes and constants of one scalar type, as they are written down."""

    def __init__(self, onnx: Any, dtype: str) -> None:
        self._onnx, self._dtype = onnx, dtype
        kinds = onnx.TensorProto
        self._kind = kinds.FLOAT if dtype == "float32" else kinds.DOUBLE
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, values: torch.Tensor) -> str:
        array = values.detach().numpy().astype(self._dtype)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def whole(self, name: str, values: list[int]) -> None:
        array = np.array(values, dtype=np.int64)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))

    def node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def activation(self, name: str, y: str) -> str:
        """sigma(y). ONNX's own Elu and Softplus have kernels in float32 alone."""
        if name == "tanh":
            return self.node("Tanh", y)
        if name == "silu":
            return self.node("Mul", y, self.node("Sigmoid", y))
        if self._dtype == "float32":
            return self.node({"elu": "Elu", "softplus": "Softplus"}[name], y)
        one = self._once("one", torch.ones(1))
        none = self._once("none", torch.zeros(1))
        least = self.node("Min", y, none)
        if name == "elu":  # y where y > 0, exp(y) - 1 elsewhere
            below = self.node("Sub", self.node("Exp", least), one)
            return self.node("Add", self.node("Max", y, none), below)
        # softplus: max(y, 0) + log(1 + exp(-|y|))
        fall = self.node("Exp", self.node("Neg", self.node("Abs", y)))
        return self.node(
            "Add", self.node("Max", y, none), self.node("Log", self.node("Add", fall, one))
        )

    def _once(self, name: str, values: torch.Tensor) -> str:
        known = any(c.name == name for c in self._constants)
        return name if known else self.constant(name, values)

    def model(self, narrow: list[int | str], wide: list[int | str]) -> Any:
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes,
            "hodsim decoder",
            [helper.make_tensor_value_info("latent", self._kind, narrow)],
            [helper.make_tensor_value_info("displacement", self._kind, wide)],
            self._constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR, producer_name="hodsim"
        )


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "onnx: expected the packages onnx and onnxruntime; install them by "
            "`pip install 'hodsim[onnx]'`"
        ) from error
    return onnx, onnxruntime
