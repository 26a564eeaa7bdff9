/* Augmentation that keeps the truth: what is done to a sample is done to its three frames alike, so the
 * target stays what lies between the keyframes. In the patch space pictures are mirrored, cut, resampled and
 * recoloured as float planes; in any space time may run backwards. A sample's augmentation depends on (seed,
 * number of the sample) only. */
#ifndef IB_TRAIN_AUGMENT_H
#define IB_TRAIN_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/rng.h"
#include "latent/space.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All chances in [0,1]. */
typedef struct ib_augment_options {
    bool pixels;         /* the latents are of the patch space; else only `reverse` applies */
    int crop_width;      /* luma samples of what the model is trained on, multiples of 8; 0: the whole frame.
                            Turned */
    int crop_height;     /* on its side for frames into which it fits only so */
    double reverse;      /* chance that z0 and z1 change places, t becoming 1 - t. default 0.5 */
    double mirror, flip; /* left-right, top-bottom. defaults 0.5, 0.25 */
    double transpose;    /* rows for columns, of square results only. default 0.25 */
    double resample; /* chance of a free rectangle, resampled; else samples are only cut out. default 0.5 */
    double zoom_min; /* shortest side of that rectangle over the result's; the longest is what fits. default
                        0.6 */
    double aspect; /* the rectangle's aspect differs by a factor in [1/aspect, aspect], >= 1. default 1.15 */
    double colour; /* chance of new colours. default 0.5 */
    double gain, offset; /* luma times [1/gain, gain], plus [-offset, offset]. defaults 1.25, 0.2 */
    double chroma_gain;  /* chroma times [1/chroma_gain, chroma_gain]. default 1.5 */
    double
        chroma_turn;  /* chance that its plane is turned by any angle (180 degrees: negative). default 0.3 */
    double fade;      /* chance that light changes steadily from z0 to z1. default 0.15 */
    double fade_most; /* most of the picture that is gone at z1, [0,1]. default 0.7 */
} ib_augment_options;

void ib_augment_defaults(ib_augment_options *o);

/* The shape that samples have afterwards. IB_E_ARGUMENT if the crop is no multiple of 8 or does not fit. */
int ib_augment_shape(const ib_augment_options *o, const ib_shape *in, ib_shape *out, ib_error *err);

/* What is done to one sample: drawn apart from being done, so that tests can look at it. */
typedef struct ib_augment_plan {
    bool reverse, mirror, flip, transpose, resample, colour;
    double x, y, width,
        height; /* rectangle of the source in luma samples; without resampling x and y are even */
    double luma_gain, luma_offset;
    double chroma_gain, chroma_turn; /* radians */
    double fade;                     /* part of the picture that is gone at z1; 0: none, at t: t times this */
    double fade_level;               /* luma that takes its place, in [0,1] */
} ib_augment_plan;
void ib_augment_draw(const ib_augment_options *o, const ib_shape *in, const ib_shape *out, ib_rng *rng,
                     ib_augment_plan *plan);

/* Scratch memory for one thread. */
typedef struct ib_augmenter ib_augmenter;
/* Serves shapes of at most max_values = T D values. */
int ib_augmenter_create(ib_augmenter **out, size_t max_values, ib_error *err);
void ib_augmenter_free(ib_augmenter **a);
/* z: z0, z1, target, changed in place (the pointers too): [3][T,D] of `in` become [3][T,D] of `out`; each has
 * room for both. *t follows. Colours are held within the nominal range, or where they were if that was
 * outside of it; nothing is clipped. */
int ib_augment_apply(ib_augmenter *a, const ib_augment_plan *plan, const ib_shape *in, const ib_shape *out,
                     float *z[3], float *t, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
