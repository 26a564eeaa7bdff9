/* How far two pictures are apart, sample by sample: 8-bit yuv420p as it is, limited range, frames of one
 * size. "All" weighs the three planes by their samples. */
#ifndef IB_EVAL_PIXELS_H
#define IB_EVAL_PIXELS_H

#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_by_plane {
    double luma, all;
} ib_by_plane;

/* 10 log10(255^2 / mean squared difference) in dB, at most 100: what FFmpeg's psnr filter calls psnr_y and
 * psnr_avg. */
ib_by_plane ib_psnr(const ib_frame *a, const ib_frame *b);
/* Structural similarity (Wang et al. 2004) over 8x8 blocks, every fourth in both directions, without weights:
 * what FFmpeg's ssim filter computes. At most 1. NaN if a plane has no block. */
ib_by_plane ib_ssim(const ib_frame *a, const ib_frame *b);

/* Mean of Y, U and V. */
void ib_plane_means(const ib_frame *f, double mean[3]);
/* Mean over luma samples of the squared difference to the right and to the lower neighbour: what blur and
 * ghosting take away. */
double ib_gradient_energy(const ib_frame *f);
/* Mean over luma samples of |(b - a) - (y - x)|: how far a sequence's step from a to b is from another's, x
 * to y. In 8-bit steps. */
double ib_change_error(const ib_frame *a, const ib_frame *b, const ib_frame *x, const ib_frame *y);

#ifdef __cplusplus
}
#endif
#endif
