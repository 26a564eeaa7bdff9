/* The judge: a small network that scores what stands at a place of a token's path, among the keyframes and
 * the in-betweens that stand already. It sees how far things are apart, never the latents themselves, which
 * is why it learns from few videos: z from both keyframes, from its neighbours on the path, from slerp, from
 * the adapter's answer and from the guide's pictures; all these from each other; times; and what the pixel
 * model thinks of its pictures. Distances are logarithms over that of the keyframes (ib_sought_ratio). */
#ifndef IB_SEARCH_JUDGE_H
#define IB_SEARCH_JUDGE_H

#include "search/candidates.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    IB_JUDGE_THINGS = 12, /* that z is compared with */
    IB_JUDGE_PAIRS = IB_JUDGE_THINGS * (IB_JUDGE_THINGS - 1) / 2,
    IB_JUDGE_TIMES = 8,
    IB_JUDGE_COMMON = IB_JUDGE_PAIRS + IB_JUDGE_TIMES + IB_GUIDE_FEATURES + IB_SOUGHT_WHOLE,
    IB_JUDGE_INPUTS = IB_JUDGE_COMMON + IB_JUDGE_THINGS + 1,
    IB_JUDGE_WIDTH = 128, /* of its two layers */

    /* where its parameters lie: [inputs,W] and [W], [W,W] and [W], [W] and one */
    IB_JUDGE_INTO = 0,
    IB_JUDGE_INTO_BIAS = IB_JUDGE_INTO + IB_JUDGE_INPUTS * IB_JUDGE_WIDTH,
    IB_JUDGE_HIDDEN = IB_JUDGE_INTO_BIAS + IB_JUDGE_WIDTH,
    IB_JUDGE_HIDDEN_BIAS = IB_JUDGE_HIDDEN + IB_JUDGE_WIDTH * IB_JUDGE_WIDTH,
    IB_JUDGE_OUT = IB_JUDGE_HIDDEN_BIAS + IB_JUDGE_WIDTH,
    IB_JUDGE_OUT_BIAS = IB_JUDGE_OUT + IB_JUDGE_WIDTH,
    IB_JUDGE_PARAMS = IB_JUDGE_OUT_BIAS + 1
};

/* Names what the inputs mean; stored in files, and one with another name is refused. */
#define IB_JUDGE_ID "strand:1"

typedef struct ib_search_judge {
    char space_id[256];
    char kind[16];           /* what it was trained for: a name of search/judge_loss.h */
    char guide[160];         /* pixel model of the guides it has seen; empty: none */
    char adapter_sha256[65]; /* whose answers it has seen; empty: slerp's */
    float temperature;       /* > 0: candidates are mixed by exp(score / temperature) */
    float mean[IB_JUDGE_INPUTS], scale[IB_JUDGE_INPUTS]; /* it is given (x - mean) scale */
    float params[IB_JUDGE_PARAMS];
} ib_search_judge;

/* What is around a place. */
typedef struct ib_judge_view {
    const float *thing[IB_JUDGE_THINGS]; /* [D] each, borrowed */
    float common[IB_JUDGE_COMMON];       /* inputs that all candidates share */
    float unit, length;                  /* squares: of the keyframes' distance, of slerp */
    size_t width;
} ib_judge_view;

/* left, right: [D], what stands before and after the place, at left_t and right_t; keyframes at the ends.
 * room: [D] for the view, as long as it is used. */
void ib_judge_look(ib_judge_view *v, const ib_strand *at, const float *left, float left_t, const float *right,
                   float right_t, float *room);
/* z: [n,D]; x: [n,IB_JUDGE_INPUTS] */
void ib_judge_inputs(const ib_judge_view *v, const float *z, size_t n, float *x);
/* x -> (x - mean) scale, [n,IB_JUDGE_INPUTS] */
void ib_judge_scale(const ib_search_judge *j, float *x, size_t n);
/* The network alone, on scaled inputs. p: parameters; pre, act: of both layers [n,W], before SiLU and after
 * it, may be the same; keep: of both layers [n,W], what act is multiplied by, or NULL; score: [n] */
void ib_judge_forward(const float *p, const float *x, size_t n, float *const pre[2], float *const act[2],
                      const float *const keep[2], float *score);
/* Higher is better; always finite. x: [n,IB_JUDGE_INPUTS], is changed; scratch: ib_judge_scratch(n) floats;
 * score: [n] */
size_t ib_judge_scratch(size_t n);
void ib_judge_score(const ib_search_judge *j, float *x, size_t n, float *scratch, float *score);

/* judge.safetensors (docs/files.md). Open checks every tensor's name and shape and that all values are
 * finite: IB_E_FORMAT, IB_E_NONFINITE, IB_E_UNSUPPORTED. */
int ib_search_judge_save(const ib_search_judge *j, const char *path, ib_error *err);
int ib_search_judge_open(ib_search_judge **out, const char *path, ib_error *err);
void ib_search_judge_free(ib_search_judge **j);
/* IB_E_MISMATCH, naming both, unless it is of that space. `path` names the judge, `what` the other side. */
int ib_search_judge_check(const ib_search_judge *j, const char *path, const char *space_id, const char *what,
                          ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
