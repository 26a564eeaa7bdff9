/* How far two latents or two pictures are apart. */
#ifndef IB_EVAL_METRICS_H
#define IB_EVAL_METRICS_H

#include <stddef.h>
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sum of squared differences. a, b: [n] */
double ib_squared_error(const float *a, const float *b, size_t n);
/* PSNR of luma, 8-bit samples as they are: 10 log10(255^2 / mean squared difference), at most 100 dB. Frames of one size. */
double ib_psnr_luma(const ib_frame *a, const ib_frame *b);

#ifdef __cplusplus
}
#endif
#endif
