#include "render/timing.h"

#include <math.h>

static const double FEW_FRAMES = 4.5, COARSE_TICK = 0.002, LEAST = 1e-6, LARGEST_PART = 1.0 / 16;

double ib_timing_tolerance(const ib_timing *t, double gap_seconds) {
    double half = t->tick_seconds <= COARSE_TICK ? t->tick_seconds * 0.5 + LEAST : LEAST;
    return fmin(half, gap_seconds * LARGEST_PART);
}

double ib_interval_leave(const ib_timing *t, const ib_interval *i) {
    bool few = i->end - i->begin <= FEW_FRAMES * t->frame_seconds;
    return few ? i->begin : fmax(i->begin, i->end - t->frame_seconds);
}

bool ib_interval_holds(const ib_timing *t, const ib_interval *i, double seconds) {
    return seconds < i->end - ib_timing_tolerance(t, i->end - i->seen);
}

double ib_interval_place(const ib_timing *t, const ib_interval *i, double seconds) {
    if (i->cut) {
        double apart = fmin(i->end - i->seen, t->frame_seconds);
        return seconds < i->end - apart / 2 ? 0 : 1;
    }
    double leave = ib_interval_leave(t, i), gap = i->end - leave;
    return seconds <= leave + ib_timing_tolerance(t, gap) ? 0 : (seconds - leave) / gap;
}

double ib_rate_meant(double fps) {
    const double base = 6000.0 / 1001;
    double nearest = round(fps / base) * base;
    bool whole = fps == floor(fps);
    return !whole && nearest > 0 && fabs(fps - nearest) < 0.005 ? nearest : fps;
}
