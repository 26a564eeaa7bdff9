/* The classical estimate of motion between two keyframes, seen from the in-between at t: what is known before
 * anything is learnt, and what the model starts from. Nothing here has parameters, and no gradient goes back
 * through it.
 *
 * It computes, for keyframes of rows x cols tokens (8x8 luma px):
 *   1. block matching of the two along every candidate motion (match.h), token by token, with a gate that
 *      says where the keyframes differ at all;
 *   2. an optical flow from each keyframe to the other (flow.h), which also tries what matching found, seen
 *      from the in-between (project.h): the two views;
 *   3. the prior, the mean of the two views, and both keyframes carried along it (blend.h);
 *   4. three hypotheses of the in-between: the keyframes carried along either view, and in overlapping
 *      patches that choose among all motions (overlap.h);
 *   5. features of all that for each token and its cells of 4x4 luma px.
 *
 * Units: flows in luma px over the whole gap, from keyframe 0 to keyframe 1; pictures as in latent/patch.h,
 * black 0 and nominal white 1. Exchanging the keyframes and t with 1 - t negates the flows and keeps the
 * hypotheses.
 *
 * Cost at 192x112 px, one thread of a processor with AVX-512: build/bench_step prints it as the prior; about
 * 5 ms, of which the flows take the most. Memory: about 7 MiB. */
#ifndef IB_MOTION_MOTION_H
#define IB_MOTION_MOTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "motion/blend.h"
#include "motion/match.h"

/* Names everything that the features, the prior and the hypotheses depend on: windows, constants, scalings.
 * A model trained on one estimate is wrong with another, so files name it (adapter/adapter_file.h), and it
 * changes with any of them. tests/test_motion.c has the values that belong to it. */
#define IB_MOTION_ID "motion:2"

enum {
    IB_VIEWS = 2, /* the flows as seen from either keyframe */
    IB_HYPOTHESES = IB_VIEWS + 1,
    IB_PRIOR_FEATURES = 4 + 2 * IB_VIEWS,
    IB_HYPOTHESIS_FEATURES = 3,
    IB_CELL_FEATURES = IB_PRIOR_FEATURES + IB_HYPOTHESES * IB_HYPOTHESIS_FEATURES,
    IB_TOKEN_CELLS = IB_CELLS * IB_CELLS,
    IB_MOTION_FEATURES = IB_TOKEN_CELLS * IB_CELL_FEATURES + IB_MATCH_FEATURES, /* per token */
    IB_MOTION_FLOWS = 1 + IB_VIEWS + 1 + 1
};

typedef struct ib_motion {
    size_t rows, cols; /* tokens */
    ib_canvas canvas;
    float *planes0, *planes1;   /* the keyframes, [96 rows cols] Y, U, V: filled by the caller */
    float *spline0, *spline1;   /* their splines (blend.h) */
    float *carried0, *carried1; /* [96 rows cols]: the keyframes carried along the prior */
    float *hypothesis;          /* [IB_HYPOTHESES, 96 rows cols]: either view's, the patches' */
    float *gate;                /* [cells] in [0,1]: how far the keyframes differ near a cell */
    float *v;                   /* [IB_MOTION_FLOWS, 2, cells]: prior, views, matching, the patches' mean */
    float *matched;             /* [2, tokens]: matching's flow */
    float *features;            /* of prior, hypotheses [cells, ...] and matching [tokens, ...] */
    /* [2, 8 rows, 8 cols] from planes0 to planes1 and back, which are then not estimated; NULL by default */
    const float *forward, *backward;
    bool pictures;  /* default true; false: of the hypotheses only what the features tell is made */
    float *scratch; /* free between calls, at least ib_blend_scratch(&canvas, canvas.height) floats */
    float *arena;
} ib_motion;

/* rows, cols >= 1. IB_E_MEMORY. */
int ib_motion_create(ib_motion *m, size_t rows, size_t cols, ib_error *err);
void ib_motion_free(ib_motion *m);

/* From planes0, planes1 and t in (0,1), everything else. out [tokens, IB_MOTION_FEATURES], in about unit
 * range, for each cell of a token (IB_CELL_FEATURES): prior / 16 px; difference of the views / 8 px; how each
 * covers and fits the cell (project.h); for each hypothesis the difference of the keyframes carried along it,
 * and its flow less the prior / 8 px. Then matching's (match.h). */
void ib_motion_estimate(ib_motion *m, float t, float *out);
/* The flows between planes0 and planes1 that are tried at t = 1/2, for m->forward and m->backward. The hints
 * of ib_flow depend on t, but little of what it finds. forward, backward: [2, 8 rows, 8 cols] */
void ib_motion_flows(ib_motion *m, float *forward, float *backward);
/* Its first half: gate, views and prior in v, the prior's features. */
void ib_motion_prior(ib_motion *m, float t);

#endif
