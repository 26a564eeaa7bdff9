/* Damaged training states: refused with a sentence or read as they were written; never a crash, a hang or a
 * large allocation. Then the same damage under a valid seal, where HDF5 and our own checks are all that is
 * left. */
#include "base/memory.h"
#include "tests/corrupt.h"
#include "tests/moving.h"
#include "train/state.h"

enum { CASES = 2500, PARAMS = 700, LARGEST = 4 << 20 };

static void fill(ib_state *s) {
    ib_error err = {0};
    *s = (ib_state){.config = {.space_id = MOVING_SPACE,
                               .layout = IB_LAYOUT_GRID,
                               .width = 96,
                               .fine = 48,
                               .coarse = 64,
                               .fine_blocks = 1,
                               .coarse_blocks = 2,
                               .motion = true},
                    .plan = {.preset = "toaster",
                             .optimiser = "adamw",
                             .batch = 16,
                             .rate = 1e-3,
                             .clip_norm = 1,
                             .gap_min = 2,
                             .gap_max = 16,
                             .seed = -5,
                             .data = "0123"},
                    .minutes_total = 30,
                    .step = 123456789012,
                    .updates = 77,
                    .samples = 99,
                    .seconds = 12.5,
                    .loss = -0.25};
    CHECK_OK(ib_state_alloc(s, PARAMS, 2, &err), &err);
    for (int i = 0; i < PARAMS; i++) {
        s->weights[i] = sinf((float)i);
        s->ema[i] = cosf((float)i);
        s->moment[0][i] = 1e-3f * (float)i;
        s->moment[1][i] = 1e-20f * (float)i;
    }
    for (int i = 0; i < 5; i++) {
        CHECK_OK(ib_state_add_valid(s, &(ib_valid_point){i, 2.5 * i, 0.1 * i}, &err), &err);
    }
}

static bool equal(const ib_state *a, const ib_state *b) {
    size_t n = PARAMS * sizeof(float);
    return !strcmp(a->config.space_id, b->config.space_id) && a->config.layout == b->config.layout &&
           a->config.width == b->config.width && a->config.fine == b->config.fine &&
           a->config.coarse == b->config.coarse && a->config.motion == b->config.motion &&
           !strcmp(a->plan.preset, b->plan.preset) && !strcmp(a->plan.optimiser, b->plan.optimiser) &&
           !strcmp(a->plan.data, b->plan.data) && a->plan.batch == b->plan.batch &&
           a->plan.rate == b->plan.rate && a->plan.gap_max == b->plan.gap_max &&
           a->plan.seed == b->plan.seed && a->minutes_total == b->minutes_total &&
           a->steps_total == b->steps_total && a->step == b->step && a->updates == b->updates &&
           a->samples == b->samples && a->seconds == b->seconds && a->loss == b->loss &&
           a->params == b->params && a->moments == b->moments && a->valids == b->valids &&
           !memcmp(a->weights, b->weights, n) && !memcmp(a->ema, b->ema, n) &&
           !memcmp(a->moment[0], b->moment[0], n) && !memcmp(a->moment[1], b->moment[1], n) &&
           !memcmp(a->valid, b->valid, a->valids * sizeof *a->valid);
}

static void damage(const ib_state *good, const char *path, const char *bad, bool seal) {
    size_t size = 0;
    int opened = 0;
    uint8_t *bytes = corrupt_load(path, &size), *copy = malloc(size + 64);
    atomic_store(&corrupt_largest, 0);
    for (int k = 0; k < CASES; k++) {
        ib_rng r;
        ib_error err = {0};
        ib_state s;
        size_t m = size;
        ib_rng_seed2(&r, seal ? 2 : 1, (uint64_t)k);
        memcpy(copy, bytes, size);
        corrupt_begin(k + 1);
        const char *how = corrupt_damage(copy, &m, k, &r);
        unlink(bad); /* some file systems flush a file that is overwritten */
        corrupt_store(bad, copy, m);
        if (!seal || !ib_seal_write(bad, &err)) {
            err = (ib_error){0};
            if (ib_state_load(&s, bad, &err)) {
                CHECK(err.code < 0 && strstr(err.text, bad) && !s.weights && !s.valid);
            } else {
                opened++;
                if (!seal && !equal(&s, good)) {
                    printf("case %d (%s): read, but not what was written\n", k, how);
                    CHECK(!"equal");
                }
                ib_state_free(&s);
            }
        }
        corrupt_end();
    }
    printf("%zu bytes%s: %d cases, %d read; largest request %zu bytes\n", size, seal ? ", sealed again" : "",
           CASES, opened, (size_t)atomic_load(&corrupt_largest));
    CHECK(atomic_load(&corrupt_largest) <= LARGEST);
    CHECK(opened < CASES && (seal || opened < CASES / 4));
    free(bytes);
    free(copy);
}

static void check_refusals(ib_state *s, const char *dir, const char *good) {
    ib_error err = {0};
    ib_state loaded;
    char path[512];
    snprintf(path, sizeof path, "%s/none.h5", dir);
    CHECK_ERROR(ib_state_load(&loaded, path, &err), &err, IB_E_IO, "none.h5");
    CHECK_ERROR(ib_state_load(&loaded, dir, &err), &err, IB_E_FORMAT, "no regular file");
    corrupt_store(path, (const uint8_t *)"", 0);
    CHECK_ERROR(ib_state_load(&loaded, path, &err), &err, IB_E_FORMAT, "empty, expected");
    corrupt_store(path, (const uint8_t *)"not a state at all", 18);
    CHECK_ERROR(ib_state_load(&loaded, path, &err), &err, IB_E_FORMAT, "checksum is not there");
    snprintf(path, sizeof path, "%s/latents.h5", dir);
    CHECK_OK(moving_write(path, &(moving){2, 2, 3, 1, 1, NULL, false, "v", NULL}, &err), &err);
    CHECK_ERROR(ib_state_load(&loaded, path, &err), &err, IB_E_FORMAT, "of another kind");
    snprintf(path, sizeof path, "%s/missing/state.h5", dir);
    CHECK_ERROR(ib_state_save(s, path, &err), &err, IB_E_IO, "state.h5");

    /* what is not finite is not written, and what was there stays */
    float kept = s->moment[1][3];
    s->moment[1][3] = INFINITY;
    CHECK_ERROR(ib_state_save(s, good, &err), &err, IB_E_NONFINITE, "good.h5");
    s->moment[1][3] = kept;
    CHECK_OK(ib_state_load(&loaded, good, &err), &err);
    CHECK(equal(&loaded, s));
    ib_state_free(&loaded);
}

int main(void) {
    char *dir = scratch_begin("state"), good[512], bad[512];
    ib_error err = {0};
    ib_state s, loaded;
    snprintf(good, sizeof good, "%s/good.h5", dir);
    snprintf(bad, sizeof bad, "%s/bad.h5", dir);
    fill(&s);
    CHECK_OK(ib_state_save(&s, good, &err), &err);
    CHECK_OK(ib_state_load(&loaded, good, &err), &err);
    CHECK(equal(&loaded, &s));
    ib_state_free(&loaded);
    check_refusals(&s, dir, good);
    damage(&s, good, bad, false);
    damage(&s, good, bad, true);
    ib_state_free(&s);
    scratch_end(dir);
    return check_report("test_corrupt_state");
}
