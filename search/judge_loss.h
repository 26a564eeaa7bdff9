/* Inside search: what a judge may be trained for. Each kind is a loss over everything that was put to it at
 * one place of one token's path. */
#ifndef IB_SEARCH_JUDGE_LOSS_H
#define IB_SEARCH_JUDGE_LOSS_H

#include <stddef.h>

/* What lies before a judge: candidates, then what is surely wrong, then the true frame. */
typedef struct ib_judge_case {
    size_t candidates, rows; /* C; all of them, the last is the truth */
    const float *score;      /* [rows] the judge's */
    const float *error;      /* [rows] squared error over slerp's at this place; 0 for the truth */
    const float *gram; /* [C,C] products of the candidates' errors with each other, in the data's unit */
} ib_judge_case;

typedef struct ib_judge_kind {
    const char *name, *help;
    /* The loss; adds its gradient times `by` to dscore [rows]. */
    double (*loss)(const ib_judge_case *c, float by, float *dscore);
} ib_judge_kind;

extern const ib_judge_kind ib_judge_kinds[];               /* ends with a NULL name */
const ib_judge_kind *ib_judge_kind_find(const char *name); /* NULL: there is none */

/* How much a temperature's mean of all candidates is off: w^T gram w, w = softmax(score / temperature). w:
 * [C], filled. */
double ib_judge_mean_error(const ib_judge_case *c, double temperature, double *w);

#endif
