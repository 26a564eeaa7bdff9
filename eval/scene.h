/* Inside eval: one thread's memory for one window, what each rival makes of it, and how that is measured. */
#ifndef IB_EVAL_SCENE_H
#define IB_EVAL_SCENE_H

#include "eval/judge.h"
#include "eval/ms_ssim.h"

/* Where a rival's sequence stands. */
typedef struct ib_path {
    float *before, *last; /* [T,D] the last latents but one and the last; not for native windows */
    bool has_before;
    ib_frame frame; /* the last picture */
    double mean[3]; /* of its planes */
} ib_path;

/* How far a step into frame k is from the true one; NaN without pictures. */
typedef struct ib_step {
    double change; /* ib_change_error */
    double shade;  /* length of the false change of the planes' means */
} ib_step;

typedef struct ib_scene {
    const ib_judge *judge;
    ib_shape shape;
    size_t n; /* T D */
    bool native, decodes;
    ib_keys keys;
    float gap_seconds;
    float *outer;       /* [4, T,D] memory for keys; not for native windows, whose threads share theirs */
    float *truth, *out; /* [T,D] the true frame, what a rival made of it */
    float *arena;
    ib_frame truth_frame, frame; /* the same as pictures, in a space with a decoder */
    const ib_pair *pair;         /* of the window, for adapters; native only */
    const ib_frame *given;       /* [givers, given_stride] what ib_judge_give made of the window */
    size_t given_stride;
    float *guide; /* [IB_GUIDE_PICTURES,T,D] of the target at hand; NULL where there are no rows of guides */
    float *seen;  /* [T,D] the mean of its pictures by t, in the same block */
    const float *feature;        /* [IB_GUIDE_FEATURES] of it */
    bool sees;                   /* it is there */
    ib_adapter_work **work;      /* [adapters] */
    const ib_searched *searched; /* of the window; NULL: no rows of a search */
    ib_ms_ssim *ms;
    ib_path *path; /* [rivals + 1], the last is the truth's */
    size_t rivals;
} ib_scene;

/* Frames are of width x height with the colour matrix `matrix`. IB_E_FORMAT if the space, if it is there,
 * gives such frames another shape. */
int ib_scene_open(ib_scene *s, const ib_judge *j, const ib_shape *shape, int width, int height,
                  ib_matrix matrix, const ib_pair *pair, ib_error *err);
void ib_scene_close(ib_scene *s); /* accepts a zeroed one */
/* The in-between of a rival at t, frame k of the window, into out and, if the space decodes, into frame. */
int ib_scene_make(ib_scene *s, size_t rival, float t, int k, ib_error *err);

/* Sequences begin at frame k, at t, whose truth is in truth and truth_frame: at a keyframe (t =
 * 0) all alike. */
int ib_scene_begin(ib_scene *s, float t, int k, ib_error *err);
/* They go on to frame k, whose truth is in truth and truth_frame. marks: [methods] of target k, filled for
 * rivals but for what only ib_scene_combine knows; NULL: the last keyframe. last: of target k - 1, whose turn
 * is known now; may be NULL. step: [rivals]. */
int ib_scene_step(ib_scene *s, float t, int k, const ib_store *store, size_t frame, ib_marks *marks,
                  ib_marks *last, ib_step *step, ib_error *err);
/* What single frames show: everything but turns and steps. z, picture: beside truth and truth_frame; picture
 * may be NULL. */
void ib_scene_mark(ib_scene *s, const float *z, const ib_frame *picture, const ib_store *store, size_t frame,
                   ib_marks *m);
/* Flicker and jumps of a window's targets. step: [gap + 1, rivals], from 1; marks: [gap - 1, methods] */
void ib_scene_combine(const ib_step *step, int gap, size_t rivals, size_t methods, ib_marks *marks);

#endif
