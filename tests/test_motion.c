/* What is known of motion before anything is learnt: matching, flow, projection, overlapping patches. */
#include "motion/flow.h"
#include "motion/motion.h"
#include "motion/overlap.h"
#include "motion/project.h"
#include "base/memory.h"
#include "base/rng.h"
#include "tests/check.h"
#include "tests/waves.h"

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float median(const float *v, size_t n, float *sorted) {
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *v, by_size);
    return sorted[n / 2];
}

/* Planted motions are found, and turn round with time. */
static void test_match(void) {
    enum { ROWS = 12, COLS = 16, TOKENS = ROWS * COLS, N = 96 * TOKENS, FLOWS = 2 * TOKENS };
    static const float motion[][2] = {{10, -6}, {-14, 9}, {30, 2}};
    float *p0 = ib_calloc(N, 4), *p1 = ib_calloc(N, 4), *scratch = ib_calloc(ib_match_scratch(ROWS, COLS), 4);
    float *flows = ib_calloc(FLOWS, 4), *back = ib_calloc(FLOWS, 4), *gate = ib_calloc(4 * TOKENS, 4),
          *features = ib_calloc(TOKENS * IB_MATCH_FEATURES, 4), *sorted = ib_calloc(TOKENS, 4);
    for (size_t k = 0; k < sizeof motion / sizeof *motion; k++) {
        waves(p0, ROWS, COLS, 0, motion[k][0], motion[k][1], 5 + k, 0.15f);
        waves(p1, ROWS, COLS, 1, motion[k][0], motion[k][1], 5 + k, 0.15f);
        for (size_t i = 0; i < N; i++) {
            p0[i] *= 4;
            p1[i] *= 4;
        }
        ib_match(p0, p1, ROWS, COLS, 0.375f, scratch, flows, gate, features);
        for (size_t f = 0; f < 2; f++) {
            CHECK_NEAR(median(flows + f * TOKENS, TOKENS, sorted), motion[k][f], 4);
        }
        ib_match(p1, p0, ROWS, COLS, 0.625f, scratch, back, gate, features);
        for (size_t i = 0; i < FLOWS; i++) {
            back[i] += flows[i];
        }
        float most = 0;
        for (size_t i = 0; i < FLOWS; i++) {
            most = fmaxf(most, fabsf(back[i]));
        }
        CHECK_NEAR(most, 0, 0.02);
    }
    float *all[] = {p0, p1, scratch, flows, back, gate, features, sorted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

typedef struct pair {
    size_t height, width;
    float *own, *other, *forward, *backward, *scratch;
} pair;

static pair make_pair(size_t height, size_t width) {
    size_t n = height * width;
    return (pair){height,
                  width,
                  ib_calloc(n, 4),
                  ib_calloc(n, 4),
                  ib_calloc(2 * n, 4),
                  ib_calloc(2 * n, 4),
                  ib_calloc(ib_flow_scratch(height, width), 4)};
}

static void free_pair(pair *p) {
    float *all[] = {p->own, p->other, p->forward, p->backward, p->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

/* A texture of twelve waves, longer than patches can take for one another; gain and offset of light at
 * time 1. */
static float texture(float x, float y) {
    float v = 0.5f;
    for (int k = 0; k < 12; k++) {
        float turn = 2.4f * (float)k, f = 0.08f + 0.03f * (float)k;
        v += 0.04f * sinf(f * (cosf(turn) * x + sinf(turn) * y) + (float)(k * k));
    }
    return v;
}

/* Seen from its own pixels, (x,y) of the first picture lies at (x,y) + motion + growth * ((x,y) - middle) in
 * the second. */
static void plant(pair *p, float dx, float dy, float growth, float offset) {
    float mx = 0.5f * (float)p->width, my = 0.5f * (float)p->height;
    for (size_t y = 0; y < p->height; y++) {
        for (size_t x = 0; x < p->width; x++) {
            size_t i = y * p->width + x;
            p->own[i] = texture((float)x, (float)y);
            p->other[i] = offset + texture(mx + ((float)x - dx - mx) / (1 + growth),
                                           my + ((float)y - dy - my) / (1 + growth));
        }
    }
}

/* Mean length of forward's error where what moves stays in the picture. */
static double mean_error(const pair *p, float dx, float dy, float growth) {
    double sum = 0, count = 0;
    float mx = 0.5f * (float)p->width, my = 0.5f * (float)p->height;
    for (size_t y = 0; y < p->height; y++) {
        for (size_t x = 0; x < p->width; x++) {
            size_t i = y * p->width + x;
            float u = dx + growth * ((float)x - mx), v = dy + growth * ((float)y - my);
            float px = (float)x + u, py = (float)y + v;
            if (px >= 0 && py >= 0 && px < (float)p->width && py < (float)p->height) {
                sum += hypotf(p->forward[i] - u, p->forward[p->height * p->width + i] - v);
                count++;
            }
        }
    }
    return sum / count;
}

static void test_flow(void) {
    static const struct {
        size_t height, width;
        float dx, dy, growth, offset;
        double most; /* px */
    } planted[] = {{112, 192, 0, 0, 0, 0, 1e-6},    {112, 192, 3.25f, -1.5f, 0, 0, 0.1},
                   {112, 192, -17, 11, 0, 0, 0.3},  {112, 192, 2, 1, 0.1f, 0, 0.3},
                   {112, 192, 6, 2, 0, 0.2f, 0.2},  {40, 64, 4, -3, 0, 0, 0.3},
                   {200, 72, -5, 8, -0.05f, 0, 0.2}};
    for (size_t k = 0; k < sizeof planted / sizeof *planted; k++) {
        pair p = make_pair(planted[k].height, planted[k].width);
        size_t bytes = 2 * p.height * p.width * sizeof(float);
        plant(&p, planted[k].dx, planted[k].dy, planted[k].growth, planted[k].offset);
        ib_flow(p.own, p.other, p.height, p.width, NULL, p.scratch, p.forward, p.backward);
        CHECK_NEAR(mean_error(&p, planted[k].dx, planted[k].dy, planted[k].growth), 0, planted[k].most);
        float *there = ib_calloc(1, bytes), *back = ib_calloc(1, bytes);
        ib_flow(p.other, p.own, p.height, p.width, NULL, p.scratch, there, back);
        CHECK_INT(memcmp(there, p.backward, bytes), 0);
        CHECK_INT(memcmp(back, p.forward, bytes), 0);
        ib_free(there);
        ib_free(back);
        free_pair(&p);
    }
    /* pictures without texture and of the least sizes have some finite flow */
    static const size_t sizes[][2] = {{8, 8}, {8, 320}, {16, 8}, {24, 40}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        pair p = make_pair(sizes[k][0], sizes[k][1]);
        for (int noise = 0; noise < 3; noise++) {
            ib_rng r;
            ib_rng_seed(&r, 3);
            for (size_t i = 0; noise && i < p.height * p.width; i++) {
                p.own[i] = 1e3f * ib_rng_normal(&r);
                p.other[i] = 1e3f * ib_rng_normal(&r);
            }
            if (noise == 2) { /* a damaged picture gives no flow, but nothing outside is read */
                p.own[p.width + 3] = NAN;
            }
            ib_flow(p.own, p.other, p.height, p.width, NULL, p.scratch, p.forward, p.backward);
            float most = 0;
            for (size_t i = 0; noise < 2 && i < 2 * p.height * p.width; i++) {
                most = fmaxf(most, fabsf(p.forward[i]));
                CHECK(isfinite(p.forward[i]));
            }
            CHECK(noise || most == 0);
        }
        free_pair(&p);
    }
}

/* A square of 24 px moves by 16 over a ground that stands still: at s the cells have its motion where it is
 * then, and the ground that it has left is not covered. */
static void test_project(void) {
    enum { ROWS = 8, COLS = 12, H = 8 * ROWS, W = 8 * COLS, SIDE = 24, LEFT = 24, TOP = 16, MOTION = 16 };
    enum { CELLS = IB_CELLS * IB_CELLS * ROWS * COLS, CW = IB_CELLS * COLS };
    pair p = make_pair(H, W);
    float *scratch = ib_calloc(ib_project_scratch(ROWS, COLS), 4), *v = ib_calloc(2 * CELLS, 4),
          *cover = ib_calloc(CELLS, 4), *misfit = ib_calloc(CELLS, 4);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            int inside = y >= TOP && y < TOP + SIDE;
            p.own[y * W + x] = inside && x >= LEFT && x < LEFT + SIDE ? 0.9f : 0.2f;
            p.other[y * W + x] = inside && x >= LEFT + MOTION && x < LEFT + MOTION + SIDE ? 0.9f : 0.2f;
            p.forward[y * W + x] = inside && x >= LEFT && x < LEFT + SIDE ? MOTION : 0;
        }
    }
    ib_project(p.own, p.other, p.forward, ROWS, COLS, 0.5f, scratch, v, cover, misfit);
    for (int r = 1; r + 1 < IB_CELLS * ROWS; r++) {
        for (int c = 1; c + 1 < CW; c++) {
            int x = 4 * c, y = 4 * r, i = r * CW + c;
            int from = LEFT + MOTION / 2;
            int row = y > TOP && y + 4 < TOP + SIDE;
            if (row && x > from && x + 4 < from + SIDE) {
                CHECK_NEAR(v[i], MOTION, 0.1);
            } else if (y + 8 < TOP || y > TOP + SIDE + 4 || x + 8 < LEFT || x > from + SIDE + 4) {
                CHECK_NEAR(v[i], 0, 0.1);
                CHECK_NEAR(cover[i], 1, 1e-4);
                CHECK(x < LEFT + MOTION + SIDE + 4 ||
                      misfit[i] < 1e-4f); /* what the square covers later fits nothing */
            } else if (row && x > LEFT && x + 4 < from) {
                CHECK(cover[i] < 0.3f);
            }
            CHECK_NEAR(v[CELLS + i], 0, 1e-6);
        }
    }
    /* everything leaves the picture: still finite */
    for (int i = 0; i < H * W; i++) {
        p.forward[i] = 1e6f;
    }
    ib_project(p.own, p.other, p.forward, ROWS, COLS, 1.0f, scratch, v, cover, misfit);
    for (int i = 0; i < CELLS; i++) {
        CHECK(v[i] == 0 && cover[i] == 0 && misfit[i] == 0);
    }
    float *all[] = {scratch, v, cover, misfit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
    free_pair(&p);
}

/* Patches follow the flow that fits, whichever it is; both keyframes then show the in-between, and the
 * windows add up to 1 up to the edges. Exchanging the keyframes exchanges the pictures. */
static void test_overlap(void) {
    enum { ROWS = 6, COLS = 9, W = 8 * COLS, N = 96 * ROWS * COLS, CELLS = 4 * ROWS * COLS, FIELDS = 2 };
    static const float v[] = {7, -5}, t = 0.3f;
    ib_canvas canvas = ib_canvas_of(ROWS, COLS);
    size_t room = ib_canvas_spline_floats(&canvas);
    float *p0 = ib_calloc(N, 4), *p1 = ib_calloc(N, 4), *truth = ib_calloc(N, 4),
          *flows = ib_calloc(2 * FIELDS * CELLS, 4), *spline0 = ib_calloc(room, 4),
          *spline1 = ib_calloc(room, 4), *a = ib_calloc(N, 4), *b = ib_calloc(N, 4), *c = ib_calloc(N, 4),
          *d = ib_calloc(N, 4), *flow = ib_calloc(2 * CELLS, 4),
          *scratch = ib_calloc(ib_overlap_scratch(ROWS, COLS, FIELDS), 4);
    waves(p0, ROWS, COLS, 0, v[0], v[1], 5, 0.5f);
    waves(p1, ROWS, COLS, 1, v[0], v[1], 5, 0.5f);
    waves(truth, ROWS, COLS, t, v[0], v[1], 5, 0.5f);
    ib_canvas_spline(&canvas, p0, spline0);
    ib_canvas_spline(&canvas, p1, spline1);
    for (size_t i = 0; i < CELLS; i++) { /* the first knows nothing; the second all */
        flows[2 * CELLS + i] = v[0];
        flows[3 * CELLS + i] = v[1];
    }
    ib_overlap(p0, p1, spline0, spline1, flows, FIELDS, ROWS, COLS, t, 3, scratch, a, b, flow);
    for (size_t i = 0; i < CELLS; i++) { /* at the edges half of a patch has left the picture */
        size_t y = i / (IB_CELLS * COLS), x = i % (IB_CELLS * COLS);
        if (y >= 4 && y + 4 < IB_CELLS * ROWS && x >= 4 && x + 4 < IB_CELLS * COLS) {
            CHECK_NEAR(flow[i], v[0], 0.02);
            CHECK_NEAR(flow[CELLS + i], v[1], 0.02);
        }
    }
    for (size_t y = 16; y < 8 * ROWS - 16; y++) {
        for (size_t x = 16; x < W - 16; x++) {
            CHECK_NEAR(a[y * W + x], truth[y * W + x], 3e-3);
            CHECK_NEAR(b[y * W + x], truth[y * W + x], 3e-3);
        }
    }
    for (size_t i = 0; i < 2 * FIELDS * CELLS; i++) {
        flows[i] = -flows[i];
    }
    ib_overlap(p1, p0, spline1, spline0, flows, FIELDS, ROWS, COLS, 1 - t, 3, scratch, c, d, flow);
    float most = 0;
    for (size_t i = 0; i < N; i++) {
        most = fmaxf(most, fmaxf(fabsf(a[i] - d[i]), fabsf(b[i] - c[i])));
    }
    CHECK_NEAR(most, 0, 1e-4);
    /* an even picture stays what it is, along flows that are no numbers too */
    for (size_t i = 0; i < N; i++) {
        p0[i] = 0.5f;
    }
    ib_canvas_spline(&canvas, p0, spline0);
    flows[0] = NAN;
    flows[CELLS + 7] = INFINITY;
    ib_overlap(p0, p0, spline0, spline0, flows, FIELDS, ROWS, COLS, t, 3, scratch, a, b, flow);
    for (size_t i = 0; i < N; i++) {
        CHECK_NEAR(a[i], 0.5, 1e-5);
        CHECK_NEAR(b[i], 0.5, 1e-5);
    }
    float *all[] = {p0, p1, truth, flows, spline0, spline1, a, b, c, d, flow, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

/* A picture of any size in bands of rows is the whole one to the bit, and fields of nothing give the mean. */
static void test_bands(size_t height, size_t width) {
    enum { ROWS = 6, COLS = 8, CELLS = ROWS * COLS };
    ib_canvas c = {height, width, ROWS, COLS};
    size_t n = ib_canvas_floats(&c), room = ib_canvas_spline_floats(&c),
           scratch = ib_blend_scratch(&c, height);
    float *p[2], *spline[2], *whole = ib_calloc(n, 4), *band = ib_calloc(n, 4), *tmp = ib_calloc(scratch, 4),
                             *fields = ib_calloc(IB_FIELDS * CELLS, 4);
    ib_rng r;
    ib_rng_seed(&r, 9);
    for (int k = 0; k < 2; k++) {
        p[k] = ib_calloc(n, 4);
        spline[k] = ib_calloc(room, 4);
        for (size_t i = 0; i < n; i++) {
            p[k][i] = ib_rng_float(&r);
        }
        ib_canvas_spline(&c, p[k], spline[k]);
    }
    size_t rows_of[2], cols_of[2];
    for (int k = 0; k < 2; k++) {
        ib_canvas_plane(&c, k, &rows_of[k], &cols_of[k]);
    }
    ib_blend(&c, spline[0], spline[1], fields, 0.25f, 0, height, tmp, whole);
    for (size_t i = 0; i < height * cols_of[0]; i++) {
        CHECK_NEAR(whole[i], 0.75 * p[0][i] + 0.25 * p[1][i], 1e-5);
    }
    for (size_t i = 0; i < IB_FIELDS * CELLS; i++) {
        fields[i] = 5 * ib_rng_normal(&r);
    }
    ib_blend(&c, spline[0], spline[1], fields, 0.25f, 0, height, tmp, whole);
    size_t chroma = (height + 1) / 2,
           at[] = {0, height * cols_of[0], height * cols_of[0] + chroma * cols_of[1]};
    for (size_t y = 0; y < height; y += 4) {
        size_t m = height - y < 4 ? height - y : 4, mc = (m + 1) / 2;
        ib_blend(&c, spline[0], spline[1], fields, 0.25f, y, m, tmp, band);
        CHECK_INT(memcmp(band, whole + at[0] + y * cols_of[0], m * cols_of[0] * 4), 0);
        for (size_t k = 0; k < 2; k++) {
            CHECK_INT(memcmp(band + m * cols_of[0] + k * mc * cols_of[1],
                             whole + at[1 + k] + y / 2 * cols_of[1], mc * cols_of[1] * 4),
                      0);
        }
    }
    float *all[] = {p[0], p[1], spline[0], spline[1], whole, band, tmp, fields};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ib_free(all[i]);
    }
}

/* What IB_MOTION_ID stands for: mean and RMS of every feature, and of the hypotheses, for a planted picture.
 * If these values change, the id must change too: adapters of the old id are wrong with the new estimate. */
static void test_estimate(void) {
    enum { ROWS = 6, COLS = 9, TOKENS = ROWS * COLS, N = 96 * TOKENS, F = IB_MOTION_FEATURES };
    static const double known[F + IB_HYPOTHESES][2] = {
#include "tests/motion_known.inc"
    };
    ib_error err;
    ib_motion m;
    float *seen = ib_calloc(TOKENS * F, 4);
    CHECK_OK(ib_motion_create(&m, ROWS, COLS, &err), &err);
    waves(m.planes0, ROWS, COLS, 0, 6, -3, 5, 0.5f);
    waves(m.planes1, ROWS, COLS, 1, 6, -3, 5, 0.5f);
    ib_motion_estimate(&m, 0.3f, seen);
    for (size_t f = 0; f < F + IB_HYPOTHESES; f++) {
        size_t n = f < F ? TOKENS : N, step = f < F ? F : 1;
        const float *v = f < F ? seen + f : m.hypothesis + (f - F) * N;
        double sum = 0, square = 0;
        for (size_t i = 0; i < n; i++) {
            sum += v[i * step];
            square += (double)v[i * step] * v[i * step];
        }
        double mean = sum / (double)n, rms = sqrt(square / (double)n);
        if (getenv("PRINT_MOTION_KNOWN")) {
            printf("{%.5f, %.5f},\n", mean, rms);
        }
        CHECK_NEAR(mean, known[f][0], 1e-3 * (1 + known[f][1]));
        CHECK_NEAR(rms, known[f][1], 1e-3 * (1 + known[f][1]));
    }
    ib_motion_free(&m);
    ib_free(seen);
}

int main(void) {
    RUN(test_match());
    RUN(test_flow());
    RUN(test_project());
    RUN(test_overlap());
    RUN(test_bands(61, 43));
    RUN(test_bands(3, 1));
    RUN(test_estimate());
    return check_report("test_motion");
}
