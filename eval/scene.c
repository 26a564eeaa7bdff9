#include "eval/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/metrics.h"

size_t ib_judge_methods(const ib_judge *j) {
    return IB_BASELINES + j->minterpolate + j->adapters;
}

static int open_works(ib_scene *s, int width, int height, ib_error *err) {
    const ib_judge *j = s->judge;
    int r = IB_OK;
    s->work = ib_calloc(j->adapters, sizeof(ib_adapter_work *));
    if (!s->work) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for %zu adapters", j->adapters);
    }
    for (size_t i = 0; i < j->adapters && !r; i++) {
        ib_shape grid = s->shape;
        int gw, gh;
        if (s->native && ib_adapter_render_grid(j->adapter[i], width, height, &grid, &gw, &gh)) {
            r = ib_fail(err, IB_E_UNSUPPORTED, "adapter %zu has no motion head and cannot render pictures",
                        i + 1);
        }
        r = r ? r : ib_adapter_work_create(&s->work[i], j->adapter[i], &grid, 1, false, err);
    }
    return r;
}

int ib_scene_open(ib_scene *s, const ib_judge *j, int width, int height, ib_matrix matrix, bool native,
                  int gap, ib_error *err) {
    size_t all;
    *s = (ib_scene){.judge = j, .gap = gap, .native = native, .decodes = ib_space_decodes(j->space)};
    int r = ib_space_shape(j->space, width, height, &s->shape, err);
    if (r) {
        return r;
    }
    s->n = s->shape.tokens * s->shape.width;
    r = ib_size_mul(s->n, native ? 2 : 4, &all)
            ? ib_fail(err, IB_E_MEMORY, "out of memory for frames of %dx%d", width, height)
            : ib_alloc_floats(&s->arena, all, "a window's latents", err);
    if (!r) {
        s->truth = s->arena;
        s->out = s->truth + s->n;
        s->z0 = native ? NULL : s->out + s->n;
        s->z1 = native ? NULL : s->z0 + s->n;
        r = open_works(s, width, height, err);
    }
    if (!r && s->decodes) {
        r = ib_frame_alloc(&s->truth_frame, width, height, err);
        r = r ? r : ib_frame_alloc(&s->frame, width, height, err);
        s->truth_frame.matrix = s->frame.matrix = matrix;
    }
    if (r) {
        ib_scene_close(s);
    }
    return r;
}

void ib_scene_close(ib_scene *s) {
    for (size_t i = 0; s->work && i < s->judge->adapters; i++) {
        ib_adapter_work_free(&s->work[i]);
    }
    ib_free(s->work);
    ib_free(s->arena);
    ib_frame_free(&s->truth_frame);
    ib_frame_free(&s->frame);
    memset(s, 0, sizeof *s);
}

int ib_scene_make(ib_scene *s, size_t method, float t, int k, ib_error *err) {
    const ib_judge *j = s->judge;
    if (method < IB_BASELINES) {
        ib_baselines[method].run(s->z0, s->z1, t, s->shape.tokens, s->shape.width, s->out);
    } else if (j->minterpolate && method == IB_BASELINES) {
        ib_frame_copy(&s->frame, &s->filtered[k - 1]);
        return ib_space_encode(j->space, &s->frame, s->out, err);
    } else {
        size_t i = method - IB_BASELINES - j->minterpolate;
        if (s->native) {
            int r = ib_adapter_render(j->adapter[i], s->work[i], s->key0, s->key1, t, s->gap_seconds,
                                      &s->frame, err);
            return r ? r : ib_space_encode(j->space, &s->frame, s->out, err);
        }
        ib_between in = {s->z0, s->z1, t, s->gap_seconds};
        int r = ib_adapter_predict(j->adapter[i], s->work[i], &in, 1, s->out, err);
        if (r) {
            return r;
        }
    }
    return s->decodes ? ib_space_decode(j->space, s->out, &s->frame, err) : IB_OK;
}

void ib_scene_tally(const ib_scene *s, ib_tally *tally) {
    tally->err += ib_squared_error(s->out, s->truth, s->n);
    tally->psnr += s->decodes ? ib_psnr_luma(&s->frame, &s->truth_frame) : NAN;
}
