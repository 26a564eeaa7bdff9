"""The library's in-between model with its gradients: what torch's is compared with."""

from __future__ import annotations

import numpy as np

from inbetween._library import Handle, call, encoded, ffi, lib
from inbetween.shape import LAYOUTS


def floats(a):
    """Of a contiguous array; NULL for None."""
    return ffi.NULL if a is None else ffi.from_buffer("float[]", a)


def patches(planes, rows, cols):
    """Planes [n, 96 rows cols] as latents of the patch space, [n, rows, cols, 96]."""
    z = np.empty((len(planes), rows, cols, 96), np.float32)
    for i in range(len(planes)):
        lib.ib_patch_forward(floats(planes[i]), rows, cols, floats(z[i]))
    return z


class Model:
    """A new model of the architecture `config` (inbetween.torch.Config)."""

    def __init__(self, config, seed=1):
        c, out = ffi.new("ib_adapter_config *"), ffi.new("ib_adapter **")
        c.space_id, c.guide, c.layout = config.space.encode(), config.guide.encode(), LAYOUTS.index(config.layout)
        for name in ("width", "fine", "coarse", "fine_blocks", "coarse_blocks", "motion", "trust"):
            setattr(c, name, getattr(config, name))
        if config.strengths:
            s = config.strengths
            c.strengths.bins = len(s.gap_seconds)
            c.strengths.gap_seconds[0 : len(s.gap_seconds)] = s.gap_seconds
            for i, which in enumerate((s.guide, s.guided, s.alone)):
                c.strengths.value[i][0 : len(which)] = which
        call(lib.ib_adapter_create, out, c, seed)
        self._handle, self._a = Handle("ib_adapter", out[0], lib.ib_adapter_free, "a model"), out[0]
        n = lib.ib_adapter_param_count(self._a)
        self.params = np.frombuffer(ffi.buffer(lib.ib_adapter_params(self._a), 4 * n), np.float32)  # the library's own

    def tensors(self, flat):
        """A flat array as long as the parameters taken apart by name."""
        out = {}
        for i in range(lib.ib_adapter_tensor_count(self._a)):
            p = lib.ib_adapter_tensor(self._a, i)
            out[ffi.string(p.name).decode()] = flat[p.offset : p.offset + p.count].reshape(list(p.shape)[: p.rank])
        return out

    def refresh(self):
        lib.ib_adapter_refresh(self._a)

    def save(self, path):
        call(lib.ib_adapter_save, self._a, encoded(path), ffi.NULL, 0)

    def _work(self, shape, n, training):
        s, out = ffi.new("ib_shape *"), ffi.new("ib_adapter_work **")
        s.layout = {1: lib.IB_LAYOUT_SINGLE, 2: lib.IB_LAYOUT_SEQUENCE, 3: lib.IB_LAYOUT_GRID}[len(shape)]
        s.rows, s.cols = shape[:2] if len(shape) == 3 else (1, int(np.prod(shape[:-1])))
        s.tokens, s.width = s.rows * s.cols, shape[-1]
        if training:
            call(lib.ib_adapter_trains, self._a)
        call(lib.ib_adapter_work_create, out, self._a, s, n, training)
        return out

    @staticmethod
    def _requests(z0, z1, t, gap, guide, feature, guided):
        requests, kept = ffi.new("ib_between[]", len(z0)), []
        for i, r in enumerate(requests):
            has = guide is not None and (guided is None or guided[i])
            kept += [floats(z0[i]), floats(z1[i]), floats(guide[i] if has else None), floats(feature[i] if has else None)]
            r.z0, r.z1, r.guide, r.feature = kept[-4:]
            r.t, r.gap_seconds = t[i], gap[i]
        return requests, kept

    def predict(self, z0, z1, t, gap, guide=None, feature=None, guided=None):
        w, out = self._work(z0.shape[1:], len(z0), False), np.empty_like(z0)
        requests, _kept = self._requests(z0, z1, t, gap, guide, feature, guided)
        call(lib.ib_adapter_predict, self._a, w[0], requests, len(z0), floats(out))
        lib.ib_adapter_work_free(w)
        return out

    def learn(self, z0, z1, t, gap, target, unit, guide=None, feature=None, guided=None):
        """Mean loss and the gradients of it, by name."""
        n, w, grads = len(z0), self._work(z0.shape[1:], len(z0), True), np.zeros_like(self.params)
        requests, _kept = self._requests(z0, z1, t, gap, guide, feature, guided)
        losses, rows = ffi.new("ib_sample_loss[]", n), [floats(one) for one in target]
        call(lib.ib_adapter_learn, self._a, w[0], requests, ffi.new("float *[]", rows), n, 1 / n, unit, ffi.NULL, losses)
        lib.ib_adapter_collect(self._a, w[0], floats(grads))
        lib.ib_adapter_work_free(w)
        return sum(x.loss for x in losses) / n, self.tensors(grads)
