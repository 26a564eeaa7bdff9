#include "video_io/cuts.h"

#include <stdlib.h>

/* A frame is boiled down to a grid of luma; its 8x8 blocks look for themselves in the grid of the frame
 * before. What then is left over, against the contrast that the blocks hold, is the surprise. On real clips
 * cuts gave 0.85 and more; the fastest pans and the largest objects that pass 0.46. */
enum { COLS = 64, ROWS = 36, BLOCK = 8, REACH_X = 10, REACH_Y = 7, HISTORY = 9 };
static const float CUT = 0.65f, AGAINST_USUAL = 1.8f, CONTRAST_FLOOR = 4;

typedef struct grid {
    uint8_t y[ROWS][COLS];
} grid;

struct ib_cuts {
    grid last;
    int64_t seen;
    float recent[HISTORY]; /* surprises, a ring */
};

int ib_cuts_create(ib_cuts **out, ib_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? 0 : ib_fail(err, IB_E_MEMORY, "out of memory for the cut detector");
}

void ib_cuts_free(ib_cuts **c) {
    free(*c);
    *c = NULL;
}

static void boil_down(const ib_frame *f, grid *g) {
    for (int j = 0; j < ROWS; j++) {
        int y0 = j * f->height / ROWS, y1 = (j + 1) * f->height / ROWS;
        y1 = y1 > y0 ? y1 : y0 + 1;
        for (int i = 0; i < COLS; i++) {
            int x0 = i * f->width / COLS, x1 = (i + 1) * f->width / COLS;
            x1 = x1 > x0 ? x1 : x0 + 1;
            uint64_t sum = 0;
            for (int y = y0; y < y1; y++) {
                const uint8_t *row = f->plane[0] + (size_t)y * f->stride[0];
                for (int x = x0; x < x1; x++) {
                    sum += row[x];
                }
            }
            uint64_t n = (uint64_t)(y1 - y0) * (uint64_t)(x1 - x0);
            g->y[j][i] = (uint8_t)((sum + n / 2) / n);
        }
    }
}

static int difference_cuts(const grid *a, int ax, int ay, const grid *b, int bx, int by) {
    int sum = 0;
    for (int y = 0; y < BLOCK; y++) {
        for (int x = 0; x < BLOCK; x++) {
            sum += abs(a->y[ay + y][ax + x] - b->y[by + y][bx + x]);
        }
    }
    return sum;
}

/* Mean absolute deviation from the block's mean, summed over the block. */
static int contrast(const grid *g, int bx, int by) {
    int mean = 0, sum = 0;
    for (int y = 0; y < BLOCK; y++) {
        for (int x = 0; x < BLOCK; x++) {
            mean += g->y[by + y][bx + x];
        }
    }
    mean = (mean + BLOCK * BLOCK / 2) / (BLOCK * BLOCK);
    for (int y = 0; y < BLOCK; y++) {
        for (int x = 0; x < BLOCK; x++) {
            sum += abs(g->y[by + y][bx + x] - mean);
        }
    }
    return sum;
}

static int best_match(const grid *before, const grid *now, int bx, int by) {
    int best = difference_cuts(now, bx, by, before, bx, by);
    for (int y = by - REACH_Y; y <= by + REACH_Y; y++) {
        for (int x = bx - REACH_X; x <= bx + REACH_X; x++) {
            if (x >= 0 && y >= 0 && x + BLOCK <= COLS && y + BLOCK <= ROWS) {
                int d = difference_cuts(now, bx, by, before, x, y);
                best = d < best ? d : best;
            }
        }
    }
    return best;
}

/* Motion is searched only where standing still leaves enough to explain. */
static float surprise(const grid *before, const grid *now) {
    int64_t still = 0, left = 0, held = 0, n = 0;
    for (int by = 0; by + BLOCK <= ROWS; by += BLOCK) {
        for (int bx = 0; bx + BLOCK <= COLS; bx += BLOCK, n += BLOCK * BLOCK) {
            still += difference_cuts(now, bx, by, before, bx, by);
            held += contrast(now, bx, by);
        }
    }
    float scale = (float)held + CONTRAST_FLOOR * (float)n;
    if ((float)still < 0.3f * scale) {
        return (float)still / scale;
    }
    for (int by = 0; by + BLOCK <= ROWS; by += BLOCK) {
        for (int bx = 0; bx + BLOCK <= COLS; bx += BLOCK) {
            left += best_match(before, now, bx, by);
        }
    }
    return (float)left / scale;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Median of the last changes: a clip that is wild throughout (few frames a second, say) has no cuts in that
 * alone. */
static float usual(const ib_cuts *c) {
    float sorted[HISTORY] = {0};
    int64_t n = c->seen - 1 < HISTORY ? c->seen - 1 : HISTORY;
    for (int64_t i = 0; i < n; i++) {
        sorted[i] = c->recent[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n > 0 ? sorted[(n - 1) / 2] : 0;
}

int ib_cuts_push(ib_cuts *c, const ib_frame *frame, ib_error *err) {
    grid now;
    if (!frame->plane[0] || frame->width < 1 || frame->height < 1) {
        return ib_fail(err, IB_E_ARGUMENT, "the cut detector was given an empty frame");
    }
    boil_down(frame, &now);
    int cut = 1;
    if (c->seen > 0) {
        float s = surprise(&c->last, &now);
        cut = s > CUT && s > AGAINST_USUAL * usual(c);
        c->recent[(c->seen - 1) % HISTORY] = s;
    }
    c->seen++;
    c->last = now;
    return cut;
}
