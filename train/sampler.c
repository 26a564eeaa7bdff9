#include "train/sampler.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/safetensors.h"

static const double least_chance = 0.1, guided_part = 0.5;
enum { ATTEMPTS = 32, TOKENS_COMPARED = 128 };

struct ib_sampler {
    const ib_dataset *dataset;
    double *upto;   /* [clips] running sums of the clips' weights */
    double *guided; /* [clips] the same of those with guides; NULL: there are none */
    int gap_min, gap_max;
    uint64_t seed;
    double median;
};

/* Frames at which a window of this gap can begin. */
static size_t starts(const ib_video *c, size_t gap) {
    size_t n = 0;
    for (size_t i = 0; i < c->shots; i++) {
        n += ib_video_starts(c, i, gap);
    }
    return n;
}

static size_t longest_shot(const ib_video *c) {
    size_t longest = 0;
    for (size_t i = 0; i < c->shots; i++) {
        size_t length = c->shot[i + 1] - c->shot[i];
        longest = length > longest ? length : longest;
    }
    return longest;
}

static int sum_guided(ib_sampler *s, ib_error *err) {
    size_t n = ib_dataset_files(s->dataset);
    double sum = 0;
    if (!(s->guided = calloc(n, sizeof *s->guided))) {
        return ib_fail(err, IB_E_MEMORY, "out of memory for the choice of windows");
    }
    for (size_t i = 0; i < n; i++) {
        const ib_video *c = ib_dataset_video(s->dataset, i);
        bool has = !c->valid && !c->elsewhere && c->guides.guides;
        sum += has ? ib_video_weight(c, (size_t)c->guides.window[0].gap) : 0;
        s->guided[i] = sum;
    }
    if (sum <= 0) { /* those that have guides are other ranks' */
        free(s->guided);
        s->guided = NULL;
    }
    return IB_OK;
}

size_t ib_sampler_frames(const ib_sampler *s) {
    return s->guided ? 3 + IB_GUIDE_PICTURES : 3;
}

int ib_sampler_create(ib_sampler **out, const ib_dataset *d, int gap_min, int gap_max, uint64_t seed,
                      ib_error *err) {
    size_t n = ib_dataset_files(d), files = 0;
    double sum = 0;
    ib_sampler *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s || !(s->upto = calloc(n ? n : 1, sizeof *s->upto))) {
        free(s);
        return ib_fail(err, IB_E_MEMORY, "out of memory for the choice of windows");
    }
    s->dataset = d;
    s->gap_min = gap_min;
    s->gap_max = gap_max;
    s->seed = seed;
    for (size_t i = 0; i < n; i++) {
        const ib_video *c = ib_dataset_video(d, i);
        sum += c->valid || c->elsewhere ? 0 : ib_video_weight(c, (size_t)gap_min);
        s->upto[i] = sum;
        files += !c->valid;
    }
    if (sum <= 0) {
        ib_sampler_free(&s);
        return ib_fail(
            err, IB_E_EMPTY,
            "there is nothing to train on: none of the %zu files for training has a shot of at least %d "
            "frames, which a gap of %d needs",
            files, gap_min + 1, gap_min);
    }
    int rc = *ib_dataset_guide_model(d) ? sum_guided(s, err) : IB_OK;
    if (rc) {
        ib_sampler_free(&s);
    }
    *out = s;
    return rc;
}

void ib_sampler_free(ib_sampler **sampler) {
    if (*sampler) {
        free((*sampler)->guided);
        free((*sampler)->upto);
        free(*sampler);
        *sampler = NULL;
    }
}

double ib_sampler_share(const ib_sampler *s, size_t clip) {
    double before = clip ? s->upto[clip - 1] : 0;
    return (s->upto[clip] - before) / s->upto[ib_dataset_files(s->dataset) - 1];
}

/* upto: [clips] running sums of weights */
static size_t draw_clip(const ib_sampler *s, const double *upto, ib_rng *rng) {
    size_t low = 0, high = ib_dataset_files(s->dataset) - 1;
    double x = ib_rng_double(rng) * upto[high];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (upto[middle] > x) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static int draw_gap(ib_rng *rng, int least, int most) {
    double low = log((double)least), high = log((double)most + 1);
    int gap = (int)exp(low + ib_rng_double(rng) * (high - low));
    return gap < least ? least : gap > most ? most : gap;
}

/* Times of a window whose frames are known. */
static void place_window(const ib_video *c, ib_window *w) {
    size_t gap = (size_t)w->gap;
    double begin = c->pts[w->first], end = c->pts[w->first + gap], pts = c->pts[w->first + (size_t)w->offset];
    w->t = (float)((pts - begin) / (end - begin));
    w->gap_seconds = (float)(end - begin);
    if (!(w->gap_seconds > 0 && w->t > 0 && w->t < 1)) { /* times that do not increase */
        w->t = (float)w->offset / (float)w->gap;
        w->gap_seconds = (float)((double)w->gap / c->info.fps);
    }
}

static void guided_candidate(const ib_sampler *s, ib_rng *rng, ib_window *w) {
    w->clip = draw_clip(s, s->guided, rng);
    const ib_video *c = ib_dataset_video(s->dataset, w->clip);
    const ib_guide_table *t = &c->guides;
    const ib_guide_window *window = t->window;
    size_t gaps = 0, n = 0;
    for (size_t i = 0; i < t->windows; i++) {
        gaps += !i || t->window[i].gap != t->window[i - 1].gap;
    }
    for (size_t k = (size_t)ib_rng_below(rng, gaps) + 1; k; k--) {
        n = ib_guide_windows(t, window[n].gap, &window); /* those of the next gap */
    }
    window += ib_rng_below(rng, n);
    w->first = window->first;
    w->gap = window->gap;
    w->offset = 1 + (int)ib_rng_below(rng, (uint64_t)w->gap - 1);
    w->guide = window->at + (size_t)w->offset - 1;
    place_window(c, w);
}

void ib_sampler_candidate(const ib_sampler *s, ib_rng *rng, ib_window *w) {
    if (s->guided && ib_rng_double(rng) < guided_part) {
        guided_candidate(s, rng, w);
        return;
    }
    w->guide = IB_NO_GUIDE;
    w->clip = draw_clip(s, s->upto, rng);
    const ib_video *c = ib_dataset_video(s->dataset, w->clip);
    size_t longest = longest_shot(c);
    w->gap = draw_gap(rng, s->gap_min, longest - 1 < (size_t)s->gap_max ? (int)longest - 1 : s->gap_max);
    size_t gap = (size_t)w->gap, at = (size_t)ib_rng_below(rng, starts(c, gap));
    for (size_t i = 0; i < c->shots; i++) {
        size_t here = ib_video_starts(c, i, gap);
        if (at < here) {
            w->first = c->shot[i] + at;
            break;
        }
        at -= here;
    }
    w->offset = 1 + (int)ib_rng_below(rng, (uint64_t)w->gap - 1);
    place_window(c, w);
}

/* Mean square of the difference, over evenly spread tokens. a, b: [T,D] */
static double distance_sampler(const uint16_t *a, const uint16_t *b, size_t tokens, size_t width) {
    size_t stride = tokens > TOKENS_COMPARED ? tokens / TOKENS_COMPARED : 1, n = 0;
    double sum = 0;
    for (size_t i = 0; i < tokens; i += stride) {
        for (size_t k = 0; k < width; k += 64) {
            float x[64], y[64], part = 0;
            size_t m = width - k < 64 ? width - k : 64;
            ib_f16_to_f32(a + i * width + k, x, m);
            ib_f16_to_f32(b + i * width + k, y, m);
            for (size_t j = 0; j < m; j++) {
                part += (x[j] - y[j]) * (x[j] - y[j]);
            }
            sum += (double)part;
            n += m;
        }
    }
    return sum / (double)n;
}

static int read_keyframes(ib_dataset *d, const ib_window *w, uint16_t *h, double *apart, ib_error *err) {
    const ib_shape *s = &ib_dataset_video(d, w->clip)->info.shape;
    size_t n = s->tokens * s->width;
    int rc = ib_dataset_frame(d, w->clip, w->first, h, err);
    if (!rc) {
        rc = ib_dataset_frame(d, w->clip, w->first + (size_t)w->gap, h + n, err);
    }
    if (!rc) {
        *apart = distance_sampler(h, h + n, s->tokens, s->width);
    }
    return rc;
}

static int compare_doubles(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

int ib_sampler_calibrate(ib_sampler *s, ib_dataset *d, size_t windows, ib_error *err) {
    size_t largest = ib_dataset_values(d);
    int rc = IB_OK;
    double *apart = calloc(windows, sizeof *apart);
    uint16_t *h = ib_calloc(largest, 2 * sizeof *h);
    if (!apart || !h) {
        rc = ib_fail(err, IB_E_MEMORY, "out of memory for the choice of windows");
    }
    ib_rng rng;
    ib_rng_seed2(&rng, s->seed, UINT64_MAX);
    for (size_t i = 0; !rc && i < windows; i++) {
        ib_window w;
        ib_sampler_candidate(s, &rng, &w);
        rc = read_keyframes(d, &w, h, &apart[i], err);
    }
    if (!rc) {
        qsort(apart, windows, sizeof *apart, compare_doubles);
        s->median = apart[windows / 2];
    }
    free(apart);
    ib_free(h);
    return rc;
}

double ib_sampler_median(const ib_sampler *s) {
    return s->median;
}

int ib_sampler_draw(const ib_sampler *s, ib_dataset *d, uint64_t index, ib_window *w, uint16_t *h,
                    ib_error *err) {
    ib_rng rng;
    ib_rng_seed2(&rng, s->seed, index);
    for (int i = 0; i < ATTEMPTS; i++) {
        double apart;
        ib_sampler_candidate(s, &rng, w);
        int rc = read_keyframes(d, w, h, &apart, err);
        if (rc) {
            return rc;
        }
        if (s->median <= 0 || ib_rng_double(&rng) < fmax(apart / s->median, least_chance)) {
            break;
        }
    }
    const ib_shape *shape = &ib_dataset_video(d, w->clip)->info.shape;
    size_t n = shape->tokens * shape->width;
    int rc = ib_dataset_frame(d, w->clip, w->first + (size_t)w->offset, h + 2 * n, err);
    return rc || w->guide == IB_NO_GUIDE ? rc : ib_dataset_guide(d, w->clip, w->guide, h + 3 * n, err);
}
