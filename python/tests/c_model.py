"""The in-between model of the C library, by ctypes: what torch's is compared with."""

from __future__ import annotations

import ctypes as ct
import os
from pathlib import Path

import numpy as np

BUILD = Path(os.environ.get("INBETWEEN_BUILD", Path(__file__).parents[2] / "build"))
LAYOUTS = ("grid", "sequence", "single")


class Error(ct.Structure):
    _fields_ = [("code", ct.c_int), ("text", ct.c_char * 1024)]


class Shape(ct.Structure):
    _fields_ = [("layout", ct.c_int), ("rows", ct.c_int), ("cols", ct.c_int), ("tokens", ct.c_size_t),
                ("width", ct.c_size_t)]


class Strengths(ct.Structure):
    _fields_ = [("bins", ct.c_int), ("gap_seconds", ct.c_float * 8), ("value", ct.c_float * 8 * 3)]


class CConfig(ct.Structure):
    _fields_ = [("space_id", ct.c_char * 256), ("layout", ct.c_int), ("width", ct.c_int), ("fine", ct.c_int),
                ("coarse", ct.c_int), ("fine_blocks", ct.c_int), ("coarse_blocks", ct.c_int), ("motion", ct.c_bool),
                ("trust", ct.c_double), ("guide", ct.c_char * 160), ("strengths", Strengths)]


class Param(ct.Structure):
    _fields_ = [("name", ct.c_char * 64), ("rank", ct.c_int), ("shape", ct.c_int64 * 4), ("offset", ct.c_size_t),
                ("count", ct.c_size_t), ("decay", ct.c_bool), ("hidden", ct.c_bool)]


_floats = ct.POINTER(ct.c_float)


class Between(ct.Structure):
    _fields_ = [("z0", _floats), ("z1", _floats), ("t", ct.c_float), ("gap_seconds", ct.c_float),
                ("guide", _floats), ("feature", _floats)]


class SampleLoss(ct.Structure):
    _fields_ = [("loss", ct.c_double), ("err_model", ct.c_double), ("err_slerp", ct.c_double)]


lib = ct.CDLL(str(BUILD / "libinbetween.so"))
lib.ib_adapter_params.restype = _floats
lib.ib_adapter_param_count.restype = ct.c_size_t
lib.ib_adapter_tensor_count.restype = ct.c_size_t
lib.ib_adapter_tensor.restype = ct.POINTER(Param)
for _name in ("params", "param_count", "tensor_count", "refresh"):
    getattr(lib, f"ib_adapter_{_name}").argtypes = [ct.c_void_p]
lib.ib_adapter_tensor.argtypes = [ct.c_void_p, ct.c_size_t]


def _at(a: np.ndarray | None) -> object:
    return None if a is None else a.ctypes.data_as(_floats)


def patches(planes: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Planes [n, 96 rows cols] as latents of the patch space, [n, rows, cols, 96]."""
    z = np.empty((len(planes), rows, cols, 96), np.float32)
    for i in range(len(planes)):
        lib.ib_patch_forward(_at(planes[i]), rows, cols, _at(z[i]))
    return z


class Model:
    """A model of the C library; new with `config`, or from a file with `path`."""

    def __init__(self, config=None, path=None, seed=1):
        self._a, self._e = ct.c_void_p(), Error()
        if path is not None:
            self._do("open", ct.byref(self._a), os.fsencode(path))
            return
        c = CConfig(space_id=config.space.encode(), layout=LAYOUTS.index(config.layout), width=config.width,
                    fine=config.fine, coarse=config.coarse, fine_blocks=config.fine_blocks,
                    coarse_blocks=config.coarse_blocks, motion=config.motion, trust=config.trust,
                    guide=config.guide.encode())
        if config.strengths:
            s = config.strengths
            c.strengths.bins = len(s.seconds)
            for k, v in enumerate(s.seconds):
                c.strengths.gap_seconds[k] = v
                for i, which in enumerate((s.guide, s.guided, s.alone)):
                    c.strengths.value[i][k] = which[k]
        self._do("create", ct.byref(self._a), ct.byref(c), ct.c_uint64(seed))

    def _do(self, name, *args):
        if getattr(lib, f"ib_adapter_{name}")(*args, ct.byref(self._e)):
            raise RuntimeError(self._e.text.decode())

    @property
    def params(self) -> np.ndarray:
        """[P], the library's own."""
        return np.ctypeslib.as_array(lib.ib_adapter_params(self._a), (lib.ib_adapter_param_count(self._a),))

    def tensors(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """A flat array of P taken apart by name."""
        out = {}
        for i in range(lib.ib_adapter_tensor_count(self._a)):
            p = lib.ib_adapter_tensor(self._a, i).contents
            out[p.name.decode()] = flat[p.offset : p.offset + p.count].reshape(p.shape[: p.rank])
        return out

    def refresh(self) -> None:
        lib.ib_adapter_refresh(self._a)

    def save(self, path) -> None:
        self._do("save", self._a, os.fsencode(path), None, ct.c_size_t(0))

    def _work(self, shape, n, training):
        layout = {1: 2, 2: 1, 3: 0}[len(shape)]
        rows, cols = shape[:2] if layout == 0 else (1, int(np.prod(shape[:-1])))
        s = Shape(layout, rows, cols, rows * cols, shape[-1])
        w = ct.c_void_p()
        self._do("work_create", ct.byref(w), self._a, ct.byref(s), n, training)
        return w

    @staticmethod
    def _requests(z0, z1, t, gap, guide, feature, guided):
        has = [guide is not None and (guided is None or guided[i]) for i in range(len(z0))]
        return (Between * len(z0))(*(Between(_at(z0[i]), _at(z1[i]), t[i], gap[i], _at(guide[i] if has[i] else None),
                                             _at(feature[i] if has[i] else None)) for i in range(len(z0))))

    def predict(self, z0, z1, t, gap, guide=None, feature=None, guided=None) -> np.ndarray:
        w, out = self._work(z0.shape[1:], len(z0), False), np.empty_like(z0)
        self._do("predict", self._a, w, self._requests(z0, z1, t, gap, guide, feature, guided), len(z0), _at(out))
        lib.ib_adapter_work_free(ct.byref(w))
        return out

    def learn(self, z0, z1, t, gap, target, unit, guide=None, feature=None, guided=None):
        """Mean loss and the gradients of it, by name."""
        n, w, grads = len(z0), self._work(z0.shape[1:], len(z0), True), np.zeros_like(self.params)
        losses, targets = (SampleLoss * n)(), (_floats * n)(*(_at(target[i]) for i in range(n)))
        self._do("learn", self._a, w, self._requests(z0, z1, t, gap, guide, feature, guided), targets, n,
                 ct.c_float(1 / n), ct.c_double(unit), None, losses)
        lib.ib_adapter_collect(self._a, w, _at(grads))
        lib.ib_adapter_work_free(ct.byref(w))
        return sum(x.loss for x in losses) / n, self.tensors(grads)
