#include "eval/figures.h"

#include <math.h>
#include "eval/score.h"

const ib_eval_figure_info ib_eval_figures[IB_FIGURES] = {
    [IB_FIGURE_SKILL] = {"skill", "skill", "", "Part of slerp's squared error in latents that is gone.", 3, 1,
                         false},
    [IB_FIGURE_COSINE] = {"cosine", "cosine", "", "Cosine between tokens and true tokens.", 4, 1, false},
    [IB_FIGURE_ANGLE] = {"angle_deg", "angle", "°", "Angle between tokens and true tokens.", 2, -1, false},
    [IB_FIGURE_NORM_ERROR] = {"norm_error", "norm error", "",
                              "Difference of tokens' lengths over the true length.", 4, -1, false},
    [IB_FIGURE_RECALL] = {"recall_at_1", "recall@1", "",
                          "Share of in-betweens whose nearest frame in the clip is the true one.", 3, 1,
                          false},
    [IB_FIGURE_CURVATURE] = {"curvature_deg", "curvature", "°",
                             "Angle by which the path of latents turns at an in-between.", 1, 0, false},
    [IB_FIGURE_TRUE_CURVATURE] = {"true_curvature_deg", "true curvature", "°",
                                  "The same angle of the real frames' path.", 1, 0, false},
    [IB_FIGURE_PSNR] = {"psnr_db", "PSNR", "dB", "PSNR of luma.", 2, 1, true},
    [IB_FIGURE_GAIN] = {"gain_db", "gain", "dB", "PSNR of luma above slerp's.", 2, 1, true},
    [IB_FIGURE_PSNR_ALL] = {"psnr_yuv_db", "PSNR YUV", "dB", "PSNR of luma and colour together.", 2, 1, true},
    [IB_FIGURE_SSIM] = {"ssim", "SSIM", "", "Structural similarity of luma.", 4, 1, true},
    [IB_FIGURE_SSIM_ALL] = {"ssim_yuv", "SSIM YUV", "", "Structural similarity of luma and colour.", 4, 1,
                            true},
    [IB_FIGURE_MS_SSIM] = {"ms_ssim", "MS-SSIM", "", "Structural similarity of luma at several scales.", 4, 1,
                           true},
    [IB_FIGURE_FLICKER] = {"flicker", "flicker", "steps",
                           "Change from frame to frame that is not the true change, in 8-bit steps of luma.",
                           2, -1, true},
    [IB_FIGURE_JUMP] = {"keyframe_jump", "keyframe jump", "steps",
                        "False change of the mean brightness and colour at keyframes, in 8-bit steps.", 2, -1,
                        true},
    [IB_FIGURE_INNER] = {"inner_jump", "inner jump", "steps", "The same between in-betweens.", 2, -1, true},
    [IB_FIGURE_SHARPNESS] = {"sharpness", "sharpness", "",
                             "Gradient energy over the true frame's: below 1 is blur or ghosting.", 3, 0,
                             true},
};

/* How a figure comes of sums. GAIN comes of PSNR afterwards. */
typedef enum rule { MEAN, SKILL, RATIO, GAIN } rule;
static const struct {
    rule rule;
    int mark, over;
} rules[IB_FIGURES] = {
    [IB_FIGURE_SKILL] = {SKILL, IB_MARK_ERROR, IB_MARK_SLERP},
    [IB_FIGURE_COSINE] = {MEAN, IB_MARK_COSINE, 0},
    [IB_FIGURE_ANGLE] = {MEAN, IB_MARK_ANGLE, 0},
    [IB_FIGURE_NORM_ERROR] = {MEAN, IB_MARK_NORM, 0},
    [IB_FIGURE_RECALL] = {MEAN, IB_MARK_RECALL, 0},
    [IB_FIGURE_CURVATURE] = {MEAN, IB_MARK_TURN, 0},
    [IB_FIGURE_TRUE_CURVATURE] = {MEAN, IB_MARK_TRUE_TURN, 0},
    [IB_FIGURE_PSNR] = {MEAN, IB_MARK_PSNR, 0},
    [IB_FIGURE_GAIN] = {GAIN, 0, 0},
    [IB_FIGURE_PSNR_ALL] = {MEAN, IB_MARK_PSNR_ALL, 0},
    [IB_FIGURE_SSIM] = {MEAN, IB_MARK_SSIM, 0},
    [IB_FIGURE_SSIM_ALL] = {MEAN, IB_MARK_SSIM_ALL, 0},
    [IB_FIGURE_MS_SSIM] = {MEAN, IB_MARK_MS_SSIM, 0},
    [IB_FIGURE_FLICKER] = {MEAN, IB_MARK_FLICKER, 0},
    [IB_FIGURE_JUMP] = {MEAN, IB_MARK_JUMP, 0},
    [IB_FIGURE_INNER] = {MEAN, IB_MARK_INNER, 0},
    [IB_FIGURE_SHARPNESS] = {RATIO, IB_MARK_GRADIENT, IB_MARK_TRUE_GRADIENT},
};

const ib_marks ib_no_marks = {{NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN,
                               NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}};

void ib_marks_add(ib_mark_sums *s, const ib_marks *m) {
    for (int i = 0; i < IB_MARKS; i++) {
        if (!isnan(m->v[i])) {
            s->sum[i] += m->v[i];
            s->n[i]++;
        }
    }
}

void ib_marks_merge(ib_mark_sums *s, const ib_mark_sums *more) {
    for (int i = 0; i < IB_MARKS; i++) {
        s->sum[i] += more->sum[i];
        s->n[i] += more->n[i];
    }
}

static double mean_of(const ib_mark_sums *s, int mark) {
    return s->n[mark] ? s->sum[mark] / (double)s->n[mark] : NAN;
}

static double skill_of(const ib_mark_sums *s) {
    if (!s->n[IB_MARK_ERROR]) {
        return NAN;
    }
    return ib_skill(s->sum[IB_MARK_ERROR], s->sum[IB_MARK_SLERP], (double)s->n[IB_MARK_SLERP]);
}

double ib_gain_of(const ib_mark_sums *method, const ib_mark_sums *slerp) {
    double gain = mean_of(method, IB_MARK_PSNR) - mean_of(slerp, IB_MARK_PSNR);
    gain = isnan(gain) ? skill_of(method) : gain;
    return isnan(gain) ? 0 : gain;
}

void ib_figures_of(const ib_mark_sums *sums, size_t methods, ib_eval_score *score) {
    for (size_t m = 0; m < methods; m++) {
        const ib_mark_sums *s = &sums[m];
        for (int f = 0; f < IB_FIGURES; f++) {
            double x = NAN;
            switch (rules[f].rule) {
            case MEAN:
                x = mean_of(s, rules[f].mark);
                break;
            case SKILL:
                x = skill_of(s);
                break;
            case RATIO:
                x = s->sum[rules[f].over] > 0 ? s->sum[rules[f].mark] / s->sum[rules[f].over] : NAN;
                break;
            case GAIN:
                x = mean_of(s, IB_MARK_PSNR) - mean_of(&sums[IB_EVAL_SLERP], IB_MARK_PSNR);
                break;
            }
            score[m].figure[f] = x;
        }
    }
}

bool ib_eval_flashes(const ib_eval_score *s) {
    double jump = s->figure[IB_FIGURE_JUMP], inner = s->figure[IB_FIGURE_INNER];
    return jump > 2 && !(jump <= 2 * inner);
}
