/* Inside eval: from what was measured of single targets to a figure. */
#ifndef IB_EVAL_FIGURES_H
#define IB_EVAL_FIGURES_H

#include "eval/eval.h"

/* What is measured of one method at one target. NaN: does not apply. */
enum {
    IB_MARK_ERROR, /* squared error in latents, mean over values */
    IB_MARK_SLERP, /* slerp's at the same target */
    IB_MARK_COSINE,
    IB_MARK_ANGLE,
    IB_MARK_NORM,
    IB_MARK_RECALL,
    IB_MARK_TURN,
    IB_MARK_TRUE_TURN,
    IB_MARK_PSNR,
    IB_MARK_PSNR_ALL,
    IB_MARK_SSIM,
    IB_MARK_SSIM_ALL,
    IB_MARK_MS_SSIM,
    IB_MARK_FLICKER,
    IB_MARK_JUMP,
    IB_MARK_INNER,
    IB_MARK_GRADIENT,
    IB_MARK_TRUE_GRADIENT,
    IB_MARK_ALONG, /* of "guide, one weight": how far the guide leads the right way, and how far at all: means
                      over values of (true - slerp) (guide - slerp) and of (guide - slerp)^2 */
    IB_MARK_APART,
    IB_MARK_GATE, /* of an adapter with guides: its gate (ib_adapter_gate) */
    IB_MARKS
};
typedef struct ib_marks {
    double v[IB_MARKS];
} ib_marks;
extern const ib_marks ib_no_marks; /* all NaN */

/* Sums over targets, added up in any fixed order. */
typedef struct ib_mark_sums {
    double sum[IB_MARKS];
    size_t n[IB_MARKS];
} ib_mark_sums;
void ib_marks_add(ib_mark_sums *s, const ib_marks *m);
void ib_marks_merge(ib_mark_sums *s, const ib_mark_sums *more);
/* All figures of all methods. sums, score: [methods] */
void ib_figures_of(const ib_mark_sums *sums, size_t methods, ib_eval_score *score);
/* PSNR of luma less slerp's over the targets of one window or clip; skill where there are no pictures, and 0
 * where there is none. */
double ib_gain_of(const ib_mark_sums *method, const ib_mark_sums *slerp);

#endif
