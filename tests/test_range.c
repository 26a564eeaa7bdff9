/* Slerp of pictures that have little in common: the patch space's stays among its sources' samples, that of
 * other spaces is slerp. */
#include "tests/check.h"
#include "tests/moving.h"

#include "adapter/adapter.h"
#include "base/rng.h"
#include "latent/geometry.h"
#include "latent/space.h"

enum { ROWS = 4, COLS = 5, TOKENS = ROWS * COLS, D = IB_PATCH_D, VALUES = TOKENS * D };

static const double tolerance = 6;
static const size_t begin[4] = {0, 64, 80, D};
static const float places[] = {0.01f, 0.125f, 0.3f, 0.5f, 0.75f, 0.9f, 0.999f};
enum { PLACES = sizeof places / sizeof *places };

/* Blocks [TOKENS,D] of samples, Y, U, V. */
typedef struct picture {
    float sample[VALUES], z[VALUES];
} picture;

static void encode(picture *p) {
    for (size_t k = 0; k < TOKENS; k++) {
        ib_patch_forward(p->sample + k * D, 1, 1, p->z + k * D);
    }
}

/* y, u, v: 8 bits */
static void paint(picture *p, size_t token, double y, double u, double v) {
    for (size_t i = 0; i < D; i++) {
        p->sample[token * D + i] = (float)(i < 64 ? (y - 16) / 219 : ((i < 80 ? u : v) - 128) / 224);
    }
}

static void paint_all(picture *p, const double c[3]) {
    for (size_t k = 0; k < TOKENS; k++) {
        paint(p, k, c[0], c[1], c[2]);
    }
    encode(p);
}

/* Samples are uniform between these, in 8 bits. */
static void scatter(picture *p, size_t token, ib_rng *r, const double low[3], const double high[3]) {
    for (size_t i = 0; i < D; i++) {
        int k = i < 64 ? 0 : i < 80 ? 1 : 2;
        double x = floor(low[k] + (high[k] - low[k]) * (double)ib_rng_float(r) + 0.5);
        p->sample[token * D + i] = (float)(k ? (x - 128) / 224 : (x - 16) / 219);
    }
}

/* How far the blocks of z are out of the range of a's and b's, the most of all, in steps of 8 bits.
 * own: each sample out of the range of its own two, else out of that of its plane in both blocks. */
static double excess(const picture *a, const picture *b, const float *z, bool own) {
    double most = -1e9;
    float x[D];
    for (size_t k = 0; k < TOKENS; k++) {
        const float *u = a->sample + k * D, *v = b->sample + k * D;
        ib_patch_inverse(z + k * D, 1, 1, x);
        for (int p = 0; p < 3; p++) {
            double low = 1e9, high = -1e9;
            for (size_t i = begin[p]; i < begin[p + 1]; i++) {
                low = fmin(low, fmin(u[i], v[i]));
                high = fmax(high, fmax(u[i], v[i]));
            }
            for (size_t i = begin[p]; i < begin[p + 1]; i++) {
                double l = own ? fmin(u[i], v[i]) : low, h = own ? fmax(u[i], v[i]) : high;
                most = fmax(most, fmax(x[i] - h, l - x[i]) * (p ? 224 : 219));
            }
        }
    }
    return most;
}

static const ib_geometry *patch(void) {
    return ib_geometry_of(MOVING_SPACE);
}

/* The worst at all places, of ours and of plain slerp. */
static void worst(const picture *a, const picture *b, bool own, double *ours, double *plain) {
    static float z[VALUES];
    for (int i = 0; i < PLACES; i++) {
        ib_slerp_in(patch(), a->z, b->z, places[i], TOKENS, D, z);
        *ours = fmax(*ours, excess(a, b, z, own));
        ib_slerp(a->z, b->z, places[i], TOKENS, D, z);
        *plain = fmax(*plain, excess(a, b, z, own));
    }
}

static const double colours[][3] = {
    {16, 128, 128},  {17, 128, 128}, {16, 118, 140}, {20, 100, 100}, {235, 128, 128},
    {235, 120, 130}, {81, 90, 240},  {145, 54, 34},  {41, 240, 110}, {126, 128, 128},
    {16, 129, 127},  {16, 16, 16},   {210, 16, 146}, {16, 240, 240}, {16, 16, 240},
};
enum { COLOURS = sizeof colours / sizeof *colours };

/* Whole pictures of one colour, and single tokens of one within pictures that are alike otherwise:
 * there slerp is not left as a whole. */
static void test_constant(void) {
    static picture a, b;
    static const double grey[3] = {235, 128, 128};
    double whole[2] = {-1e9, -1e9}, single[2] = {-1e9, -1e9};
    for (int i = 0; i < COLOURS; i++) {
        for (int j = 0; j < COLOURS; j++) {
            paint_all(&a, colours[i]);
            paint_all(&b, colours[j]);
            worst(&a, &b, true, &whole[0], &whole[1]);
            paint_all(&a, grey);
            paint_all(&b, grey);
            paint(&a, 7, colours[i][0], colours[i][1], colours[i][2]);
            paint(&b, 7, colours[j][0], colours[j][1], colours[j][2]);
            encode(&a);
            encode(&b);
            worst(&a, &b, true, &single[0], &single[1]);
        }
    }
    printf("one colour to another: out of range by %.2f steps, by plain slerp %.1f; at most %g\n", whole[0],
           whole[1], tolerance);
    printf("single tokens: by %.3f steps, by plain slerp %.1f\n", single[0], single[1]);
    CHECK(whole[0] <= tolerance + 0.01 && whole[1] > 30);
    CHECK(single[0] <= tolerance + 0.01 && single[1] > 30);
    CHECK(single[0] > tolerance - 0.5); /* no more is taken than has to be */
}

/* Two pictures of noise: in whole they are unlike, and then each sample is between its own two. Single
 * tokens of noise stay within their blocks' range. */
static void test_random(void) {
    static const double full[2][3] = {{0, 0, 0}, {255, 255, 255}},
                        dark[2][3] = {{16, 124, 124}, {24, 132, 132}},
                        bright[2][3] = {{180, 100, 100}, {235, 150, 150}},
                        black[2][3] = {{16, 120, 120}, {17, 136, 136}};
    static const double(*const kinds[])[3] = {full, dark, bright, black};
    static picture a, b;
    static const double grey[3] = {235, 128, 128};
    double whole[2] = {-1e9, -1e9}, single[2] = {-1e9, -1e9};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        ib_rng r;
        ib_rng_seed(&r, seed);
        for (int i = 0; i < 16; i++) {
            const double(*from)[3] = kinds[i / 4], (*to)[3] = kinds[i % 4];
            for (size_t k = 0; k < TOKENS; k++) {
                scatter(&a, k, &r, from[0], from[1]);
                scatter(&b, k, &r, to[0], to[1]);
            }
            encode(&a);
            encode(&b);
            worst(&a, &b, !(from == bright && to == bright), &whole[0], &whole[1]);
            paint_all(&a, grey);
            paint_all(&b, grey);
            scatter(&a, 12, &r, from[0], from[1]);
            scatter(&b, 12, &r, to[0], to[1]);
            encode(&a);
            encode(&b);
            worst(&a, &b, false, &single[0], &single[1]);
        }
    }
    printf("noise to noise: out of range by %.2f steps, by plain slerp %.1f; at most %g\n", whole[0],
           whole[1], tolerance);
    printf("single tokens: by %.3f steps, by plain slerp %.1f\n", single[0], single[1]);
    CHECK(whole[0] <= tolerance + 0.01 && whole[1] > 30);
    CHECK(single[0] <= tolerance + 0.01 && single[1] > 30);
}

/* The known case: a dark token, all chroma, that turns bright. The others are alike and keep slerp's bits. */
static void test_known(void) {
    static picture a, b;
    static float ours[VALUES], plain[VALUES], even[VALUES];
    ib_rng r;
    float x[D];
    ib_rng_seed(&r, 4);
    for (size_t k = 0; k < TOKENS; k++) {
        static const double low[3] = {120, 118, 118}, high[3] = {140, 138, 138};
        scatter(&a, k, &r, low, high);
        scatter(&b, k, &r, low, high);
    }
    paint(&a, 3, 17, 122, 120); /* almost black, a little green */
    paint(&b, 3, 220, 128, 128);
    encode(&a);
    encode(&b);
    ib_slerp(a.z, b.z, 0.5f, TOKENS, D, plain);
    ib_lerp(a.z, b.z, 0.5f, VALUES, even);
    ib_slerp_in(patch(), a.z, b.z, 0.5f, TOKENS, D, ours);
    for (size_t k = 0; k < TOKENS; k++) {
        CHECK((memcmp(ours + k * D, plain + k * D, D * sizeof *ours) == 0) == (k != 3));
    }
    ib_patch_inverse(plain + 3 * D, 1, 1, x);
    double by_slerp = 128 + 224 * (double)x[80];
    ib_patch_inverse(ours + 3 * D, 1, 1, x);
    double by_us = 128 + 224 * (double)x[80];
    printf("V from 120 to 128: half-way plain slerp has %.1f, we have %.2f\n", by_slerp, by_us);
    CHECK(by_slerp < 90);
    CHECK_NEAR(by_us, 120 - tolerance, 0.01); /* just to the border: the least of V less the tolerance */
    double part = 0, whole = 0, off = 0;
    for (size_t i = 3 * D; i < 4 * D; i++) {
        double d = plain[i] - even[i];
        part += d * (ours[i] - even[i]);
        whole += d * d;
    }
    part /= whole;
    for (size_t i = 3 * D; i < 4 * D; i++) {
        off = fmax(off, fabs(ours[i] - (even[i] + part * (plain[i] - even[i]))));
    }
    printf("%.3f of the way from lerp to slerp, off it by %.2g\n", part, off);
    CHECK(part > 0 && part < 0.5 && off < 1e-5);
}

/* Unlike pictures are cross-faded to the bit, like ones are not; between the two there is no jump. */
static void test_unlike(void) {
    static picture a, b;
    static float z[VALUES], even[VALUES], plain[VALUES], before[VALUES];
    ib_rng r;
    ib_rng_seed(&r, 9);
    static const double low[3] = {60, 118, 118}, high[3] = {120, 138, 138};
    for (size_t k = 0; k < TOKENS; k++) {
        scatter(&a, k, &r, low, high);
    }
    encode(&a);
    double most = 0;
    int lerps = 0, slerps = 0;
    for (int i = 0; i <= 400; i++) { /* b moves away from a */
        double far = 0.005 * i, apart = 0, both = 0;
        ib_rng_seed(&r, 10);
        for (size_t k = 0; k < VALUES; k++) {
            b.z[k] = a.z[k] + (float)far * 0.4f * (ib_rng_float(&r) - 0.5f);
            apart += (a.z[k] - b.z[k]) * (double)(a.z[k] - b.z[k]);
            both += a.z[k] * (double)a.z[k] + b.z[k] * (double)b.z[k];
        }
        ib_slerp_in(patch(), a.z, b.z, 0.4f, TOKENS, D, z);
        ib_slerp(a.z, b.z, 0.4f, TOKENS, D, plain);
        ib_lerp(a.z, b.z, 0.4f, VALUES, even);
        bool is_lerp = !memcmp(z, even, sizeof z);
        double unlike = apart / both;
        lerps += is_lerp && i;
        slerps += i && !memcmp(z, plain, sizeof z);
        if (unlike > 0.181) {
            CHECK(is_lerp);
        } else if (i && unlike < 0.17) {
            CHECK(!is_lerp);
        }
        for (size_t k = 0; i && k < VALUES; k++) {
            most = fmax(most, fabs((double)z[k] - before[k]));
        }
        memcpy(before, z, sizeof z);
    }
    printf("%d times slerp's bits, %d times lerp's of 400; the largest step %.3g\n", slerps, lerps, most);
    CHECK(slerps > 20 && lerps > 20);
    CHECK(most < 0.01); /* b itself moves by up to 0.001 */
}

static void test_ends(void) {
    static picture a, b;
    static float z[VALUES], back[VALUES], place[2 * VALUES];
    static const double low[2][3] = {{100, 110, 110}, {96, 108, 108}},
                        high[2][3] = {{200, 150, 150}, {190, 146, 146}};
    double most = 0;
    int changed = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ib_rng r;
        ib_rng_seed(&r, seed);
        for (size_t k = 0; k < TOKENS; k++) {
            scatter(&a, k, &r, low[0], high[0]);
            scatter(&b, k, &r, low[1], high[1]);
        }
        if (seed % 2) { /* one turns */
            paint(&a, seed % TOKENS, 17, 100, 150);
        }
        if (seed % 3 == 0) {
            memset(b.sample + 11 * D, 0, D * sizeof *b.sample);
        }
        encode(&a);
        encode(&b);
        if (seed % 5 == 0) { /* opposed to the bit */
            for (size_t i = 5 * D; i < 6 * D; i++) {
                b.z[i] = -a.z[i];
            }
        }
        ib_slerp_in(patch(), a.z, b.z, 0, TOKENS, D, z);
        CHECK(!memcmp(z, a.z, sizeof z));
        ib_slerp_in(patch(), a.z, b.z, 1, TOKENS, D, z);
        CHECK(!memcmp(z, b.z, sizeof z));
        for (int i = 0; i < PLACES; i++) {
            float t = places[i];
            ib_slerp_in(patch(), a.z, b.z, t, TOKENS, D, z);
            ib_slerp(a.z, b.z, t, TOKENS, D, back);
            changed += memcmp(z, back, sizeof z) != 0;
            if (seed % 5) { /* the half turn between opposed tokens has no mirror image */
                ib_slerp_in(patch(), b.z, a.z, 1 - t, TOKENS, D, back);
                for (size_t k = 0; k < VALUES; k++) {
                    CHECK(isfinite(z[k]));
                    most = fmax(most, fabs((double)z[k] - back[k]));
                }
            }
            CHECK(excess(&a, &b, z, false) <= tolerance + 0.01 || seed % 5 == 0);
            /* out may be either */
            memcpy(place, a.z, sizeof z);
            ib_slerp_in(patch(), place, b.z, t, TOKENS, D, place);
            CHECK(!memcmp(place, z, sizeof z));
            memcpy(place, b.z, sizeof z);
            ib_slerp_in(patch(), a.z, place, t, TOKENS, D, place);
            CHECK(!memcmp(place, z, sizeof z));
        }
    }
    printf("turned round it differs by %.2g; %d of %d held back\n", most, changed, 20 * PLACES);
    CHECK(most < 1e-5);
    CHECK(changed > 20);
}

/* Any other space, and patch latents of another version or width. */
static void test_others(void) {
    static picture a, b;
    static float z[VALUES], plain[VALUES];
    static const double black[3] = {16, 120, 130}, white[3] = {235, 128, 128};
    static const char *const ids[] = {"patch", "patch:dct8+4:v2", "clip:abc", "vectors:test", ""};
    paint_all(&a, black);
    paint_all(&b, white);
    ib_slerp(a.z, b.z, 0.3f, TOKENS, D, plain);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const ib_geometry *g = ib_geometry_of(ids[i]);
        CHECK(!strcmp(ib_geometry_id(g), "slerp"));
        ib_slerp_in(g, a.z, b.z, 0.3f, TOKENS, D, z);
        CHECK(!memcmp(z, plain, sizeof z));
    }
    CHECK(!strcmp(ib_geometry_id(patch()), "slerp:range1"));
    ib_slerp_in(patch(), a.z, b.z, 0.3f, TOKENS, D, z);
    CHECK(memcmp(z, plain, sizeof z) != 0);
    ib_slerp(a.z, b.z, 0.3f, 2 * TOKENS, D / 2, plain); /* what a stranger's file may say of itself */
    ib_slerp_in(patch(), a.z, b.z, 0.3f, 2 * TOKENS, D / 2, z);
    CHECK(!memcmp(z, plain, sizeof z));
    ib_space *s = NULL;
    ib_error err;
    CHECK_OK(ib_space_open(&s, "patch", &err), &err);
    CHECK(s && ib_geometry_of(ib_space_id(s)) == patch());
    ib_space_close(&s);
}

/* Ordinary video: few tokens are touched. */
static void test_moving(void) {
    static const moving m = {14, 24, 9, 1.5, 3, NULL, false, "m.mp4", NULL};
    size_t tokens = 14 * 24, n = tokens * D, touched = 0;
    float *p = ib_calloc(n, 4), *a = ib_calloc(n, 4), *b = ib_calloc(n, 4), *z = ib_calloc(n, 4),
          *plain = ib_calloc(n, 4);
    moving_planes(&m, 0, p);
    ib_patch_forward(p, 14, 24, a);
    moving_planes(&m, 8, p);
    ib_patch_forward(p, 14, 24, b);
    for (int k = 1; k < 8; k++) {
        ib_slerp_in(patch(), a, b, (float)k / 8, tokens, D, z);
        ib_slerp(a, b, (float)k / 8, tokens, D, plain);
        for (size_t i = 0; i < tokens; i++) {
            touched += memcmp(z + i * D, plain + i * D, D * sizeof *z) != 0;
        }
    }
    printf("of a moving scene, 8 frames apart, %zu of %zu tokens are held back\n", touched, 7 * tokens);
    CHECK(touched < 7 * tokens / 25);
    ib_free(p);
    ib_free(a);
    ib_free(b);
    ib_free(z);
    ib_free(plain);
}

/* The model builds on the same: without a motion head an untrained one is what the baseline is. */
static void test_model(void) {
    static picture a, b;
    static float z[VALUES], want[VALUES];
    static const double low[3] = {120, 118, 118}, high[3] = {140, 138, 138};
    ib_adapter_config c;
    ib_adapter *m = NULL;
    ib_adapter_work *w = NULL;
    ib_error err;
    ib_rng r;
    ib_shape shape = {IB_LAYOUT_GRID, ROWS, COLS, TOKENS, D};
    ib_rng_seed(&r, 4);
    for (size_t k = 0; k < TOKENS; k++) {
        scatter(&a, k, &r, low, high);
        scatter(&b, k, &r, low, high);
    }
    paint(&a, 3, 17, 122, 120);
    encode(&a);
    encode(&b);
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, D, &c, &err), &err);
    c.motion = false;
    CHECK_OK(ib_adapter_create(&m, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, m, &shape, 1, false, &err), &err);
    ib_between in = {a.z, b.z, 0.5f, 0.3f};
    CHECK_OK(ib_adapter_predict(m, w, &in, 1, z, &err), &err);
    ib_slerp_in(patch(), a.z, b.z, 0.5f, TOKENS, D, want);
    double most = 0;
    for (size_t k = 0; k < VALUES; k++) {
        most = fmax(most, fabs((double)z[k] - want[k]));
    }
    printf("the untrained model is off it by %.2g\n", most);
    CHECK(most < 1e-5);
    ib_adapter_work_free(&w);
    ib_adapter_free(&m);
}

/* An adapter's file says what it was trained on; files from before do not, others are refused. */
static void test_file(void) {
    char folder[] = "/tmp/ib-range-XXXXXX", path[64], other[64];
    ib_adapter_config c;
    ib_adapter *m = NULL;
    ib_error err;
    ib_st *f = NULL;
    ib_st_meta meta[32];
    ib_st_tensor *t;
    size_t n = 0, at = 0;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(other, sizeof other, "%s/b.safetensors", folder);
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&m, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_save(m, path, NULL, 0, &err), &err);
    ib_adapter_free(&m);
    CHECK_OK(ib_st_open(&f, path, &err), &err);
    const char *said = ib_st_metadata(f, "inbetween.geometry");
    CHECK(said && !strcmp(said, "slerp:range1"));
    for (; n < ib_st_metadata_count(f) && n < 32; n++) {
        ib_st_metadata_at(f, n, &meta[n].key, &meta[n].value);
        at = strcmp(meta[n].key, "inbetween.geometry") ? at : n;
    }
    t = ib_calloc(ib_st_count(f), sizeof *t);
    for (size_t i = 0; i < ib_st_count(f); i++) {
        t[i] = *ib_st_at(f, i);
    }
    meta[at].value = "slerp:range9";
    CHECK_OK(ib_st_write(other, t, ib_st_count(f), meta, n, &err), &err);
    CHECK_ERROR(ib_adapter_open(&m, other, &err), &err, IB_E_UNSUPPORTED,
                "b.safetensors: of the geometry 'slerp:range9'");
    meta[at] = meta[--n];
    CHECK_OK(ib_st_write(other, t, ib_st_count(f), meta, n, &err), &err);
    CHECK_ERROR(ib_adapter_open(&m, other, &err), &err, IB_E_FORMAT, "inbetween.geometry");
    ib_free(t);
    ib_st_close(&f);
    unlink(path);
    unlink(other);
    rmdir(folder);
}

int main(void) {
    RUN(test_constant());
    RUN(test_random());
    RUN(test_known());
    RUN(test_unlike());
    RUN(test_ends());
    RUN(test_others());
    RUN(test_moving());
    RUN(test_model());
    RUN(test_file());
    return check_report("range");
}
