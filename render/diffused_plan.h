/* Inside render/: which frames of a clip are diffused, from what, and how strongly. */
#ifndef IB_RENDER_DIFFUSED_PLAN_H
#define IB_RENDER_DIFFUSED_PLAN_H

#include <stdbool.h>
#include "render/diffused.h"

/* Whether step j, 1..frames-2, between two keyframes is diffused at all, for pictures at both ends. With
 * none of them a multiple of `every`, the middle one is. */
bool ib_plan_diffuses(int j, int frames, int every);
/* The place of step j, 0..1, from one keyframe to the next. */
float ib_plan_place(int j, int frames, bool ease);
/* Strength at place t between two pictures: 4t(1-t) times that of the middle. */
double ib_plan_strength(double middle, float t);
/* A draft's size for a picture: at most 256 px on the longer side, both sides multiples of factor. Pictures
 * that are smaller keep theirs. */
void ib_plan_draft_size(int *width, int *height, size_t factor);

#endif
