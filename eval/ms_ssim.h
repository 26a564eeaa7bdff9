/* Multi-scale structural similarity of luma (Wang, Simoncelli and Bovik 2003): Gaussian windows of 11x11,
 * sigma 1.5, whole windows only; K1 = 0.01, K2 = 0.03; scales halved by means of 2x2; exponents 0.0448,
 * 0.2856, 0.3001, 0.2363, 0.1333. A picture whose side is below 176 samples has fewer than five scales that
 * hold a window: then the exponents of those it has, scaled so that they add up to 1. Negative similarities
 * count as 0. */
#ifndef IB_EVAL_MS_SSIM_H
#define IB_EVAL_MS_SSIM_H

#include "base/error.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scales that frames of a size have, 0 to 5. */
int ib_ms_ssim_scales(int width, int height);

/* Memory for one thread and frames of one size: about 11 bytes a luma sample. */
typedef struct ib_ms_ssim ib_ms_ssim;
int ib_ms_ssim_create(ib_ms_ssim **out, int width, int height, ib_error *err);
void ib_ms_ssim_free(ib_ms_ssim **m);
/* What the following frames are compared with; copied. */
void ib_ms_ssim_truth(ib_ms_ssim *m, const ib_frame *truth);
/* At most 1; NaN without a scale. */
double ib_ms_ssim_of(ib_ms_ssim *m, const ib_frame *frame);

#ifdef __cplusplus
}
#endif
#endif
