/* The latent room: geometry, the patch space, latent files. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "latent/geometry.h"
#include "latent/latent_file.h"
#include "latent/patch.h"
#include "latent/space.h"
#include "tests/check.h"

static char dir[256];

static const char *in_dir(const char *name) {
    static char path[4][512];
    static int turn;
    char *p = path[turn++ & 3];
    snprintf(p, 512, "%s/%s", dir, name);
    return p;
}

/* Slerp by its formula in long double, the angle by atan2 of the orthogonal part. */
static void slerp_oracle(const float *u, const float *v, float t, size_t n, long double *out) {
    long double nu = 0, nv = 0, dot = 0, cross = 0;
    for (size_t i = 0; i < n; i++) {
        nu += (long double)u[i] * u[i];
        nv += (long double)v[i] * v[i];
    }
    nu = sqrtl(nu);
    nv = sqrtl(nv);
    for (size_t i = 0; i < n; i++) {
        dot += (u[i] / nu) * (v[i] / nv);
    }
    for (size_t i = 0; i < n; i++) {
        long double c = v[i] / nv - dot * (u[i] / nu);
        cross += c * c;
    }
    long double w = atan2l(sqrtl(cross), dot), s = 1 - (long double)t;
    long double scale = (s * nu + t * nv) / sinl(w);
    for (size_t i = 0; i < n; i++) {
        out[i] = scale * (sinl(s * w) * u[i] / nu + sinl(t * w) * v[i] / nv);
    }
}

static double norm_of(const float *u, size_t n) {
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)u[i] * u[i];
    }
    return sqrt(s);
}

static void test_slerp_against_formula(void) {
    enum { N = 771 };
    float u[N], v[N], out[N];
    long double want[N];
    int tested = 0;
    ib_rng r;
    ib_rng_seed(&r, 3);
    static const size_t widths[] = {2, 3, 8, 13, 96, 768, 771};
    for (int k = 0; k < 400; k++) {
        size_t n = widths[k % 7];
        float mixing = k % 3 == 0 ? 0.001f : 1, scale = k % 5 == 0 ? 1e-10f : 3;
        for (size_t i = 0; i < n; i++) {
            u[i] = ib_rng_normal(&r);
            v[i] = scale * (u[i] * (k % 2 ? -1.0f : 1.0f) * (1 - mixing) + mixing * ib_rng_normal(&r));
        }
        float t = ib_rng_float(&r) * 0.98f + 0.01f;
        double w = ib_angle(u, v, n), steep = 1 / sin(w); /* by which rounding of the inputs grows */
        if (w < 2e-4 || acos(-1) - w < 2e-4) {
            continue; /* other rules there: test_slerp_special */
        }
        tested++;
        slerp_oracle(u, v, t, n, want);
        ib_slerp(u, v, t, 1, n, out);
        double nu = norm_of(u, n), nv = norm_of(v, n), size = (1 - t) * nu + t * nv, worst = 0;
        for (size_t i = 0; i < n; i++) {
            worst = fmax(worst, fabs((double)(out[i] - want[i])));
        }
        CHECK_NEAR(worst / size, 0, 2e-6);
        CHECK_NEAR(norm_of(out, n) / size, 1, 1e-6);
        CHECK_NEAR(ib_angle(u, out, n), t * w, 1e-6);
        CHECK_NEAR(ib_angle(out, v, n), (1 - t) * w, 1e-6);
        float back[N];
        ib_slerp(v, u, 1 - t, 1, n, back);
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR(back[i] / size, out[i] / size, 1e-6 + 1e-6 * steep);
        }
    }
    CHECK(tested > 350);
}

/* The common mistake, acos per element without the sum, gives norms of 1.26 to 1.41 here. */
static void test_slerp_midpoint_norm(void) {
    float u[4] = {1, 0, 0, 0}, v[4] = {0, 1, 0, 0}, out[4];
    ib_slerp(u, v, 0.5f, 1, 4, out);
    CHECK_NEAR(out[0], sqrt(0.5), 1e-7);
    CHECK_NEAR(out[1], sqrt(0.5), 1e-7);
    CHECK_NEAR(out[2], 0, 0);
    float big[4] = {0, 3, 0, 0};
    ib_slerp(u, big, 0.5f, 1, 4, out);
    CHECK_NEAR(norm_of(out, 4), 2, 1e-6); /* the norm is linear by itself */
    CHECK_NEAR(ib_angle(u, out, 4), atan2(1, 0) / 2, 1e-7);
}

static void test_slerp_special(void) {
    enum { N = 96 };
    float u[N], v[N], out[N], zero[N] = {0};
    ib_rng r;
    ib_rng_seed(&r, 9);
    for (int i = 0; i < N; i++) {
        u[i] = ib_rng_normal(&r);
    }
    /* ends: the keyframes' own bits, negative zero included */
    u[5] = -0.0f;
    memcpy(v, u, sizeof v);
    v[3] += 1;
    ib_slerp(u, v, 0, 1, N, out);
    CHECK(!memcmp(out, u, sizeof u));
    ib_slerp(u, v, 1, 1, N, out);
    CHECK(!memcmp(out, v, sizeof v));
    ib_lerp(u, v, 0, N, out);
    CHECK(!memcmp(out, u, sizeof u));
    ib_lerp(u, v, 1, N, out);
    CHECK(!memcmp(out, v, sizeof v));
    /* equal and near-parallel tokens */
    ib_slerp(u, u, 0.3f, 1, N, out);
    for (int i = 0; i < N; i++) {
        CHECK_NEAR(out[i], u[i], 1e-6);
    }
    for (int i = 0; i < N; i++) {
        v[i] = 2 * u[i] * (1 + 1e-6f * (float)(i % 3));
    }
    ib_slerp(u, v, 0.25f, 1, N, out);
    for (int i = 0; i < N; i++) {
        CHECK_NEAR(out[i], 1.25 * u[i], 1e-5);
    }
    /* no jump where the near-parallel rule begins */
    for (int k = 0; k < 2; k++) {
        float a[2] = {1, 0}, b[2] = {1, k ? 0.99e-4f : 1.01e-4f}, o[2];
        ib_slerp(a, b, 0.5f, 1, 2, o);
        CHECK_NEAR(o[1], b[1] / 2, 1e-9);
        CHECK_NEAR(o[0], 1, 1e-8);
    }
    /* zero tokens */
    ib_slerp(u, zero, 0.25f, 1, N, out);
    for (int i = 0; i < N; i++) {
        CHECK_NEAR(out[i], 0.75 * u[i], 1e-6);
    }
    ib_slerp(zero, zero, 0.5f, 1, N, out);
    for (int i = 0; i < N; i++) {
        CHECK(out[i] == 0);
    }
    CHECK_NEAR(ib_angle(u, zero, N), 0, 0);
    /* antipodal: finite, of the interpolated norm, through the axis on which u is smallest (here 5) */
    for (int i = 0; i < N; i++) {
        v[i] = -2 * u[i];
    }
    for (int k = 1; k < 8; k++) {
        float t = (float)k / 8;
        ib_slerp(u, v, t, 1, N, out);
        CHECK_NEAR(norm_of(out, N) / norm_of(u, N), 1 + t, 1e-6);
        CHECK_NEAR(ib_angle(u, out, N), t * acos(-1), 1e-6);
    }
    ib_slerp(u, v, 0.5f, 1, N, out);
    CHECK_NEAR(out[5] / norm_of(out, N), 1, 1e-6);
    CHECK_NEAR(ib_angle(u, v, N), acos(-1), 1e-7);
    /* aliasing, and several tokens at once equal one by one */
    float z0[3 * N], z1[3 * N], a[3 * N], b[3 * N];
    for (int i = 0; i < 3 * N; i++) {
        z0[i] = ib_rng_normal(&r);
        z1[i] = i < N ? -z0[i] : ib_rng_normal(&r);
    }
    ib_slerp(z0, z1, 0.4f, 3, N, a);
    for (int i = 0; i < 3; i++) {
        ib_slerp(z0 + i * N, z1 + i * N, 0.4f, 1, N, b + i * N);
    }
    CHECK(!memcmp(a, b, sizeof a));
    memcpy(b, z0, sizeof b);
    ib_slerp(b, z1, 0.4f, 3, N, b);
    CHECK(!memcmp(a, b, sizeof a));
    memcpy(b, z1, sizeof b);
    ib_slerp(z0, b, 0.4f, 3, N, b);
    CHECK(!memcmp(a, b, sizeof a));
    /* tiny angles: acos of a rounded dot would give 0 or 4e-4 */
    float p[2] = {1, 0}, q[2] = {1, 1e-5f};
    CHECK_NEAR(ib_angle(p, q, 2), 1e-5, 1e-11);
}

/* The transform by its definition, one coefficient at a time. */
static double dct_oracle(const float *plane, size_t stride, int n, int ky, int kx) {
    double s = 0, pi = acos(-1);
    for (int y = 0; y < n; y++) {
        for (int x = 0; x < n; x++) {
            s += plane[(size_t)y * stride + (size_t)x] * cos((2 * y + 1) * ky * pi / (2 * n)) *
                 cos((2 * x + 1) * kx * pi / (2 * n));
        }
    }
    return s * (2.0 / n) * (ky ? 1 : sqrt(0.5)) * (kx ? 1 : sqrt(0.5));
}

static void test_dct(void) {
    int rows = 3, cols = 5;
    size_t n = ib_patch_pixels(rows, cols), blocks = 15;
    float *p = ib_calloc(n, 4), *z = ib_calloc(n, 4), *q = ib_calloc(n, 4);
    ib_rng r;
    ib_rng_seed(&r, 4);
    CHECK_INT(n, 96 * 15);
    for (size_t i = 0; i < n; i++) {
        p[i] = ib_rng_normal(&r);
    }
    ib_patch_forward(p, rows, cols, z);
    for (int b = 0; b < 15; b++) {
        for (int k = 0; k < 96; k++) {
            const float *plane = p + (k < 64 ? 0 : k < 80 ? 64 * blocks : 80 * blocks);
            int side = k < 64 ? 8 : 4, i = k < 64 ? k : (k - 64) % 16;
            size_t stride = (size_t)(side * cols);
            plane += (size_t)(b / cols * side) * stride + (size_t)(b % cols * side);
            CHECK_NEAR(z[96 * b + k], dct_oracle(plane, stride, side, i / side, i % side), 3e-6);
        }
    }
    ib_patch_inverse(z, rows, cols, q);
    double e = 0, energy_p = 0, energy_z = 0, dot = 0, dot_t = 0;
    for (size_t i = 0; i < n; i++) {
        e = fmax(e, fabs(p[i] - q[i]));
        energy_p += (double)p[i] * p[i];
        energy_z += (double)z[i] * z[i];
    }
    CHECK_NEAR(e, 0, 2e-6);
    CHECK_NEAR(energy_z / energy_p, 1, 1e-6);
    /* adjoint = inverse: <F p, y> = <p, F' y> */
    float *y = ib_calloc(n, 4);
    for (size_t i = 0; i < n; i++) {
        y[i] = ib_rng_normal(&r);
    }
    ib_patch_inverse(y, rows, cols, q);
    for (size_t i = 0; i < n; i++) {
        dot += (double)z[i] * y[i];
        dot_t += (double)p[i] * q[i];
    }
    CHECK_NEAR(dot, dot_t, 1e-4);
    /* basis vectors come out alone: the matrix is orthonormal element by element */
    memset(z, 0, n * 4);
    for (int k = 0; k < 96; k++) {
        memset(z, 0, 96 * 4);
        z[k] = 1;
        ib_patch_inverse(z, 1, 1, q);
        ib_patch_forward(q, 1, 1, y);
        for (int i = 0; i < 96; i++) {
            CHECK_NEAR(y[i], i == k, 1e-6);
        }
    }
    ib_free(p);
    ib_free(z);
    ib_free(q);
    ib_free(y);
}

/* A frame without the video room: one block, rows of `width`. */
typedef struct own_frame {
    ib_frame f;
    uint8_t *bytes;
} own_frame;

static own_frame make_frame(int w, int h) {
    own_frame o = {.f = {.width = w, .height = h, .matrix = IB_MATRIX_BT709}};
    size_t y = (size_t)w * (size_t)h, c = (size_t)((w + 1) / 2) * (size_t)((h + 1) / 2);
    o.bytes = calloc(y + 2 * c, 1);
    o.f.plane[0] = o.bytes;
    o.f.plane[1] = o.bytes + y;
    o.f.plane[2] = o.bytes + y + c;
    o.f.stride[0] = (size_t)w;
    o.f.stride[1] = o.f.stride[2] = (size_t)((w + 1) / 2);
    return o;
}

static size_t frame_bytes(const own_frame *o) {
    return (size_t)o->f.width * (size_t)o->f.height +
           2 * (size_t)((o->f.width + 1) / 2) * (size_t)((o->f.height + 1) / 2);
}

static void fill(own_frame *o, int kind, ib_rng *r) {
    size_t n = frame_bytes(o), w = (size_t)o->f.width;
    for (size_t i = 0; i < n; i++) {
        size_t x = i % w, y = i / w;
        uint8_t ramp = (uint8_t)(x * 3 + y * 5), noise = (uint8_t)ib_rng_u64(r);
        uint8_t checks = (x + y) & 1 ? 255 : 0, stripes = x & 1 ? 235 : 16;
        const uint8_t all[] = {noise, ramp, checks, stripes, 0, 255, 16, (uint8_t)(noise & 1 ? 255 : 0)};
        o->bytes[i] = all[kind];
    }
}

static void test_patch_space(void) {
    ib_error err = {0};
    ib_space *s = NULL;
    ib_rng r;
    ib_rng_seed(&r, 5);
    CHECK_ERROR(ib_space_open(&s, "clop", &err), &err, IB_E_ARGUMENT, "patch");
    CHECK_ERROR(ib_space_open(&s, "", &err), &err, IB_E_ARGUMENT, "patch");
    CHECK_ERROR(ib_space_open(&s, "patch:dct16", &err), &err, IB_E_ARGUMENT, "dct16");
    CHECK(!s);
    CHECK_OK(ib_space_open(&s, "patch", &err), &err);
    if (!s) {
        return;
    }
    ib_space *again = NULL;
    CHECK_OK(ib_space_open(&again, ib_space_id(s), &err), &err); /* the id opens the space again */
    CHECK(again && !strcmp(ib_space_id(s), ib_space_id(again)));
    ib_space_close(&again);
    ib_space_close(&again);
    CHECK(ib_space_decodes(s));
    ib_shape shape;
    CHECK_ERROR(ib_space_shape(s, 0, 16, &shape, &err), &err, IB_E_ARGUMENT, "0 x 16");
    static const int sizes[][2] = {{192, 112}, {112, 192}, {16, 16}, {17, 31},
                                   {8, 8},     {1, 1},     {35, 50}, {2, 3}};
    for (int k = 0; k < 8; k++) {
        own_frame a = make_frame(sizes[k][0], sizes[k][1]), b = make_frame(sizes[k][0], sizes[k][1]);
        CHECK_OK(ib_space_shape(s, a.f.width, a.f.height, &shape, &err), &err);
        CHECK_INT(shape.rows, (sizes[k][1] + 7) / 8);
        CHECK_INT(shape.cols, (sizes[k][0] + 7) / 8);
        CHECK(shape.layout == IB_LAYOUT_GRID && shape.width == 96 &&
              shape.tokens == (size_t)(shape.rows * shape.cols));
        size_t n = shape.tokens * 96;
        float *z = ib_calloc(n, 4);
        uint16_t *h = ib_calloc(n, 2);
        for (int kind = 0; kind < 8; kind++) {
            fill(&a, kind, &r);
            CHECK_OK(ib_space_encode(s, &a.f, z, &err), &err);
            CHECK_OK(ib_space_decode(s, z, &b.f, &err), &err);
            CHECK(!memcmp(a.bytes, b.bytes, frame_bytes(&a))); /* exact */
            ib_f32_to_f16(z, h, n);
            ib_f16_to_f32(h, z, n);
            CHECK_OK(ib_space_decode(s, z, &b.f, &err), &err);
            int worst = 0;
            for (size_t i = 0; i < frame_bytes(&a); i++) {
                int d = abs(a.bytes[i] - b.bytes[i]);
                worst = d > worst ? d : worst;
            }
            CHECK_INT(worst, 0); /* exact through half storage too */
        }
        ib_free(z);
        ib_free(h);
        free(a.bytes);
        free(b.bytes);
    }
    /* black is the origin; values outside the range are clipped, NaN does not trap */
    own_frame a = make_frame(8, 8);
    float z[96];
    memset(a.bytes, 128, 96);
    memset(a.bytes, 16, 64);
    CHECK_OK(ib_space_encode(s, &a.f, z, &err), &err);
    for (int i = 0; i < 96; i++) {
        CHECK(z[i] == 0);
    }
    z[0] = 1e30f;
    z[64] = -1e30f;
    z[80] = NAN;
    CHECK_OK(ib_space_decode(s, z, &a.f, &err), &err);
    CHECK_INT(a.bytes[0], 255);
    CHECK_INT(a.bytes[64], 0);
    free(a.bytes);
    ib_space_close(&s);
}

static ib_latent_info info_for(int rows, int cols, int width) {
    ib_latent_info i = {.space_id = "patch:dct8+4:v1", .fps = 29.97, .every = 2, .matrix = 1, .fit = 0};
    i.shape = (ib_shape){IB_LAYOUT_GRID, rows, cols, (size_t)(rows * cols), (size_t)width};
    i.frame_width = cols * 8;
    i.frame_height = rows * 8;
    i.source_bytes = 12345;
    i.source_mtime_ns = 1700000000123456789;
    snprintf(i.source, sizeof i.source, "na\xc3\xafve clip.mp4");
    snprintf(i.source_sha256, sizeof i.source_sha256, "%064d", 7);
    return i;
}

static double value_at(size_t frame, size_t i) {
    return (double)((frame * 7919 + i * 31) % 4096) / 512 - 4; /* exact in half */
}

static int write_file(const char *path, size_t frames, ib_error *err) {
    ib_latent_info info = info_for(3, 4, 96);
    ib_latent_writer *w = NULL;
    float z[12 * 96];
    int rc = ib_latent_writer_create(&w, path, &info, err);
    for (size_t f = 0; !rc && f < frames; f++) {
        for (size_t i = 0; i < 12 * 96; i++) {
            z[i] = (float)value_at(f, i);
        }
        rc = ib_latent_writer_append(w, z, (double)f * 0.04, f % 50 == 30, err);
    }
    if (rc) {
        ib_latent_writer_abort(&w);
        return rc;
    }
    return ib_latent_writer_finish(&w, err);
}

static void test_round_trip(void) {
    ib_error err = {0};
    ib_latent_file *f = NULL;
    static const size_t lengths[] = {1, 2, 63, 64, 65, 200};
    for (int k = 0; k < 6; k++) {
        size_t n = lengths[k];
        CHECK_OK(write_file(in_dir("a.h5"), n, &err), &err);
        CHECK_OK(ib_latent_open(&f, in_dir("a.h5"), &err), &err);
        if (!f) {
            return;
        }
        const ib_latent_info *i = ib_latent_info_of(f);
        ib_latent_info want = info_for(3, 4, 96);
        CHECK_INT(i->frames, n);
        CHECK(!strcmp(i->space_id, want.space_id) && !strcmp(i->source, want.source));
        CHECK(!strcmp(i->source_sha256, want.source_sha256));
        CHECK(i->shape.rows == 3 && i->shape.cols == 4 && i->shape.tokens == 12 && i->shape.width == 96);
        CHECK(i->fps == 29.97 && i->every == 2 && i->matrix == 1 && i->frame_width == 32 &&
              i->frame_height == 24);
        CHECK(i->source_bytes == 12345 && i->source_mtime_ns == 1700000000123456789);
        float *z = ib_calloc(n * 12 * 96, 4);
        CHECK_OK(ib_latent_read(f, 0, n, z, &err), &err);
        double worst = 0;
        for (size_t a = 0; a < n; a++) {
            for (size_t b = 0; b < 12 * 96; b++) {
                worst = fmax(worst, fabs(z[a * 12 * 96 + b] - value_at(a, b)));
            }
            CHECK_NEAR(ib_latent_pts(f)[a], (double)a * 0.04, 0);
            CHECK_INT(ib_latent_cuts(f)[a], a == 0 || a % 50 == 30);
        }
        CHECK_NEAR(worst, 0, 0);
        CHECK_OK(ib_latent_read(f, n - 1, 1, z, &err), &err);
        CHECK_NEAR(z[5], value_at(n - 1, 5), 0);
        CHECK_OK(ib_latent_read(f, n, 0, z, &err), &err);
        CHECK_ERROR(ib_latent_read(f, n, 1, z, &err), &err, IB_E_ARGUMENT, "a.h5");
        CHECK_ERROR(ib_latent_read(f, 1, SIZE_MAX, z, &err), &err, IB_E_ARGUMENT, "a.h5");
        ib_free(z);
        ib_latent_close(&f);
        ib_latent_close(&f);
    }
    /* same input, same bytes */
    char first[65], second[65];
    CHECK_OK(ib_sha256_file(in_dir("a.h5"), first, &err), &err);
    CHECK_OK(write_file(in_dir("b.h5"), 200, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("b.h5"), second, &err), &err);
    CHECK(!strcmp(first, second));
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_latent_writer *w = NULL;
    ib_latent_file *f = NULL;
    ib_latent_info info = info_for(3, 4, 96);
    float z[12 * 96] = {0};
    CHECK_ERROR(ib_latent_writer_create(&w, in_dir("no/such/x.h5"), &info, &err), &err, IB_E_IO, "x.h5");
    CHECK(!w);
    CHECK_OK(ib_latent_writer_create(&w, in_dir("x.h5"), &info, &err), &err);
    CHECK_ERROR(ib_latent_writer_finish(&w, &err), &err, IB_E_EMPTY, "x.h5");
    CHECK(!w && access(in_dir("x.h5"), F_OK) != 0);
    static const float bad[] = {NAN, INFINITY, -INFINITY, 65520, -1e30f};
    for (int i = 0; i < 5; i++) {
        CHECK_OK(ib_latent_writer_create(&w, in_dir("x.h5"), &info, &err), &err);
        z[700] = bad[i];
        CHECK_ERROR(ib_latent_writer_append(w, z, 0, false, &err), &err, IB_E_NONFINITE, "x.h5");
        ib_latent_writer_abort(&w);
        ib_latent_writer_abort(&w);
        CHECK(access(in_dir("x.h5"), F_OK) != 0);
    }
    info.fps = 0;
    CHECK_ERROR(ib_latent_writer_create(&w, in_dir("x.h5"), &info, &err), &err, IB_E_ARGUMENT, "x.h5");
    info = info_for(3, 4, 96);
    info.shape.tokens = SIZE_MAX / 2;
    CHECK_ERROR(ib_latent_writer_create(&w, in_dir("x.h5"), &info, &err), &err, IB_E_ARGUMENT, "x.h5");
    CHECK_ERROR(ib_latent_open(&f, in_dir("missing.h5"), &err), &err, IB_E_IO, "missing.h5");
    CHECK_ERROR(ib_latent_open(&f, dir, &err), &err, IB_E_IO, "regular");
    FILE *t = fopen(in_dir("text.h5"), "w");
    if (t) {
        fputs("this not an HDF5 file at all, it only looks as if it could be one by its name", t);
        fclose(t);
    }
    CHECK_ERROR(ib_latent_open(&f, in_dir("text.h5"), &err), &err, IB_E_FORMAT, "not an HDF5 file");
    CHECK(!f);
    /* nothing was left beside the names */
    char command[600];
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s' | grep tmp)\"", dir);
    CHECK_INT(system(command), 0);
}

/* Killed in the middle: no file under the final name, an older one untouched. */
static void test_killed_writer(void) {
    ib_error err = {0};
    char before[65], after[65];
    CHECK_OK(write_file(in_dir("old.h5"), 5, &err), &err);
    CHECK_OK(ib_sha256_file(in_dir("old.h5"), before, &err), &err);
    for (int k = 0; k < 2; k++) {
        const char *path = in_dir(k ? "new.h5" : "old.h5");
        pid_t pid = fork();
        if (pid == 0) {
            ib_latent_info info = info_for(3, 4, 96);
            ib_latent_writer *w = NULL;
            float z[12 * 96] = {0};
            if (ib_latent_writer_create(&w, path, &info, NULL)) {
                _exit(1);
            }
            for (int i = 0; i < 100; i++) {
                ib_latent_writer_append(w, z, i, false, NULL);
            }
            raise(SIGKILL);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status));
    }
    CHECK(access(in_dir("new.h5"), F_OK) != 0);
    CHECK_OK(ib_sha256_file(in_dir("old.h5"), after, &err), &err);
    CHECK(!strcmp(before, after));
}

static void test_other_readers(void) {
    ib_error err = {0};
    char command[2048];
    CHECK_OK(write_file(in_dir("p.h5"), 70, &err), &err);
    const char *python = !system("python3 -c 'import h5py' 2>/dev/null") ? "python3" : "/usr/bin/python3";
    snprintf(command, sizeof command, "%s -c 'import h5py' 2>/dev/null", python);
    if (system(command)) {
        printf("test_latent: SKIPPED reading by h5py: python3-h5py is not installed\n");
    } else {
        snprintf(command, sizeof command,
                 "%s -c '\n"
                 "import h5py, numpy as np\n"
                 "f = h5py.File(\"%s\", \"r\")\n"
                 "z = f[\"latents\"]\n"
                 "assert z.dtype == np.float16, z.dtype\n"
                 "assert z.shape == (70, 12, 96) and z.chunks == (1, 12, 96), (z.shape, z.chunks)\n"
                 "n, i = np.meshgrid(np.arange(70), np.arange(12 * 96), indexing=\"ij\")\n"
                 "want = ((n * 7919 + i * 31) %% 4096) / 512 - 4\n"
                 "assert (z[:].reshape(70, -1) == want).all()\n"
                 "assert f[\"pts\"].dtype == np.float64 and f[\"cut\"].dtype == np.uint8\n"
                 "assert list(np.flatnonzero(f[\"cut\"][:])) == [0, 30]\n"
                 "assert f.attrs[\"space_id\"].decode() == \"patch:dct8+4:v1\", f.attrs[\"space_id\"]\n"
                 "assert f.attrs[\"tokens\"] == 12 and f.attrs[\"fps\"] == 29.97\n"
                 "'",
                 python, in_dir("p.h5"));
        CHECK_INT(system(command), 0);
    }
    if (system("h5dump --version >/dev/null 2>&1")) {
        printf("test_latent: SKIPPED reading by h5dump: hdf5-tools is not installed\n");
    } else {
        snprintf(command, sizeof command,
                 "h5dump -d /cut '%s' 2>&1 | grep -q 'DATASPACE  SIMPLE { ( 70 ) / ( 70 ) }' && "
                 "h5dump -a /space_id '%s' | grep -q 'patch:dct8+4:v1'",
                 in_dir("p.h5"), in_dir("p.h5"));
        CHECK_INT(system(command), 0);
    }
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/ib_latent_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        return check_skip("test_latent", "no scratch directory");
    }
    RUN(test_slerp_against_formula());
    RUN(test_slerp_midpoint_norm());
    RUN(test_slerp_special());
    RUN(test_dct());
    RUN(test_patch_space());
    RUN(test_round_trip());
    RUN(test_refusals());
    RUN(test_killed_writer());
    RUN(test_other_readers());
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
    return check_report("test_latent");
}
