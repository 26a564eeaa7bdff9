/* The parts of training, one by one: optimisers, schedule, data set, choice of windows, augmentation. */
#include <hdf5.h>
#include "latent/hdf5.h"
#include "base/rng.h"
#include "tests/moving.h"
#include "train/augment.h"
#include "train/cache.h"
#include "train/dataset.h"
#include "train/loader.h"
#include "train/optimiser.h"
#include "train/sampler.h"
#include "train/schedule.h"

static char *dir;

static char *at(const char *name) {
    char *p = ib_join(dir, name);
    if (!p) {
        exit(1);
    }
    return p;
}

static void make(const char *name, const moving *m) {
    ib_error err = {0};
    char *path = at(name);
    CHECK_OK(moving_write(path, m, &err), &err);
    free(path);
}

/* Plain doubles, one element at a time. */
typedef struct plain {
    double w, m, v;
} plain;

static void plain_step(const char *name, plain *p, double g, double rate, double decay, int n) {
    double keep = 1 - rate * decay;
    if (!strcmp(name, "adamw") || !strcmp(name, "muon")) {
        p->m = 0.9 * p->m + 0.1 * g;
        p->v = 0.999 * p->v + 0.001 * g * g;
        p->w = keep * p->w - rate * (p->m / (1 - pow(0.9, n))) / (sqrt(p->v / (1 - pow(0.999, n))) + 1e-8);
    } else {
        p->m = 0.9 * p->m + g;
        p->w = keep * p->w - rate * (strcmp(name, "nesterov") ? p->m : g + 0.9 * p->m);
    }
}

static ib_adapter *small_adapter(void) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_error err = {0};
    CHECK_OK(ib_adapter_preset("toaster", MOVING_SPACE, IB_LAYOUT_GRID, IB_PATCH_D, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 7, &err), &err);
    return a;
}

static void test_optimisers(void) {
    ib_adapter *a = small_adapter();
    size_t n = ib_adapter_param_count(a);
    float *w = ib_calloc(n, sizeof *w), *g = ib_calloc(n, sizeof *g), *other = ib_calloc(n, sizeof *other);
    float *m[2] = {ib_calloc(n, sizeof(float)), ib_calloc(n, sizeof(float))};
    plain *p = ib_calloc(n, sizeof *p);
    bool *decays = ib_calloc(n, sizeof *decays), *hidden = ib_calloc(n, sizeof *hidden),
         seen[2] = {false, false};
    for (size_t i = 0; i < ib_adapter_tensor_count(a); i++) {
        const ib_param *t = ib_adapter_tensor(a, i);
        memset(decays + t->offset, t->decay, t->count);
        memset(hidden + t->offset, t->hidden, t->count);
        seen[t->decay] = true;
    }
    CHECK(seen[0] && seen[1]);
    for (size_t k = 0; ib_optimisers[k]; k++) {
        const ib_optimiser *o = ib_optimisers[k];
        float *scratch = ib_calloc(ib_optimiser_scratch(o, a, 3) + 1, sizeof *scratch);
        ib_rng rng;
        double worst = 0;
        ib_rng_seed(&rng, 3);
        for (size_t i = 0; i < n; i++) {
            w[i] = other[i] = ib_rng_normal(&rng);
            p[i] = (plain){(double)w[i], 0, 0};
            m[0][i] = m[1][i] = 0;
        }
        for (int step = 1; step <= 5; step++) {
            ib_update u = {.rate = 0.01 / step, .weight_decay = 0.3, .scale = 0.5, .number = step};
            for (size_t i = 0; i < n; i++) {
                g[i] = ib_rng_normal(&rng) * (i % 7 ? 1.0f : 1e-3f);
                plain_step(o->name, &p[i], 0.5 * (double)g[i], u.rate, decays[i] ? 0.3 : 0, step);
            }
            ib_optimiser_update(o, &u, a, w, g, m, 1 + step % 3, scratch);
        }
        for (size_t i = 0; i < n; i++) {
            worst = fmax(worst,
                         o->muon && hidden[i] ? 0 : fabs((double)w[i] - p[i].w)); /* test_muon.c has those */
        }
        ib_free(scratch);
        printf("%s: worst difference to plain doubles %.2g\n", o->name, worst);
        CHECK_NEAR(worst, 0, 4e-6);
    }
    ib_error err = {0};
    CHECK(!ib_optimiser_find("adam", &err));
    CHECK_ERROR(err.code, &err, IB_E_ARGUMENT, "adamw, muon, sgd, nesterov");
    ib_free(w);
    ib_free(g);
    ib_free(other);
    ib_free(hidden);
    ib_free(m[0]);
    ib_free(m[1]);
    ib_free(p);
    ib_free(decays);
    ib_adapter_free(&a);
}

static void test_gradient_sum(void) {
    enum { N = 700001, K = 3 };
    float *part[K], *sum = ib_calloc(N, sizeof *sum), *again = ib_calloc(N, sizeof *again);
    double want = 0;
    ib_rng rng;
    ib_rng_seed(&rng, 5);
    for (size_t k = 0; k < K; k++) {
        part[k] = ib_calloc(N, sizeof(float));
        for (size_t i = 0; i < N; i++) {
            part[k][i] = ib_rng_normal(&rng);
        }
    }
    for (size_t i = 0; i < N; i++) {
        double s = (double)part[0][i] + (double)part[1][i] + (double)part[2][i];
        want += s * s;
    }
    double one = ib_gradient_sum(part, K, sum, N, 1), three = ib_gradient_sum(part, K, again, N, 3);
    CHECK_NEAR(one, sqrt(want), 1e-4);
    CHECK(one == three && !memcmp(sum, again, N * sizeof *sum));
    CHECK_NEAR(sum[N - 1], part[0][N - 1] + part[1][N - 1] + part[2][N - 1], 1e-6);
    part[1][N - 2] = NAN;
    CHECK(!isfinite(ib_gradient_sum(part, K, part[0], N, 2)));
    for (size_t k = 0; k < K; k++) {
        ib_free(part[k]);
    }
    ib_free(sum);
    ib_free(again);
}

static void test_schedule(void) {
    ib_schedule s = {0.002, 10};
    CHECK_NEAR(ib_schedule_rate(&s, 0, 0), 0.0002, 1e-12);
    CHECK_NEAR(ib_schedule_rate(&s, 9, 0), 0.002, 1e-12);
    CHECK_NEAR(ib_schedule_rate(&s, 500, 0.5), 0.002 * (0.01 + 0.99 * 0.5), 1e-12);
    CHECK_NEAR(ib_schedule_rate(&s, 500, 1), 0.00002, 1e-12);
    CHECK_NEAR(ib_schedule_rate(&s, 500, 7), 0.00002, 1e-12);
    for (int i = 11; i < 1000; i++) {
        CHECK(ib_schedule_rate(&s, i, i / 1000.0) < ib_schedule_rate(&s, i - 1, (i - 1) / 1000.0));
    }
    s.warmup_steps = 0;
    CHECK_NEAR(ib_schedule_rate(&s, 0, 0), 0.002, 1e-12);
    CHECK_NEAR(ib_ema_decay(0.999, 0), 0.1, 1e-12);
    CHECK_NEAR(ib_ema_decay(0.999, 90), 0.91, 1e-12);
    CHECK_NEAR(ib_ema_decay(0.999, 1000000), 0.999, 1e-12);
    float w[3] = {1, 2, 3}, ema[3] = {0, 0, 1};
    ib_ema_update(ema, w, 3, 0.75, 2);
    CHECK_NEAR(ema[0], 0.25, 1e-7);
    CHECK_NEAR(ema[2], 1.5, 1e-7);
}

static void test_cache(void) {
    enum { COUNT = 900 };
    ib_error err = {0};
    ib_cache *c = NULL;
    ib_rng rng;
    size_t hits = 0;
    CHECK_OK(ib_cache_create(&c, 5000000, COUNT, &err), &err);
    CHECK(ib_cache_places(c) > 2500 && ib_cache_places(c) <= 5000000 / (2 * COUNT));
    ib_cache_free(&c);
    CHECK_OK(ib_cache_create(&c, 200000, COUNT, &err), &err);
    CHECK(ib_cache_places(c) < 112);
    ib_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t key = ib_rng_below(&rng, 200) * ((uint64_t)1 << 40 | 1);
        const uint16_t *have = ib_cache_get(c, key);
        if (have) {
            hits++;
            CHECK(have[0] == (uint16_t)key && have[COUNT - 1] == (uint16_t)key);
        } else {
            uint16_t *p = ib_cache_put(c, key);
            CHECK(p != NULL);
            for (size_t k = 0; p && k < COUNT; k++) {
                p[k] = (uint16_t)key;
            }
        }
    }
    CHECK(hits > 9000 && hits < 12000); /* about half of the keys fit */
    /* what was used last stays, what was used longest ago goes */
    size_t n = ib_cache_places(c);
    for (uint64_t i = 0; i < n; i++) {
        CHECK(ib_cache_put(c, 1000000 + i) != NULL);
    }
    CHECK(ib_cache_get(c, 1000000) != NULL);
    CHECK(ib_cache_put(c, 2000000) != NULL);
    CHECK(ib_cache_get(c, 1000000) && !ib_cache_get(c, 1000001) && ib_cache_get(c, 1000002));
    ib_cache_free(&c);
    /* a budget below one frame still holds one */
    CHECK_OK(ib_cache_create(&c, 10, COUNT, &err), &err);
    CHECK(ib_cache_put(c, 1) && ib_cache_get(c, 1) && ib_cache_put(c, 2) && !ib_cache_get(c, 1));
    ib_cache_free(&c);
}

static ib_dataset *dataset_of(const char *const *names, size_t n, const char *const *valid, size_t n_valid) {
    ib_error err = {0};
    ib_dataset *d = NULL;
    ib_paths paths = {0}, others = {0};
    for (size_t i = 0; i < n; i++) {
        char *p = at(names[i]);
        ib_paths_add(&paths, p, &err);
        free(p);
    }
    for (size_t i = 0; i < n_valid; i++) {
        char *p = at(valid[i]);
        ib_paths_add(&others, p, &err);
        free(p);
    }
    CHECK_OK(ib_dataset_create(&d, 1 << 20, 2, &err), &err);
    CHECK_OK(ib_dataset_add(d, &paths, false, &err), &err);
    if (n_valid) {
        CHECK_OK(ib_dataset_add(d, &others, true, &err), &err);
    }
    ib_paths_free(&paths);
    ib_paths_free(&others);
    return d;
}

static int try_add(ib_dataset *d, const char *name, bool valid, ib_error *err) {
    ib_paths l = {0};
    char *p = at(name);
    ib_paths_add(&l, p, err);
    int rc = ib_dataset_add(d, &l, valid, err);
    ib_paths_free(&l);
    free(p);
    return rc;
}

static const char *const six[] = {"a.h5", "b.h5", "c.h5", "d.h5", "e.h5", "f.h5"};

static void make_files(void) {
    make("a.h5", &(moving){6, 8, 40, 1.5, 1, NULL, false, "a.mp4", NULL});
    make("b.h5", &(moving){6, 8, 50, 1, 2, "00000000001000000000000000100000000000000000000000", true,
                           "b.mp4", NULL});
    make("c.h5", &(moving){8, 6, 30, 2, 3, NULL, true, "c.mp4", NULL});
    make("d.h5", &(moving){6, 8, 30, 0, 4, NULL, false, "d.mp4", NULL}); /* still */
    make("e.h5", &(moving){6, 8, 2, 1, 5, NULL, false, "e.mp4", NULL});  /* too short for any window */
    make("f.h5", &(moving){6, 8, 900, 1.2, 6, NULL, false, "f.mp4", NULL});
    make("a2.h5", &(moving){4, 4, 40, 1.5, 1, NULL, false, "a.mp4", NULL}); /* video a again, smaller */
}

static void test_dataset(void) {
    ib_error err = {0};
    char one[65], two[65];
    const char *backwards[] = {"f.h5", "e.h5", "d.h5", "c.h5", "b.h5", "a.h5", "a.h5"};
    ib_dataset *d = dataset_of(six, 6, NULL, 0), *e = dataset_of(backwards, 7, NULL, 0);
    CHECK_INT(ib_dataset_files(e), 6);
    CHECK_INT(ib_dataset_shapes(d), 2);
    CHECK_OK(ib_dataset_settle(d, 0.34, 9, &err), &err);
    CHECK_OK(ib_dataset_settle(e, 0.34, 9, &err), &err);
    CHECK_INT(ib_dataset_videos(d, true), 2);
    CHECK_INT(ib_dataset_videos(d, false), 4);
    ib_dataset_identity(d, one);
    ib_dataset_identity(e, two);
    CHECK(!strcmp(one, two) && strlen(one) == 64);
    ib_dataset_free(&e);
    ib_dataset_free(&d);

    /* all files of a video go to the same side, whatever the seed */
    const char *twins[] = {"a.h5", "a2.h5", "b.h5", "c.h5"};
    for (uint64_t seed = 1; seed < 20; seed++) {
        bool a[2] = {false, false};
        d = dataset_of(twins, 4, NULL, 0);
        CHECK_OK(ib_dataset_settle(d, 0.1, seed, &err), &err);
        CHECK_INT(ib_dataset_videos(d, true), 1);
        for (size_t i = 0; i < 4; i++) {
            const ib_video *c = ib_dataset_video(d, i);
            if (!strcmp(c->info.source, "a.mp4")) {
                a[c->valid] = true;
            }
        }
        CHECK(a[0] != a[1]);
        ib_dataset_free(&d);
    }
    const char *valid[] = {"a2.h5"};
    d = dataset_of(twins, 1, valid, 1);
    CHECK_ERROR(ib_dataset_settle(d, 0.1, 1, &err), &err, IB_E_ARGUMENT, "same video (a.mp4)");
    ib_dataset_free(&d);

    /* two videos are too few to set one apart; a wish for all keeps one */
    d = dataset_of(six, 2, NULL, 0);
    CHECK_OK(ib_dataset_settle(d, 0.1, 1, &err), &err);
    CHECK_INT(ib_dataset_videos(d, true), 0);
    ib_dataset_free(&d);
    d = dataset_of(six, 3, NULL, 0);
    CHECK_OK(ib_dataset_settle(d, 0.99, 1, &err), &err);
    CHECK_INT(ib_dataset_videos(d, false), 1);
    ib_dataset_free(&d);
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_dataset *d = dataset_of(six, 2, NULL, 0);
    make("space.h5", &(moving){6, 8, 9, 1, 1, NULL, false, "s.mp4", "patch:other"});
    CHECK_ERROR(try_add(d, "space.h5", false, &err), &err, IB_E_MISMATCH, "'patch:other', but ");
    CHECK(strstr(err.text, "space.h5") && strstr(err.text, "a.h5"));
    CHECK_ERROR(try_add(d, "none.h5", false, &err), &err, IB_E_IO, "none.h5");
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d.h5", i);
        make(name, &(moving){2, 2 + i, 9, 1, 1, NULL, false, name, NULL});
        if (i < 7) {
            CHECK_OK(try_add(d, name, false, &err), &err);
        } else {
            CHECK_ERROR(try_add(d, name, false, &err), &err, IB_E_UNSUPPORTED, "9th different size");
        }
    }
    ib_dataset_free(&d);

    make("nan.h5", &(moving){6, 8, 9, 1, 1, NULL, false, "n.mp4", NULL});
    char *path = at("nan.h5");
    ib_hdf5_lock();
    hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set = H5Dopen2(f, "latents", H5P_DEFAULT);
    hid_t space = H5Dget_space(set), one = H5Screate(H5S_SCALAR), half = H5Dget_type(set);
    hsize_t from[3] = {5, 7, 11}, count[3] = {1, 1, 1};
    uint16_t nan = 0x7e01;
    CHECK(H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, count, NULL) >= 0);
    CHECK(H5Dwrite(set, half, one, space, H5P_DEFAULT, &nan) >= 0);
    H5Tclose(half);
    H5Sclose(one);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(f);
    ib_hdf5_unlock();
    free(path);
    const char *names[] = {"a.h5", "nan.h5"};
    d = dataset_of(names, 2, NULL, 0);
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    CHECK_ERROR(ib_dataset_scan(d, 1000, &err), &err, IB_E_NONFINITE, "nan.h5: frame 5");
    ib_dataset_free(&d);
}

static void test_reading(void) {
    ib_error err = {0};
    ib_dataset *d = dataset_of(six, 6, NULL, 0);
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    uint16_t h[48 * 96], want[48 * 96];
    for (size_t k = 0; k < 3; k++) { /* more files than may be open, twice through the cache */
        for (size_t i = 0; i < 6; i++) {
            const ib_video *c = ib_dataset_video(d, i);
            ib_latent_file *f = NULL;
            size_t frame = c->info.frames / 2;
            CHECK_OK(ib_dataset_frame(d, i, frame, h, &err), &err);
            CHECK_OK(ib_latent_open(&f, c->path, &err), &err);
            CHECK_OK(ib_latent_read_half(f, frame, 1, want, &err), &err);
            CHECK(!memcmp(h, want, sizeof h));
            ib_latent_close(&f);
        }
    }
    ib_dataset_free(&d);
}

static void test_windows(void) {
    ib_error err = {0};
    ib_dataset *d = dataset_of(six, 6, NULL, 0);
    ib_sampler *s = NULL;
    ib_rng rng;
    size_t drawn[6] = {0}, gaps[17] = {0};
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    CHECK_OK(ib_sampler_create(&s, d, 2, 16, 4, &err), &err);
    ib_rng_seed(&rng, 8);
    for (int i = 0; i < 20000; i++) {
        ib_window w;
        ib_sampler_candidate(s, &rng, &w);
        const ib_video *c = ib_dataset_video(d, w.clip);
        bool crossed = false;
        drawn[w.clip]++;
        gaps[w.gap]++;
        CHECK(w.gap >= 2 && w.gap <= 16 && w.offset > 0 && w.offset < w.gap);
        CHECK(w.first + (size_t)w.gap < c->info.frames);
        for (size_t k = 0; k < c->shots; k++) {
            crossed |= c->shot[k] > w.first && c->shot[k] <= w.first + (size_t)w.gap;
        }
        CHECK(!crossed);
        double length = c->pts[w.first + (size_t)w.gap] - c->pts[w.first];
        CHECK_NEAR(w.gap_seconds, length, 1e-6);
        CHECK_NEAR(w.t, (c->pts[w.first + (size_t)w.offset] - c->pts[w.first]) / length, 1e-6);
    }
    size_t longest = 0, middle = 0, none = 0;
    for (size_t i = 0; i < 6; i++) {
        const ib_video *c = ib_dataset_video(d, i);
        CHECK_NEAR((double)drawn[i] / 20000, ib_sampler_share(s, i), 0.015);
        longest = c->info.frames == 900 ? drawn[i] : longest;
        middle = c->info.frames == 40 ? drawn[i] : middle;
        none = c->info.frames == 2 ? drawn[i] : none;
    }
    CHECK_INT(none, 0);
    printf("clips of 40 and 900 frames: %zu and %zu windows\n", middle, longest);
    CHECK(longest > 1.5 * middle && longest < 4 * middle); /* not 23 times, as their lengths */
    CHECK(gaps[2] > gaps[8] && gaps[16] > 100);
    ib_sampler_free(&s);
    CHECK_ERROR(ib_sampler_create(&s, d, 1000, 2000, 4, &err), &err, IB_E_EMPTY, "1001 frames");
    ib_dataset_free(&d);
}

static void test_clip_weight(void) {
    size_t one[] = {0, 64}, day[] = {0, 2000000}, film[] = {0, 64, 128, 192, 256};
    const ib_video shot = {.shot = one, .shots = 1}, endless = {.shot = day, .shots = 1},
                   many = {.shot = film, .shots = 4};
    CHECK_NEAR(ib_video_weight(&shot, 0), 0.5, 1e-12);
    CHECK_NEAR(ib_video_weight(&shot, 32), 1.0 / 3, 1e-12);
    CHECK_NEAR(ib_video_weight(&shot, 65), 0, 0);
    CHECK_NEAR(ib_video_weight(&endless, 2), 1, 1e-4);
    CHECK_NEAR(ib_video_weight(&many, 0), sqrt(2), 1e-12);
}

static void test_draws(void) {
    ib_error err = {0};
    const char *names[] = {"a.h5", "d.h5"}; /* moving and still */
    ib_dataset *d = dataset_of(names, 2, NULL, 0);
    ib_sampler *s = NULL;
    uint16_t h[3 * 48 * 96], again[3 * 48 * 96];
    size_t still = 0;
    CHECK_OK(ib_dataset_settle(d, 0, 1, &err), &err);
    CHECK_OK(ib_sampler_create(&s, d, 2, 8, 4, &err), &err);
    CHECK_OK(ib_sampler_calibrate(s, d, 256, &err), &err);
    CHECK(ib_sampler_median(s) > 0);
    for (uint64_t i = 0; i < 500; i++) {
        ib_window w, v;
        CHECK_OK(ib_sampler_draw(s, d, i, &w, h, &err), &err);
        still += !strcmp(ib_dataset_video(d, w.clip)->info.source, "d.mp4");
        if (i % 50 == 0) {
            CHECK_OK(ib_sampler_draw(s, d, i, &v, again, &err), &err);
            CHECK(!memcmp(&w, &v, sizeof w) && !memcmp(h, again, sizeof h));
        }
    }
    printf("still windows: %zu of 500, candidates: %.0f\n", still, 500 * ib_sampler_share(s, 1));
    CHECK(still > 10 && still < 120);

    /* the loader hands out the same samples in the same order */
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    ib_loader *l = NULL;
    const ib_sample *got[4];
    CHECK_OK(ib_loader_start(&l, d, s, &lock, &(ib_sample_order){100, 1, 1}, 8, &err), &err);
    for (uint64_t k = 0; k < 20; k++) {
        CHECK_OK(ib_loader_take(l, 4, got, &err), &err);
        for (uint64_t i = 0; i < 4; i++) {
            ib_window v;
            pthread_mutex_lock(&lock);
            CHECK_OK(ib_sampler_draw(s, d, 100 + 4 * k + i, &v, again, &err), &err);
            pthread_mutex_unlock(&lock);
            CHECK_INT(got[i]->index, 100 + 4 * k + i);
            CHECK(!memcmp(again, got[i]->h, sizeof again) && !memcmp(&v, &got[i]->window, sizeof v));
        }
        ib_loader_release(l, 4);
    }
    ib_loader_stop(&l);
    ib_sampler_free(&s);
    ib_dataset_free(&d);
}

int main(void) {
    dir = scratch_begin("train");
    make_files();
    RUN(test_optimisers());
    RUN(test_gradient_sum());
    RUN(test_schedule());
    RUN(test_cache());
    RUN(test_dataset());
    RUN(test_refusals());
    RUN(test_reading());
    RUN(test_windows());
    RUN(test_clip_weight());
    RUN(test_draws());
    scratch_end(dir);
    return check_report("test_train");
}
