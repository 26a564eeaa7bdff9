/* Inside search: what judges learn from. One case is a token at a place of a window, with neighbours as a
 * search would have them, and all that is put to the judge there. */
#ifndef IB_SEARCH_JUDGE_CASE_H
#define IB_SEARCH_JUDGE_CASE_H

#include "base/file.h"
#include "search/judge.h"

enum {
    IB_JUDGE_CASE_DRAWN = 4, /* candidates that are drawn, beside the fixed ones */
    IB_JUDGE_CASE_WRONG = 4, /* a true frame of another time, the mirrored one, the true one with noise, the
                                nearer keyframe */
    IB_JUDGE_CASE_STILL = 3, /* number of the nearer keyframe among the wrong ones */
    IB_JUDGE_CASE_CANDIDATES = 32,                                           /* at the most */
    IB_JUDGE_CASE_MOST = IB_JUDGE_CASE_CANDIDATES + IB_JUDGE_CASE_WRONG + 1, /* rows, the truth is the last */
    IB_JUDGE_ROW = IB_JUDGE_INPUTS - IB_JUDGE_COMMON /* inputs that differ from row to row */
};

typedef struct ib_judge_sample {
    int gap;
    size_t candidates, rows, slerp; /* slerp: its number among the candidates */
    float slerp_error;              /* squared, in the data's unit */
    float common[IB_JUDGE_COMMON];
    float row[IB_JUDGE_CASE_MOST][IB_JUDGE_ROW];
    float error[IB_JUDGE_CASE_MOST];
    float gram[IB_JUDGE_CASE_CANDIDATES * IB_JUDGE_CASE_CANDIDATES]; /* [C,C] */
} ib_judge_sample;

typedef struct ib_judge_samples {
    char space_id[256], guide[160]; /* of all files */
    ib_judge_sample *train, *valid;
    size_t trains, valids, train_videos, valid_videos;
} ib_judge_samples;

typedef struct ib_judge_sampling {
    const ib_paths *latents;   /* files */
    const ib_adapter *adapter; /* NULL: slerp */
    size_t samples;            /* about so many, of all videos */
    double valid_part;         /* of the videos, at least one; 1: all of them, one is enough */
    uint64_t seed;
    int threads;
    const atomic_int *stop;
    void (*progress)(void *user, double fraction);
    void *user;
} ib_judge_sampling;

/* IB_E_EMPTY for too few videos with windows, IB_E_MISMATCH for files of different spaces or pixel
 * models. *out is to be freed in any case. */
int ib_judge_samples_make(ib_judge_samples *out, const ib_judge_sampling *o, ib_error *err);
void ib_judge_samples_free(ib_judge_samples *s);

#endif
