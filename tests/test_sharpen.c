/* Sharpening beside its formula, written down plainly, and what it promises. */
#include "adapter/private.h"
#include "base/memory.h"
#include "base/rng.h"
#include "latent/patch_plane.h"
#include "tests/check.h"

enum { OCTAVES = 2 };

static size_t clamp(long i, size_t n) {
    return i < 0 ? 0 : i < (long)n ? (size_t)i : n - 1;
}

/* The binomial of five samples `step` apart, both ways. */
static double *smooth(const double *x, size_t h, size_t w, long step) {
    static const double tap[5] = {1, 4, 6, 4, 1};
    double *out = ib_calloc(h * w, sizeof *out);
    for (size_t i = 0; i < h * w; i++) {
        for (long a = 0; a < 5; a++) {
            for (long b = 0; b < 5; b++) {
                out[i] += tap[a] * tap[b] / 256 *
                          x[clamp((long)(i / w) + step * (a - 2), h) * w +
                            clamp((long)(i % w) + step * (b - 2), w)];
            }
        }
    }
    return out;
}

/* detail: [OCTAVES,h,w] */
static void split(const float *x, size_t h, size_t w, double *detail) {
    size_t n = h * w;
    double *p = ib_calloc(n, sizeof *p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (double)x[i];
    }
    double *low = smooth(p, h, w, 1), *lower = smooth(low, h, w, 2);
    for (size_t i = 0; i < n; i++) {
        detail[i] = p[i] - low[i];
        detail[n + i] = low[i] - lower[i];
    }
    ib_free(p);
    ib_free(low);
    ib_free(lower);
}

/* Of one octave: root mean squares of the blocks and their neighbours. out: [rows,cols] */
static void contrast(const double *detail, size_t h, size_t w, size_t rows, size_t cols, double *out) {
    double *sum = ib_calloc(rows * cols, sizeof *sum), *count = ib_calloc(rows * cols, sizeof *count);
    for (size_t i = 0; i < h * w; i++) {
        size_t b = (2 * (i / w) + 1) * rows / (2 * h) * cols + (2 * (i % w) + 1) * cols / (2 * w);
        sum[b] += detail[i] * detail[i];
        count[b]++;
    }
    for (size_t b = 0; b < rows * cols; b++) {
        out[b] = sum[b] / count[b];
    }
    for (int round = 0; round < 2; round++) {
        memcpy(sum, out, rows * cols * sizeof *sum);
        for (size_t b = 0; b < rows * cols; b++) {
            out[b] = 0;
            for (long k = 0; k < 9; k++) {
                long dy = k / 3 - 1, dx = k % 3 - 1;
                out[b] += (2 - labs(dy)) * (2 - labs(dx)) / 16.0 *
                          sum[clamp((long)(b / cols) + dy, rows) * cols + clamp((long)(b % cols) + dx, cols)];
            }
        }
    }
    for (size_t b = 0; b < rows * cols; b++) {
        out[b] = sqrt(out[b]);
    }
    ib_free(sum);
    ib_free(count);
}

static float *texture(ib_rng *r, size_t n, double range) {
    float *x = ib_calloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(0.5 + range * ((double)ib_rng_float(r) - 0.5));
    }
    return x;
}

/* A picture between two keyframes that rest. */
typedef struct scene {
    size_t h, w;
    ib_canvas canvas;
    float *key[2], *picture, *fields, *scratch, *out;
    ib_sharpening s;
} scene;

static void open_scene(scene *v, size_t h, size_t w, float mask, float t, float sharpness) {
    ib_rng r;
    *v = (scene){.h = h, .w = w, .canvas = {h, w, 2 * ((h + 7) / 8), 2 * ((w + 7) / 8)}};
    size_t cells = v->canvas.rows * v->canvas.cols;
    ib_rng_seed(&r, 100 * h + w);
    v->key[0] = texture(&r, h * w, 0.5);
    v->key[1] = texture(&r, h * w, 0.3);
    v->picture = texture(&r, h * w, 0.2);
    v->fields = ib_calloc(IB_FIELDS * cells, sizeof *v->fields);
    for (size_t i = 0; i < cells; i++) {
        v->fields[4 * cells + i] = mask;
    }
    v->scratch = ib_calloc(ib_sharpen_floats(h, w, 3), sizeof *v->scratch);
    v->out = ib_calloc(h * w, sizeof *v->out);
    v->s = (ib_sharpening){&v->canvas, v->fields, t, sharpness, {{.plane = v->key[0]}, {.plane = v->key[1]}},
                           v->picture};
}

static void close_scene(scene *v) {
    ib_free(v->key[0]);
    ib_free(v->key[1]);
    ib_free(v->picture);
    ib_free(v->fields);
    ib_free(v->scratch);
    ib_free(v->out);
}

static double bilinear(const double *map, size_t rows, size_t cols, size_t h, size_t w, size_t i) {
    double y = ((double)(i / w) + 0.5) * (double)rows / (double)h - 0.5,
           x = ((double)(i % w) + 0.5) * (double)cols / (double)w - 0.5, sum = 0;
    long r = (long)floor(y), c = (long)floor(x);
    for (long k = 0; k < 4; k++) {
        double wy = k / 2 ? y - (double)r : 1 - y + (double)r, wx = k % 2 ? x - (double)c : 1 - x + (double)c;
        sum += wy * wx * map[clamp(r + k / 2, rows) * cols + clamp(c + k % 2, cols)];
    }
    return sum;
}

static void test_formula(size_t h, size_t w) {
    const double mask = 0.4, t = 0.3, sharpness = 0.7;
    scene v;
    open_scene(&v, h, w, (float)mask, (float)t, (float)sharpness);
    size_t n = h * w, rows = (h + 7) / 8, cols = (w + 7) / 8;
    double *detail[3], *map[3], share = 1 / (1 + exp(-mask) * t / (1 - t)), worst = 0, moved = 0;
    const float *const of[3] = {v.key[0], v.key[1], v.picture};
    double *want = ib_calloc(n, sizeof *want);
    for (int k = 0; k < 3; k++) {
        detail[k] = ib_calloc(OCTAVES * n, sizeof *detail[k]);
        map[k] = ib_calloc(rows * cols, sizeof *map[k]);
        split(of[k], h, w, detail[k]);
    }
    for (size_t octave = 0; octave < OCTAVES; octave++) {
        for (int k = 0; k < 3; k++) {
            contrast(detail[k] + octave * n, h, w, rows, cols, map[k]);
        }
        for (size_t b = 0; b < rows * cols; b++) {
            double g = (share * map[0][b] + (1 - share) * map[1][b]) /
                       sqrt(map[2][b] * map[2][b] + 1.0 / (219 * 219));
            map[2][b] = sharpness * (fmin(fmax(g, 1), 3) - 1);
        }
        for (size_t i = 0; i < n; i++) {
            want[i] += bilinear(map[2], rows, cols, h, w, i) * detail[2][octave * n + i];
        }
    }
    ib_sharpen(&v.s, 1, v.scratch, v.out);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)v.out[i] - (double)v.picture[i] - want[i]));
        moved = fmax(moved, fabs(want[i]));
    }
    CHECK(n < 4 || moved > 0.01);
    CHECK_NEAR(worst, 0, 1e-5);
    for (int k = 0; k < 3; k++) {
        ib_free(detail[k]);
        ib_free(map[k]);
    }
    ib_free(want);
    close_scene(&v);
}

/* A picture with the keyframes' contrast or more stays as it is; threads change nothing. */
static void test_promises(void) {
    scene v;
    open_scene(&v, 150, 90, 0, 0.5f, 1);
    float *other = ib_calloc(v.h * v.w, sizeof *other);
    ib_sharpen(&v.s, 1, v.scratch, v.out);
    ib_sharpen(&v.s, 3, v.scratch, other);
    CHECK(!memcmp(other, v.out, v.h * v.w * sizeof *other));
    CHECK(memcmp(v.picture, v.out, v.h * v.w * sizeof *other));
    v.s.picture = v.key[0]; /* the key of more contrast */
    ib_sharpen(&v.s, 2, v.scratch, v.out);
    CHECK(!memcmp(v.key[0], v.out, v.h * v.w * sizeof *other));
    ib_free(other);
    close_scene(&v);
}

/* Contrast is that of the place which the flow comes from. */
static void test_flow(void) {
    scene v;
    open_scene(&v, 128, 256, 0, 0.5f, 1);
    size_t cells = v.canvas.rows * v.canvas.cols;
    double change[2][2] = {{0}};
    for (size_t i = 0; i < v.h * v.w;
         i++) { /* detail at the left in one keyframe, at the right in the other */
        bool left = i % v.w < v.w / 2;
        v.key[0][i] = left ? v.key[0][i] : 0.5f;
        v.key[1][i] = left ? 0.5f : v.key[1][i];
    }
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < 4 * cells; i++) {
            v.fields[i] = i / cells % 2 ? 0
                          : k           ? 256.0f
                                        : -256.0f; /* everything comes from the right, then the left */
        }
        for (size_t i = 0; i < cells; i++) { /* the second keyframe's place is the other one's */
            v.fields[2 * cells + i] = v.fields[i];
        }
        ib_sharpen(&v.s, 1, v.scratch, v.out);
        for (size_t i = 0; i < v.h * v.w; i++) {
            change[k][i % v.w < v.w / 2] += fabs((double)v.out[i] - (double)v.picture[i]);
        }
    }
    /* first keyframe sampled at x + 128, second at x - 128: no detail anywhere but at the edge between */
    CHECK(change[0][0] + change[0][1] < 0.2 * (change[1][0] + change[1][1]));
    close_scene(&v);
}

int main(void) {
    RUN(test_formula(64, 96));
    RUN(test_formula(37, 131));
    RUN(test_formula(100, 9));
    RUN(test_formula(7, 5));
    RUN(test_formula(1, 70));
    RUN(test_formula(1, 1));
    RUN(test_promises());
    RUN(test_flow());
    return check_report("test_sharpen");
}
