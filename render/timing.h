/* Inside render/: which frames of a video stand where in the same video at another rate. Times are seconds of
 * the source, from its first frame. */
#ifndef IB_RENDER_TIMING_H
#define IB_RENDER_TIMING_H

#include <stdbool.h>

/* From a frame of the source to the next different one. */
typedef struct ib_interval {
    double begin; /* when the frame comes */
    double seen;  /* when its last exact repetition comes; begin without one */
    double end;   /* when the next one comes, > seen */
    bool cut;     /* a new shot begins there */
} ib_interval;

/* What all intervals of a video share. */
typedef struct ib_timing {
    double frame_seconds; /* of the source, on average */
    double tick_seconds;  /* what its container counts times in */
} ib_timing;

/* Times this close are the same, for containers round them: half a tick where ticks are small, and never more
 * than a sixteenth of gap_seconds. */
double ib_timing_tolerance(const ib_timing *t, double gap_seconds);
/* When the way from one frame to the next begins: with the frame, if it is not shown for longer than is usual
 * for four of them; a picture that stands still for longer stands until the last frame's time. */
double ib_interval_leave(const ib_timing *t, const ib_interval *i);
/* Whether a time lies before the interval's end, so that it is not the next frame's own. */
bool ib_interval_holds(const ib_timing *t, const ib_interval *i, double seconds);
/* How far such a time is on the way: 0 is the frame, 1 the next one. Across a cut there is nothing between
 * the two, but the nearer one. */
double ib_interval_place(const ib_timing *t, const ib_interval *i, double seconds);

/* A rate as people write it, where 23.976 means 24000/1001 and so on: decimals that are within 0.005 of a
 * multiple of 6000/1001, and whole numbers not, become that. */
double ib_rate_meant(double fps);

#endif
