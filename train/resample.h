/* Inside train only: cutting, turning and resampling the planes of one frame, and new colours for them. */
#ifndef IB_TRAIN_RESAMPLE_H
#define IB_TRAIN_RESAMPLE_H

#include "train/augment.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the samples of one output line come from: out[i] = sum over k < taps of weight[k * n + i] in[first[i]
 * + k]. */
typedef struct ib_axis {
    size_t n, taps, room; /* room: allocated entries of weight */
    int *first;           /* [n] */
    float *weight;        /* [taps, n] */
} ib_axis;

/* Zero-initialise. */
typedef struct ib_resampler {
    ib_axis axis[4]; /* luma columns and rows, chroma columns and rows */
    int in_width, in_height, out_width, out_height;
    bool transpose;
    float *line; /* one source line, [in_width] */
    size_t line_room;
    float *turned;
    size_t turned_room;
} ib_resampler;

int ib_resampler_set(ib_resampler *r, const ib_augment_plan *p, const ib_shape *in, const ib_shape *out,
                     ib_error *err);
/* in, out: three planes each, as in latent/patch.h */
void ib_resampler_run(ib_resampler *r, const float *in, float *out);
void ib_resampler_free(ib_resampler *r);

/* y [luma] = gain y + offset; (u, v) [chroma] each turned and scaled: u c - v s, u s + v c. planes: y, u, v
 * without gaps. */
void ib_planes_recolour(float *planes, size_t luma, size_t chroma, float gain, float offset, float c,
                        float s);

#ifdef __cplusplus
}
#endif
#endif
