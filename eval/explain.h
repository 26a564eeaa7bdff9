/* Inside eval: why an adapter does what it does in a space of embeddings. How jumpy the space's paths are,
 * what a smooth path could reach, what a guide is worth if it is weighed well, and whether the gate knows. */
#ifndef IB_EVAL_EXPLAIN_H
#define IB_EVAL_EXPLAIN_H

#include "eval/eval.h"
#include "eval/judge.h"
#include "eval/scene.h"

/* Rows that explain, behind the adapters; kind IB_METHOD_ORACLE. */
enum ib_explained {
    IB_EXPLAINED_NEIGHBOURS, /* mean of the true frames before and after: the best that a smooth path does */
    IB_EXPLAINED_WEIGHTS,    /* slerp + w (guide - slerp) with the best w for each target; with guides only */
    IB_EXPLAINED
};
extern const char *const ib_explained_names[IB_EXPLAINED];
/* How many of them there are. */
size_t ib_judge_explained(const ib_judge *j);

/* The first row, of the target `frame`, once the next frame is the scene's truth and before it is stepped to.
 * marks: [methods] of the target */
void ib_explain_neighbours(ib_scene *s, const ib_store *store, size_t frame, ib_marks *marks);
/* The second, and what the row "guide, one weight" comes from, of the target that was just stepped to. */
void ib_explain_guide(ib_scene *s, const ib_store *store, size_t frame, ib_marks *marks);

/* The best weight of a guide: between 0 and 1, of sums as in IB_MARK_ALONG and IB_MARK_APART; NaN if the
 * guide is slerp. */
double ib_best_weight(double along, double apart);

/* How jumpy the path of a whole clip is: mean squared step over twice the variance, both within shots. 0: as
 * smooth as can be; 1: noise. NaN if nothing moves. */
int ib_step_over_variance(const ib_store *s, double *out, ib_error *err);

/* ---- what is gathered of a gap, clip by clip ---- */

/* Sums over targets of |slerp - true|^2 and of the two marks. */
typedef struct ib_weighing {
    double error, along, apart;
    size_t targets;
} ib_weighing;

typedef struct ib_gathered {
    ib_weighing **clip; /* [clips], each [gap], the k-th targets and then all; NULL: judged without guides */
    size_t clips;
    float *weight, *gate; /* [points], [points, methods]: of every guided target */
    size_t points;
} ib_gathered;

/* The clip at hand is number `clip`; clips come in order. */
int ib_gather(ib_gathered *g, const ib_judge *j, size_t clip, const ib_windows *w, ib_error *err);
/* Fills in the gap's explanation and the row "guide, one weight" of its clips, before their means are taken.
 */
int ib_gathered_conclude(const ib_gathered *g, const ib_judge *j, ib_eval_report *r, ib_eval_gap *gap,
                         ib_error *err);
void ib_gathered_free(ib_gathered *g);

#endif
