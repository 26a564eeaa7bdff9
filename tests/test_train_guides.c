/* Runs on latent files with guides: what can be seen is followed, what is noise is not, and on videos that
 * neither weights nor strengths have met nothing is worse than slerp. */
#include <unistd.h>
#include "adapter/adapter_file.h"
#include "base/file.h"
#include "eval/metrics.h"
#include "latent/geometry.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/seen.h"
#include "train/train.h"
#include "train/trial.h"

enum { WIDTH = 48, FRAMES = 65 };

static char *in_dir(const char *name) {
    char *p = ib_join(scratch, name);
    if (!p) {
        exit(1);
    }
    return p;
}

static const ib_shape single = {IB_LAYOUT_SINGLE, 1, 1, 1, WIDTH}, tokens = {IB_LAYOUT_SEQUENCE, 1, 5, 5, 16};

/* Videos first .. first + n - 1 into paths. */
static void write_videos(const char *name, seen s, int first, int n, ib_paths *paths) {
    ib_error err = {0};
    for (int k = first; k < first + n; k++) {
        char file[64];
        snprintf(file, sizeof file, "%s%d.h5", name, k);
        char *p = in_dir(file);
        s.number = k;
        s.frames = FRAMES;
        CHECK_OK(seen_write(p, &s, &err), &err);
        CHECK_OK(ib_paths_add(paths, p, &err), &err);
        free(p);
    }
}

static char said[1 << 14];

static void on_message(void *user, const char *sentence) {
    (void)user;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", sentence);
}

static ib_train_options options_for(const char *run, const ib_paths *latents, int64_t steps) {
    ib_train_options o;
    ib_train_defaults(&o);
    o.latents = latents;
    o.run = run;
    o.preset = "toaster";
    o.batch = 64;
    o.steps = steps;
    o.threads = 2;
    o.valid_fraction = 0.35;
    o.warmup_steps = 5;
    o.lr = 3e-3;
    o.message = on_message;
    *said = 0;
    return o;
}

/* Mean skill over some videos at one gap, guided or not. */
static double skill_on(const ib_adapter *a, const ib_paths *p, int gap, bool guided) {
    ib_error err = {0};
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        ib_latent_file *f = NULL;
        ib_adapter_work *w = NULL;
        CHECK_OK(ib_latent_open(&f, p->v[i], &err), &err);
        const ib_shape *s = &ib_latent_info_of(f)->shape;
        size_t n = s->tokens * s->width;
        const ib_guide_table *t = ib_latent_guides(f);
        const ib_guide_window *v;
        size_t windows = ib_guide_windows(t, gap, &v);
        float *z = ib_calloc(6 * n, sizeof *z), *truth = z + 2 * n, *made = z + 3 * n, *h = z + 4 * n;
        double model = 0, slerp = 0;
        CHECK_OK(ib_adapter_work_create(&w, a, s, 1, false, &err), &err);
        for (size_t q = 0; q < windows; q++) {
            CHECK_OK(ib_latent_read(f, v[q].first, 1, z, &err), &err);
            CHECK_OK(ib_latent_read(f, v[q].first + (size_t)gap, 1, z + n, &err), &err);
            for (int k = 1; k < gap; k++) {
                size_t number = v[q].at + (size_t)k - 1;
                ib_between in = {z, z + n, (float)k / (float)gap, (float)gap / 24, NULL, NULL};
                CHECK_OK(ib_latent_read(f, v[q].first + (size_t)k, 1, truth, &err), &err);
                CHECK_OK(ib_latent_read_guides(f, number, 1, h, &err), &err);
                if (guided) {
                    in.guide = h;
                    in.feature = t->feature + number * IB_GUIDE_FEATURES;
                }
                CHECK_OK(ib_adapter_predict(a, w, &in, 1, made, &err), &err);
                model += ib_squared_error(made, truth, n);
                ib_slerp_in(ib_geometry_of(SEEN_SPACE), z, z + n, in.t, s->tokens, s->width, made);
                slerp += ib_squared_error(made, truth, n);
            }
        }
        sum += 1 - model / slerp;
        ib_adapter_work_free(&w);
        ib_latent_close(&f);
        ib_free(z);
    }
    return sum / (double)p->n;
}

static ib_adapter *train(const char *name, const ib_paths *latents, int64_t steps) {
    ib_error err = {0};
    ib_adapter *a = NULL;
    char *run = in_dir(name), *file = ib_join(run, "adapter.safetensors");
    ib_train_options o = options_for(run, latents, steps);
    o.init = "default"; /* as the command line has it: of the patch space, so it does not fit */
    o.init_if_fits = true;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK_OK(ib_adapter_open(&a, file, &err), &err);
    free(file);
    free(run);
    return a;
}

/* Near keyframes the pictures show the truth well, further off they do harm. */
static void test_learns(const ib_shape *shape, const char *name) {
    ib_paths in = {0}, third = {0};
    const seen s = {.blur = 0.3f, .blur_a_frame = 0.25f, .model = "prior:test", .shape = *shape};
    write_videos(name, s, 0, 12, &in);
    write_videos(name, s, 100, 4, &third);
    ib_adapter *a = train(name, &in, 150);
    for (int gap = 4; gap <= 16; gap *= 2) {
        double with = skill_on(a, &third, gap, true), without = skill_on(a, &third, gap, false);
        const double least[] = {0.5, 0.3, 0.1};
        printf("%s, gap %d: skill %.3f with guides, %.3f without\n", name, gap, with, without);
        CHECK(with > least[gap == 4 ? 0 : gap == 8 ? 1 : 2]);
        CHECK(without > -0.005);
    }
    CHECK(!strcmp(ib_adapter_config_of(a)->guide, "prior:test"));
    CHECK_INT(ib_adapter_strengths(a)->bins, 3);
    CHECK_NEAR(ib_adapter_strengths(a)->gap_seconds[1], 8.0 / 24, 1e-4);
    CHECK(strstr(said, "gaps of 0.33 s: guide"));
    ib_adapter_free(&a);
    ib_paths_free(&in);
    ib_paths_free(&third);
}

/* Guides that are noise, few videos: slerp stays. */
static void test_never_below(int videos) {
    ib_paths in = {0}, third = {0};
    char name[32];
    const seen s = {.blur = 8, .model = "prior:test", .shape = single};
    snprintf(name, sizeof name, "noise%d-", videos);
    write_videos(name, s, 200, videos, &in);
    write_videos(name, s, 300, 4, &third);
    ib_adapter *a = train(name, &in, 120);
    for (int gap = 4; gap <= 16; gap *= 2) {
        double with = skill_on(a, &third, gap, true), without = skill_on(a, &third, gap, false);
        printf("%d videos of noise, gap %d: skill %.4f with guides, %.4f without\n", videos, gap, with,
               without);
        CHECK(with > -0.01);
        CHECK(without > -0.005);
    }
    ib_adapter_free(&a);
    ib_paths_free(&in);
    ib_paths_free(&third);
}

/* The same bits whether a run is stopped on its way or not. */
static void test_resume(void) {
    ib_error err = {0};
    ib_paths in = {0};
    const seen s = {.blur = 0.5f, .model = "prior:test", .shape = single};
    write_videos("resume", s, 400, 6, &in);
    char *whole = in_dir("whole"), *parts = in_dir("parts"), hex[2][65];
    ib_train_options o = options_for(whole, &in, 24);
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    atomic_int stop = 1; /* before the first step, and then once more after some of them */
    o = options_for(parts, &in, 24);
    o.stop = &stop;
    CHECK_INT(ib_train(&o, NULL, &err), IB_E_INTERRUPTED);
    o.stop = NULL;
    o.resume = true;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    for (int i = 0; i < 2; i++) {
        char *file = ib_join(i ? parts : whole, "adapter.safetensors");
        CHECK_OK(ib_sha256_file(file, hex[i], &err), &err);
        free(file);
    }
    CHECK(!strcmp(hex[0], hex[1]));
    free(whole);
    free(parts);
    ib_paths_free(&in);
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_paths in = {0}, plain = {0}, other = {0};
    seen s = {.blur = 0.5f, .model = "prior:test", .shape = single};
    write_videos("mine", s, 500, 4, &in);
    s.blur = -1;
    write_videos("plain", s, 500, 4, &plain);
    s.blur = 0.5f;
    s.model = "sha256:12 friday.safetensors";
    write_videos("other", s, 520, 4, &other);
    for (size_t i = 0; i < in.n; i++) {
        CHECK_OK(ib_paths_add(&other, in.v[i], &err), &err);
    }
    char *run = in_dir("refused");
    ib_train_options o = options_for(run, &other, 4);
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_MISMATCH, "friday.safetensors");
    CHECK(!ib_is_dir(run));
    o = options_for(run, &in, 4);
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    CHECK(strstr(said, "with guides of the pixel model prior:test"));
    o.resume = true;
    o.steps = 8;
    o.latents = &plain;
    CHECK_ERROR(ib_train(&o, NULL, &err), &err, IB_E_MISMATCH, "resumed");
    /* guides that are not wanted */
    char *without = in_dir("without"), *file = ib_join(without, "adapter.safetensors");
    o = options_for(without, &in, 4);
    o.no_guide = true;
    CHECK_OK(ib_train(&o, NULL, &err), &err);
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_open(&a, file, &err), &err);
    CHECK(a && !*ib_adapter_config_of(a)->guide);
    ib_adapter_free(&a);
    free(file);
    free(without);
    free(run);
    ib_paths_free(&in);
    ib_paths_free(&plain);
    ib_paths_free(&other);
}

int main(void) {
    if (!make_scratch("train_guides")) {
        return check_skip("test_train_guides", "no scratch directory");
    }
    RUN(test_learns(&single, "single"));
    RUN(test_learns(&tokens, "tokens"));
    RUN(test_never_below(12));
    RUN(test_never_below(5));
    RUN(test_resume());
    RUN(test_refusals());
    remove_scratch();
    CHECK(access(scratch, F_OK)); /* all of it is gone */
    return check_report("test_train_guides");
}
