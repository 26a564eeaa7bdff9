#include <math.h>
#include <omp.h>
#include <string.h>

#include "nn/exp.h"
#include "nn/forward.h"
#include "nn/panels.h"
#include "nn/simd.h"

enum {
    QUERIES = 48, /* that one thread takes at a time */
    KEYS = 512,   /* scores of a query that it holds: with 48 queries 98 kB, which stays in its cache */
    LANES = 16,
    HELD_FLOATS = 8 << 20, /* of keys and values in panels */
};

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Images whose keys and values lie in panels at once, and the floats of a head's: keys then values. */
static size_t held_images(const ib_attend *a, size_t *key_floats, size_t *head_floats) {
    *key_floats = ib_panel_floats(a->keys, a->width);
    *head_floats = *key_floats + ib_panel_floats(a->width, a->keys);
    size_t n = HELD_FLOATS / (*head_floats * a->heads);
    return n < 1 ? 1 : least(n, a->images);
}

/* A thread's: scores, the sums of values, and largest score and sum of each query. */
static size_t thread_floats(const ib_attend *a) {
    return QUERIES * (KEYS + a->width + 2);
}

size_t ib_attend_scratch(const ib_attend *a, int threads) {
    size_t key_floats, head_floats, images = held_images(a, &key_floats, &head_floats);
    return images * a->heads * head_floats + (size_t)threads * thread_floats(a);
}

/* The transpose of k [keys,width], rows k_row apart, in panels. */
static void pack_keys(const float *k, size_t k_row, size_t keys, size_t width, float *panels) {
    enum { MOST = 256 };
    for (size_t j = 0; j < keys; j += IB_PANEL) {
        size_t have = least(IB_PANEL, keys - j);
        for (size_t i = 0; i < width; i += MOST) {
            ib_panel_pack_part(k + j * k_row + i, IB_F32, k_row, have, least(MOST, width - i),
                               panels + j * width + i * IB_PANEL);
        }
    }
}

/* Scores of one query with n more keys become exp(scale s - most); most is the largest so far. Returns what
 * earlier sums are multiplied with, and adds to *sum. */
IB_MULTIARCH
static float weigh(float *s, size_t n, float scale, float *most, float *sum) {
    size_t whole = n - n % LANES;
    float m[LANES], t[LANES] = {0}, before = *most, high = before, total = 0;
    for (size_t j = 0; j < LANES; j++) {
        m[j] = before;
    }
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            float v = s[i + j] * scale;
            m[j] = v > m[j] ? v : m[j];
        }
    }
    for (size_t i = whole; i < n; i++) {
        high = s[i] * scale > high ? s[i] * scale : high;
    }
    for (size_t j = 0; j < LANES; j++) {
        high = m[j] > high ? m[j] : high;
    }
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            float e = ib_exp1(s[i + j] * scale - high);
            s[i + j] = e;
            t[j] += e;
        }
    }
    for (size_t i = whole; i < n; i++) {
        s[i] = ib_exp1(s[i] * scale - high);
        total += s[i];
    }
    for (size_t j = 0; j < LANES; j++) {
        total += t[j];
    }
    float keep = before == -INFINITY ? 0 : ib_exp1(before - high);
    *most = high;
    *sum = *sum * keep + total;
    return keep;
}

/* n queries from `at`. */
static void attend_block(const ib_attend *a, const float *q, size_t at, size_t n, const float *keys,
                         const float *values, float *scratch, float *y) {
    float *s = scratch, *out = s + QUERIES * KEYS, *most = out + QUERIES * a->width, *sum = most + QUERIES;
    for (size_t i = 0; i < n; i++) {
        most[i] = -INFINITY;
        sum[i] = 0;
    }
    memset(out, 0, n * a->width * sizeof *out);
    size_t all = a->causal ? at + n : a->keys;
    for (size_t j = 0; j < all; j += KEYS) {
        size_t now = least(KEYS, all - j);
        ib_panel_product(q, a->q_row, keys + j * a->width, a->width * IB_PANEL, false, s, KEYS, n, now,
                         a->width);
        for (size_t i = 0; i < n; i++) {
            size_t seen = a->causal ? least(now, at + i + 1 > j ? at + i + 1 - j : 0) : now;
            float keep = seen ? weigh(s + i * KEYS, seen, a->scale, most + i, sum + i) : 1;
            memset(s + i * KEYS + seen, 0, (now - seen) * sizeof *s);
            for (size_t c = 0; c < a->width; c++) {
                out[i * a->width + c] *= keep;
            }
        }
        ib_panel_product(s, KEYS, values + j * IB_PANEL, a->keys * IB_PANEL, true, out, a->width, n, a->width,
                         now);
    }
    for (size_t i = 0; i < n; i++) {
        float share = a->gain / sum[i], *to = y + i * a->y_row;
        for (size_t c = 0; c < a->width; c++) {
            float v = out[i * a->width + c] * share;
            to[c] = a->add ? to[c] + v : v;
        }
    }
}

void ib_attend_run(const ib_attend *a, int threads, float *scratch, float *y) {
    size_t key_floats, head_floats, held = held_images(a, &key_floats, &head_floats);
    size_t blocks = (a->queries + QUERIES - 1) / QUERIES;
    float *own = scratch + held * a->heads * head_floats;
#pragma omp parallel num_threads(threads) if (threads > 1)
    for (size_t first = 0; first < a->images; first += held) {
        size_t n = least(held, a->images - first) * a->heads;
#pragma omp for schedule(static)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
            size_t token = (first + (size_t)i / a->heads) * a->keys, head = (size_t)i % a->heads * a->width;
            float *to = scratch + (size_t)i * head_floats;
            pack_keys(a->k + token * a->k_row + head, a->k_row, a->keys, a->width, to);
            ib_panel_copy(a->v + token * a->v_row + head, a->v_row, a->width, a->keys, to + key_floats);
        }
#pragma omp for schedule(dynamic, 1)
        for (ptrdiff_t i = 0; i < (ptrdiff_t)(n * blocks); i++) {
            size_t which = (size_t)i / blocks, at = (size_t)i % blocks * QUERIES;
            size_t token = (first + which / a->heads) * a->queries + at, head = which % a->heads * a->width;
            const float *held_here = scratch + which * head_floats;
            attend_block(a, a->q + token * a->q_row + head, at, least(QUERIES, a->queries - at), held_here,
                         held_here + key_floats, own + (size_t)omp_get_thread_num() * thread_floats(a),
                         y + token * a->y_row + head);
        }
    }
}
