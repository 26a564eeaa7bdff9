/* Inside eval: one thread's memory for one window, and what each method makes of it. */
#ifndef IB_EVAL_SCENE_H
#define IB_EVAL_SCENE_H

#include "eval/judge.h"

typedef struct ib_scene {
    const ib_judge *judge;
    ib_shape shape;
    size_t n; /* T D */
    int gap;
    bool native, decodes;
    float gap_seconds;
    float *z0, *z1, *truth, *out; /* [T,D] keyframes, target, what a method made of it */
    float *arena;
    ib_frame truth_frame, frame; /* the same as pictures, in a space with a decoder */
    const ib_frame *key0, *key1; /* the keyframes' own pictures; native only */
    const ib_frame *filtered;    /* [gap - 1] what minterpolate made of the window */
    ib_adapter_work **work;      /* [adapters] */
} ib_scene;

/* native: z0 and z1 are the caller's to set, so that threads can share them. Frames are of width x height with the colour matrix `matrix`. */
int ib_scene_open(ib_scene *s, const ib_judge *j, int width, int height, ib_matrix matrix, bool native,
                  int gap, ib_error *err);
void ib_scene_close(ib_scene *s); /* accepts a zeroed one */
/* The in-between of a method at t, frame k of the window, into out and, if the space decodes, into frame. */
int ib_scene_make(ib_scene *s, size_t method, float t, int k, ib_error *err);
/* What makes it wrong, added up. */
void ib_scene_tally(const ib_scene *s, ib_tally *tally);

#endif
