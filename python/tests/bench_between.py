#!/usr/bin/env python3
"""What `Adapter.between` costs beyond the library's own call: processor time of both in turn, single embeddings, batch 64.

The library takes its keyframes on trust and the package does not, so the library is also timed with the package's check for NaN in both
keyframes: what is left above that is Python's own.

OMP_NUM_THREADS=1 PYTHONPATH=python build-python/bin/python python/tests/bench_between.py [WIDTH [PRESET]]
"""

import statistics
import sys
import time

import numpy as np

from inbetween import Adapter, Shape
from inbetween._library import call, ffi, lib
from inbetween.adapter import REQUEST
from inbetween.shape import pointer

BATCH, ROUNDS, CALLS = 64, 40, 5


def main():
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 768
    preset = sys.argv[2] if len(sys.argv) > 2 else "default"
    z0, z1, out = np.random.default_rng(1).standard_normal((3, BATCH, width)).astype(np.float32)
    with Adapter.new(preset, "bench", "single", width) as adapter:
        raw, made, request = ffi.new("ib_shape *"), ffi.new("ib_adapter_work **"), np.zeros(BATCH, REQUEST)
        Shape("single", 1, 1, width).fill(raw)
        for name, z in (("z0", z0), ("z1", z1)):
            request[name] = z.ctypes.data + 4 * width * np.arange(BATCH, dtype=np.uintp)
        request["t"], request["gap_seconds"] = 0.5, 1.0
        with adapter._handle.use() as handle:
            call(lib.ib_adapter_work_create, made, handle, raw, BATCH, False)
            wanted = ffi.cast("ib_between *", ffi.from_buffer(request))

            def by_library():
                call(lib.ib_adapter_predict, handle, made[0], wanted, BATCH, pointer(out))

            def with_check():
                if all(lib.ib_params_finite(pointer(z), z.size) for z in (z0, z1)):
                    by_library()

            spent = {by_library: [], with_check: [], lambda: adapter.between(z0, z1, 0.5, out=out): []}
            adapter._handle._lock.release()  # all take turns with one handle
            for _ in range(ROUNDS):
                for function, times in spent.items():
                    function()  # each has a work space of its own: into the caches
                    begun = time.process_time_ns()
                    for _ in range(CALLS):
                        function()
                    times.append((time.process_time_ns() - begun) / CALLS)
            adapter._handle._lock.acquire()
            lib.ib_adapter_work_free(made)
    library, checked, package = (statistics.median(times) / 1000 for times in spent.values())
    print(
        f"{width} wide, {preset}: library {library:.0f} us, with the check for NaN {checked:.0f} us, package {package:.0f} us: "
        f"{100 * (package / library - 1):+.1f} %, {100 * (package / checked - 1):+.1f} % above the library that checks"
    )


if __name__ == "__main__":
    main()
