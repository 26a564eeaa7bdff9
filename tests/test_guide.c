/* Guides: what they are, that no way of asking changes them, and what is refused; and guides made by encode.
 * The tower has random weights. */
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#include "adapter/adapter.h"
#include "base/file.h"
#include "base/memory.h"
#include "guide/encode.h"
#include "guide/guide.h"
#include "latent/windows.h"
#include "tests/check.h"
#include "tests/clip_model.h"
#include "tests/clips.h"

enum { W = 64, H = 48, SIDE = 30, D = 40, PAIR = IB_GUIDE_PICTURES * D, F = IB_GUIDE_FEATURES };

static ib_space *space;

static void open_space(void) {
    ib_error err = {0};
    model m = model_small(false, IB_F32, "");
    m.text.width = 0;
    model_make(&m, 5);
    CHECK_OK(model_write(&m, in_scratch("tower.safetensors"), &err), &err);
    model_free(&m);
    char spec[600];
    snprintf(spec, sizeof spec, "clip:%s", in_scratch("tower.safetensors"));
    ib_space_options o = {.activation = "gelu", .threads = 2};
    CHECK_OK(ib_space_open_with(&space, spec, &o, &err), &err);
}

/* An adapter of the patch space whose motion head says something. */
static void write_moving_adapter(const char *path) {
    ib_error err = {0};
    ib_adapter *a = NULL;
    ib_adapter_config c;
    CHECK_OK(ib_adapter_preset("toaster", "patch:dct8+4:v1", IB_LAYOUT_GRID, 96, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 3, &err), &err);
    ib_rng r;
    ib_rng_seed(&r, 9);
    for (size_t i = 0; i < ib_adapter_tensor_count(a); i++) {
        const ib_param *p = ib_adapter_tensor(a, i);
        for (size_t k = 0; !strncmp(p->name, "motion.", 7) && k < p->count; k++) {
            ib_adapter_params(a)[p->offset + k] = 0.02f * ib_rng_normal(&r);
        }
    }
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

static double distance(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return sqrt(sum);
}

enum { WINDOWS = 4, MOST = 70, GUIDES = 3 + 1 + 12 + MOST };
static const size_t targets[WINDOWS] = {3, 1, 12, MOST};

/* Keyframes that move on, and as many places as there are targets. */
static void make_requests(ib_frame f[WINDOWS + 1], float t[GUIDES], ib_guide_request w[WINDOWS]) {
    ib_error err = {0};
    size_t at = 0;
    for (int i = 0; i <= WINDOWS; i++) {
        f[i] = (ib_frame){0};
        CHECK_OK(ib_frame_alloc(&f[i], W, H, &err), &err);
        draw(&f[i], 3.0 * i);
        f[i].matrix = IB_MATRIX_BT709;
    }
    for (size_t i = 0; i < WINDOWS; i++) {
        w[i] = (ib_guide_request){&f[i], &f[i + 1], 0.1f * (float)(i + 1), t + at, targets[i]};
        for (size_t k = 0; k < targets[i]; k++) {
            t[at++] = (float)(k + 1) / (float)(targets[i] + 1);
        }
    }
}

static void free_frames(ib_frame *f, int n) {
    for (int i = 0; i < n; i++) {
        ib_frame_free(&f[i]);
    }
}

/* All at once by one thread; then by more threads, window by window, and target by target. The tower's sums
 * are those of other batches in the last two. */
static void test_same_bits(const char *adapter) {
    ib_error err = {0};
    ib_frame f[WINDOWS + 1];
    float t[GUIDES], *z = calloc(2 * GUIDES * PAIR, sizeof *z), *other = z + GUIDES * PAIR,
                     feature[GUIDES * F], b[GUIDES * F];
    ib_guide_request w[WINDOWS];
    make_requests(f, t, w);
    for (int how = 0; how < 4; how++) {
        ib_guide *g = NULL;
        float *zs = how ? other : z, *fs = how ? b : feature;
        CHECK_OK(ib_guide_create(&g, space, adapter, how == 0 ? 1 : how + 1, &err), &err);
        if (!g) {
            break;
        }
        CHECK(ib_guide_batch(g) < GUIDES);
        if (how < 2) {
            CHECK_OK(ib_guide_make(g, w, WINDOWS, zs, fs, NULL, &err), &err);
        }
        for (size_t i = 0, at = 0; how >= 2 && i < WINDOWS; i++) {
            for (size_t k = 0, n; k < targets[i]; k += n, at += n) {
                ib_guide_request part = w[i];
                n = how == 2 ? targets[i] : 1;
                part.t += k;
                part.n = n;
                CHECK_OK(ib_guide_make(g, &part, 1, zs + at * PAIR, fs + at * F, NULL, &err), &err);
            }
        }
        if (how) {
            for (size_t i = 0; how > 1 && i < GUIDES * PAIR; i++) {
                CHECK_NEAR(other[i], z[i], 1e-4 * (1 + fabs((double)z[i])));
            }
            CHECK(how > 1 || !memcmp(z, other, GUIDES * PAIR * sizeof *z));
            CHECK_INT(memcmp(feature, b, sizeof b), 0);
        }
        ib_guide_free(&g);
    }
    for (size_t i = 0; i < GUIDES * F; i++) {
        CHECK(feature[i] >= 0 && feature[i] < 1);
    }
    free_frames(f, WINDOWS + 1);
    free(z);
}

/* Where the keyframes agree, both pictures are the keyframe. */
static void test_equal_keyframes(const char *adapter) {
    ib_error err = {0};
    ib_guide *g = NULL;
    ib_frame f = {0};
    float z[3 * PAIR], feature[3 * F], own[D], t[3] = {0.2f, 0.5f, 0.9f};
    const ib_frame *frame = &f;
    CHECK_OK(ib_frame_alloc(&f, W, H, &err), &err);
    draw(&f, 0);
    f.matrix = IB_MATRIX_BT709;
    CHECK_OK(ib_space_encode_frames(space, &frame, 1, own, &err), &err);
    CHECK_OK(ib_guide_create(&g, space, adapter, 2, &err), &err);
    ib_guide_request w = {&f, &f, 0.3f, t, 3};
    CHECK_OK(ib_guide_make(g, &w, 1, z, feature, NULL, &err), &err);
    double size = sqrt((double)D) * 1e-3 + distance(own, (float[D]){0}, D);
    for (size_t i = 0; i < 3 * IB_GUIDE_PICTURES; i++) {
        CHECK_NEAR(distance(z + i * D, own, D) / size, 0, 1e-3);
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK_NEAR(feature[i * F + IB_GUIDE_FROM_FIRST], 0, 1e-3);
        CHECK_NEAR(feature[i * F + IB_GUIDE_FROM_LAST], 0, 1e-3);
        CHECK_NEAR(feature[i * F + IB_GUIDE_APART], 0, 0);
        CHECK_NEAR(feature[i * F + IB_GUIDE_DOUBT], 0, 0);
        CHECK_NEAR(feature[i * F + IB_GUIDE_MOTION], 0, 0);
    }
    ib_guide_free(&g);
    ib_frame_free(&f);
}

/* The same forward and backward in time; and a picture that moves evenly is carried where it belongs. */
static void test_motion(const char *adapter, bool prior) {
    enum { SHIFT = 4, N = 3 };
    ib_error err = {0};
    ib_guide *g = NULL;
    ib_frame f[N + 2];
    float z[N * PAIR], back[N * PAIR], feature[N * F], turned[N * F], own[D];
    float t[N] = {0.25f, 0.5f, 0.75f}, rest[N] = {0.75f, 0.5f, 0.25f};
    for (int i = 0; i < N + 2; i++) {
        f[i] = (ib_frame){0};
        CHECK_OK(ib_frame_alloc(&f[i], W, H, &err), &err);
        draw(&f[i], SHIFT * i / 4.0);
        f[i].matrix = IB_MATRIX_BT709;
    }
    CHECK_OK(ib_guide_create(&g, space, adapter, 2, &err), &err);
    ib_guide_request w = {&f[0], &f[N + 1], 0.2f, t, N}, v = {&f[N + 1], &f[0], 0.2f, rest, N};
    CHECK_OK(ib_guide_make(g, &w, 1, z, feature, NULL, &err), &err);
    CHECK_OK(ib_guide_make(g, &v, 1, back, turned, NULL, &err), &err);
    for (size_t i = 0; i < N; i++) {
        const float *x = feature + i * F, *y = turned + i * F;
        CHECK_NEAR(distance(z + i * PAIR, back + i * PAIR + D, D), 0, 1e-5);
        CHECK_NEAR(distance(z + i * PAIR + D, back + i * PAIR, D), 0, 1e-5);
        CHECK_NEAR(x[IB_GUIDE_FROM_FIRST], y[IB_GUIDE_FROM_LAST], 0);
        CHECK_NEAR(x[IB_GUIDE_FROM_LAST], y[IB_GUIDE_FROM_FIRST], 0);
        for (int k = IB_GUIDE_APART; k < IB_GUIDE_FEATURES; k++) {
            CHECK_NEAR(x[k], y[k], 1e-6);
        }
        CHECK_NEAR(x[IB_GUIDE_MOTION] * W, SHIFT, 1);
        CHECK(x[IB_GUIDE_DOUBT] < x[IB_GUIDE_APART] && x[IB_GUIDE_DOUBT] <= x[IB_GUIDE_DOUBT_PEAK]);
        const ib_frame *truth = &f[i + 1];
        float first[D], last[D];
        const ib_frame *ends[2] = {&f[0], &f[N + 1]};
        CHECK_OK(ib_space_encode_frames(space, &truth, 1, own, &err), &err);
        CHECK_OK(ib_space_encode_frames(space, &ends[0], 1, first, &err), &err);
        CHECK_OK(ib_space_encode_frames(space, &ends[1], 1, last, &err), &err);
        if (prior) {
            double near = fmin(distance(first, own, D), distance(last, own, D));
            for (size_t k = 0; k < 2; k++) {
                double d = distance(z + i * PAIR + k * D, own, D);
                printf("  t %.2f: picture %zu is %.3g from the truth, the nearer keyframe %.3g\n",
                       (double)t[i], k, d, near);
                CHECK(d < 0.6 * near);
            }
        }
    }
    CHECK(feature[IB_GUIDE_FROM_FIRST] < feature[F + IB_GUIDE_FROM_FIRST]);
    CHECK(feature[F + IB_GUIDE_FROM_FIRST] < feature[2 * F + IB_GUIDE_FROM_FIRST]);
    ib_guide_free(&g);
    free_frames(f, N + 2);
}

static void test_sizes(void) {
    ib_error err = {0};
    ib_guide *g = NULL;
    ib_frame large[2] = {{0}, {0}}, small = {0}, fitted[2] = {{0}, {0}};
    float z[2 * PAIR], feature[2 * F], t = 0.4f;
    CHECK_OK(ib_guide_create(&g, space, "prior", 2, &err), &err);
    CHECK_OK(ib_frame_alloc(&small, 2 * SIDE, 45, &err), &err);
    CHECK_OK(ib_guide_fit(g, &small, &fitted[0], &err), &err);
    CHECK_INT(fitted[0].width, 2 * SIDE);
    CHECK_INT(fitted[0].height, 45);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(ib_frame_alloc(&large[i], 201, 150, &err), &err);
        draw(&large[i], 6.0 * i);
        CHECK_OK(ib_guide_fit(g, &large[i], &fitted[i], &err), &err);
        CHECK_INT(fitted[i].width, 80);
        CHECK_INT(fitted[i].height, 2 * SIDE);
    }
    /* whoever makes them smaller */
    ib_guide_request a = {&large[0], &large[1], 0.2f, &t, 1}, b = {&fitted[0], &fitted[1], 0.2f, &t, 1};
    CHECK_OK(ib_guide_make(g, &a, 1, z, feature, NULL, &err), &err);
    CHECK_OK(ib_guide_make(g, &b, 1, z + PAIR, feature + F, NULL, &err), &err);
    CHECK_INT(memcmp(z, z + PAIR, PAIR * sizeof *z), 0);
    CHECK_INT(memcmp(feature, feature + F, F * sizeof *z), 0);
    ib_guide_free(&g);
    free_frames(large, 2);
    free_frames(fitted, 2);
    ib_frame_free(&small);
}

static void test_models(const char *adapter) {
    ib_error err = {0};
    ib_guide *g = NULL;
    char id[160], hex[65];
    CHECK_OK(ib_guide_create(&g, space, "prior", 1, &err), &err);
    CHECK(g && !strncmp(ib_guide_model(g), "prior:motion:", 13));
    ib_guide_free(&g);
    CHECK_OK(ib_guide_create(&g, space, adapter, 1, &err), &err);
    CHECK_OK(ib_sha256_file(adapter, hex, &err), &err);
    snprintf(id, sizeof id, "sha256:%s moving.safetensors", hex);
    CHECK(g && !strcmp(ib_guide_model(g), id));
    CHECK(g && ib_guide_same_model(ib_guide_model(g), id) && !ib_guide_same_model(id, "prior:motion:1"));
    ib_guide_free(&g);
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_guide *g = NULL;
    ib_space *patch = NULL;
    ib_adapter *a = NULL;
    ib_adapter_config c;
    CHECK_OK(ib_space_open(&patch, "patch", &err), &err);
    CHECK_ERROR(ib_guide_create(&g, patch, "prior", 1, &err), &err, IB_E_UNSUPPORTED, "no use for guides");
    ib_space_close(&patch);
    CHECK_ERROR(ib_guide_create(&g, space, "none", 1, &err), &err, IB_E_ARGUMENT, "none");
    CHECK_ERROR(ib_guide_create(&g, space, in_scratch("away.safetensors"), 1, &err), &err, IB_E_IO,
                "away.safetensors");
    CHECK_OK(ib_adapter_preset("toaster", ib_space_id(space), IB_LAYOUT_SINGLE, D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    CHECK_OK(ib_adapter_save(a, in_scratch("joint.safetensors"), NULL, 0, &err), &err);
    ib_adapter_free(&a);
    CHECK_ERROR(ib_guide_create(&g, space, in_scratch("joint.safetensors"), 1, &err), &err, IB_E_MISMATCH,
                "joint.safetensors");
    CHECK(strstr(err.text, ib_space_id(space)) && !g);
    ib_frame f[WINDOWS + 1], other = {0};
    float t[GUIDES], z[PAIR], feature[F];
    ib_guide_request w[WINDOWS];
    make_requests(f, t, w);
    CHECK_OK(ib_frame_alloc(&other, W + 2, H, &err), &err);
    CHECK_OK(ib_guide_create(&g, space, "prior", 1, &err), &err);
    w[1].last = &other;
    CHECK_ERROR(ib_guide_make(g, w, 2, z, feature, NULL, &err), &err, IB_E_MISMATCH, "66x48");
    w[0].gap_seconds = 0;
    CHECK_ERROR(ib_guide_make(g, w, 1, z, feature, NULL, &err), &err, IB_E_ARGUMENT, "gap");
    w[0].gap_seconds = 1;
    t[0] = 1;
    w[0].n = 1;
    CHECK_ERROR(ib_guide_make(g, w, 1, z, feature, NULL, &err), &err, IB_E_ARGUMENT, "(0,1)");
    t[0] = 0.5f;
    const atomic_int stop = 1;
    CHECK_ERROR(ib_guide_make(g, w, 1, z, feature, &stop, &err), &err, IB_E_INTERRUPTED, "interrupted");
    CHECK_OK(ib_guide_make(g, w, 1, z, feature, NULL, &err), &err);
    ib_guide_free(&g);
    ib_frame_free(&other);
    free_frames(f, WINDOWS + 1);
}

/* ---- encode ---- */

enum { FRAMES = 75, CUT = 33 };

/* Moving texture; from CUT on another one. */
static void write_video(const char *path) {
    ib_error err = {0};
    ib_writer *w = NULL;
    ib_frame f = {0};
    ib_writer_options o = {
        .width = W, .height = H, .fps = 25, .matrix = IB_MATRIX_BT709, .crf = 10, .threads = 1};
    CHECK_OK(ib_writer_open(&w, path, &o, &err), &err);
    CHECK_OK(ib_frame_alloc(&f, W, H, &err), &err);
    f.matrix = IB_MATRIX_BT709;
    for (int i = 0; i < FRAMES; i++) {
        draw(&f, i < CUT ? i : 500 + 2.5 * i);
        for (size_t k = 0; i >= CUT && k < f.stride[0] * H; k++) {
            f.plane[0][k] = (uint8_t)(250 - f.plane[0][k]);
        }
        CHECK_OK(ib_writer_write(w, &f, &err), &err);
    }
    CHECK_OK(ib_writer_finish(&w, &err), &err);
    ib_frame_free(&f);
}

static ib_encode_options guided(const char *adapter) {
    ib_encode_options o;
    ib_encode_defaults(&o);
    o.guide = adapter;
    o.threads = 2;
    o.guide_gaps = 2;
    o.guide_gap[0] = 40; /* in any order */
    o.guide_gap[1] = 5;
    o.guide_windows = 9;
    return o;
}

/* Frame i of the video as encode reads it. */
static void read_frame(const char *video, size_t i, ib_frame *out) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f = NULL;
    ib_reader_options o = {.rgb = true};
    CHECK_OK(ib_reader_open(&r, video, &o, &err), &err);
    for (size_t k = 0; r && k <= i; k++) {
        CHECK_INT(ib_reader_next(r, &f, &err), 1);
    }
    CHECK_OK(ib_frame_alloc(out, W, H, &err), &err);
    if (f) {
        ib_frame_copy(out, f);
    }
    ib_reader_close(&r);
}

/* The windows are those that evaluation takes, and the guides those that the frames give. */
static void check_guides(const char *video, ib_latent_file *f, const char *adapter) {
    ib_error err = {0};
    const ib_guide_table *t = ib_latent_guides(f);
    size_t firsts[FRAMES], frames = ib_latent_info_of(f)->frames, at = 0, windows = 0;
    for (int gap = 5; gap <= 40; gap += 35) {
        const ib_guide_window *w = NULL;
        size_t n = ib_score_windows(f, gap, 9, firsts);
        CHECK_INT(ib_guide_windows(t, gap, &w), n);
        for (size_t i = 0; i < n; i++, windows++) {
            CHECK_INT(w[i].first, firsts[i]);
            CHECK_INT(w[i].at, at);
            at += (size_t)gap - 1;
        }
    }
    CHECK_INT(t->windows, windows);
    CHECK_INT(t->guides, at);
    CHECK_INT(frames, FRAMES);
    ib_guide *g = NULL;
    CHECK_OK(ib_guide_create(&g, space, adapter, 1, &err), &err);
    const size_t some[] = {0, windows / 2, windows - 1};
    for (size_t i = 0; i < 3; i++) {
        const ib_guide_window *w = &t->window[some[i]];
        size_t n = (size_t)w->gap - 1;
        float *z = calloc(2 * n * PAIR, sizeof *z), *stored = z + n * PAIR, feature[64 * F], places[64];
        ib_frame a = {0}, b = {0};
        read_frame(video, w->first, &a);
        read_frame(video, w->first + (size_t)w->gap, &b);
        const double *pts = ib_latent_pts(f) + w->first;
        for (size_t k = 0; k < n; k++) {
            places[k] = ib_score_place(pts, w->gap, (int)k + 1);
        }
        ib_guide_request r = {&a, &b, ib_score_seconds(pts, w->gap, ib_latent_info_of(f)->fps), places, n};
        CHECK_OK(ib_guide_make(g, &r, 1, z, feature, NULL, &err), &err);
        CHECK_OK(ib_latent_read_guides(f, w->at, n, stored, &err), &err);
        double worst = 0;
        for (size_t k = 0; k < n * PAIR; k++) {
            double d = fabs((double)z[k] - (double)stored[k]) / (fabs((double)z[k]) + 1e-3);
            worst = d > worst ? d : worst;
        }
        CHECK_NEAR(worst, 0, 1e-3); /* half precision */
        CHECK_INT(memcmp(feature, t->feature + w->at * F, n * F * sizeof *feature), 0);
        ib_frame_free(&a);
        ib_frame_free(&b);
        free(z);
    }
    ib_guide_free(&g);
}

static void count_progress(void *user, size_t pictures, int64_t estimate) {
    int64_t *seen = user;
    CHECK((int64_t)pictures >= seen[0]);
    seen[0] = (int64_t)pictures;
    seen[1] = estimate;
}

static void test_encode(const char *adapter) {
    ib_error err = {0};
    const char *video = in_scratch("v.mp4"), *out = in_scratch("v.h5");
    ib_encode_options o = guided(adapter);
    ib_encode_stats s;
    ib_latent_file *f = NULL;
    int64_t seen[2] = {0};
    write_video(video);
    o.progress = count_progress;
    o.user = seen;
    CHECK_OK(ib_encode_video(video, out, space, &o, &s, &err), &err);
    CHECK_INT(s.cuts, 1);
    CHECK(s.guides && !s.unchanged && !s.kept && !s.no_guides);
    CHECK_INT(seen[0], FRAMES + 2 * (int64_t)s.guides);
    CHECK_INT(seen[1], seen[0]);
    CHECK_OK(ib_latent_open(&f, out, &err), &err);
    if (f && ib_latent_guides(f)) {
        CHECK_INT(s.guides, ib_latent_guides(f)->guides);
        CHECK(!strcmp(s.guide_model, ib_latent_guides(f)->model));
        check_guides(video, f, adapter);
    }
    ib_latent_close(&f);
    o.progress = NULL;
    CHECK_OK(ib_encode_video(video, out, space, &o, &s, &err), &err);
    CHECK(s.unchanged && s.guides > 0);
}

/* Other guides are made anew, of the latents that are there. */
static void test_other_guides(const char *adapter) {
    ib_error err = {0};
    const char *video = in_scratch("v.mp4"), *out = in_scratch("v.h5");
    ib_encode_options o = guided(adapter);
    ib_encode_stats s;
    ib_latent_file *f = NULL;
    static float before[FRAMES * D], after[FRAMES * D];
    CHECK_OK(ib_latent_open(&f, out, &err), &err);
    CHECK_OK(ib_latent_read(f, 0, FRAMES, before, &err), &err);
    ib_latent_close(&f);
    for (int k = 0; k < 4; k++) {
        o.guide = k == 3 ? IB_GUIDE_NONE : k == 2 ? "prior" : adapter;
        o.guide_windows = k >= 1 ? 2 : 9;
        o.guide_gap[0] = 7;
        CHECK_OK(ib_encode_video(video, out, space, &o, &s, &err), &err);
        CHECK(s.kept && !s.unchanged);
        CHECK_INT(s.frames, FRAMES);
        CHECK_OK(ib_latent_open(&f, out, &err), &err);
        if (f) {
            const ib_guide_table *t = ib_latent_guides(f);
            CHECK(k == 3 ? !t : t && t->windows == s.windows && ib_guide_same_model(t->model, s.guide_model));
            CHECK_INT(s.windows, k == 0 ? 9 + 9 : k == 3 ? 0 : 4);
            CHECK_OK(ib_latent_read(f, 0, FRAMES, after, &err), &err);
            CHECK_INT(memcmp(before, after, sizeof before), 0);
        }
        ib_latent_close(&f);
        CHECK_OK(ib_encode_video(video, out, space, &o, &s, &err), &err);
        CHECK(s.unchanged);
    }
}

static atomic_int stop;

static void stop_soon(void *user, size_t pictures, int64_t estimate) {
    (void)user;
    (void)estimate;
    if (pictures > FRAMES) {
        atomic_store(&stop, 1);
    }
}

static void test_unmade(void) {
    ib_error err = {0};
    const char *video = in_scratch("v.mp4");
    ib_encode_options o = guided("prior");
    ib_encode_stats s;
    ib_space *patch = NULL;
    int before = files_in(scratch);
    /* interrupted among the guides: no file */
    o.progress = stop_soon;
    o.stop = &stop;
    CHECK_ERROR(ib_encode_video(video, in_scratch("stopped.h5"), space, &o, &s, &err), &err, IB_E_INTERRUPTED,
                "interrupted");
    CHECK_INT(files_in(scratch), before);
    o = guided("prior");
    o.guide_gap[1] = 40;
    CHECK_ERROR(ib_encode_video(video, in_scratch("no.h5"), space, &o, &s, &err), &err, IB_E_ARGUMENT,
                "twice");
    o.guide_gap[1] = IB_GUIDE_MAX_GAP + 1;
    CHECK_ERROR(ib_encode_video(video, in_scratch("no.h5"), space, &o, &s, &err), &err, IB_E_ARGUMENT,
                "1000");
    o = guided("prior");
    o.guide_windows = 0;
    CHECK_ERROR(ib_encode_video(video, in_scratch("no.h5"), space, &o, &s, &err), &err, IB_E_ARGUMENT,
                "a window");
    o = guided("prior");
    CHECK_OK(ib_space_open(&patch, "patch", &err), &err);
    CHECK_ERROR(ib_encode_video(video, in_scratch("no.h5"), patch, &o, &s, &err), &err, IB_E_UNSUPPORTED,
                "guides");
    CHECK_INT(files_in(scratch), before);
    o.guide = NULL;
    CHECK_OK(ib_encode_video(video, in_scratch("patch.h5"), patch, &o, &s, &err), &err);
    CHECK_INT(s.guides, 0);
    ib_space_close(&patch);
    /* shots too short for any window */
    o.guide = "prior";
    o.guide_gap[0] = 50;
    o.guide_gaps = 1;
    CHECK_OK(ib_encode_video(video, in_scratch("short.h5"), space, &o, &s, &err), &err);
    CHECK(s.frames == FRAMES && !s.guides && !*s.guide_model);
    CHECK_OK(ib_encode_video(video, in_scratch("short.h5"), space, &o, &s, &err), &err);
    CHECK(s.unchanged);
}

int main(void) {
    if (!make_scratch("guide")) {
        return check_skip("test_guide", "no scratch directory");
    }
    char moving[512];
    snprintf(moving, sizeof moving, "%s", in_scratch("moving.safetensors"));
    open_space();
    write_moving_adapter(moving);
    if (space) {
        RUN(test_same_bits("prior"));
        RUN(test_same_bits(moving));
        RUN(test_equal_keyframes("prior"));
        RUN(test_equal_keyframes(moving));
        RUN(test_motion("prior", true));
        RUN(test_motion(moving, false));
        RUN(test_sizes());
        RUN(test_models(moving));
        RUN(test_refusals());
        RUN(test_encode(moving));
        RUN(test_other_guides(moving));
        RUN(test_unmade());
    }
    ib_space_close(&space);
    remove_scratch();
    return check_report("test_guide");
}
