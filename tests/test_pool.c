/* Pools: the rule by which several models become one, the files that workers publish, and what lies in the
 * folder besides. */
#include <sys/stat.h>
#include "weights/average.h"
#include "base/rng.h"
#include "base/seal.h"
#include "tests/pools.h"

/* ---- the rule ---- */

enum { N = 4000, VOICES = 7 };

/* k honest voices: an anchor of norm about 1 per element, a common way, and noise of their own. */
typedef struct crowd {
    float anchor[N], w[VOICES][N];
    ib_voice v[VOICES];
} crowd;

static void make_crowd(crowd *c, size_t k, uint64_t seed) {
    ib_rng rng;
    ib_rng_seed(&rng, seed);
    for (size_t j = 0; j < N; j++) {
        float common = 0.05f * ib_rng_normal(&rng);
        c->anchor[j] = ib_rng_normal(&rng);
        for (size_t i = 0; i < k; i++) {
            c->w[i][j] = c->anchor[j] + common + 0.05f * ib_rng_normal(&rng);
        }
    }
    for (size_t i = 0; i < k; i++) {
        c->v[i] = (ib_voice){.weights = c->w[i], .fresh = 800};
    }
}

static double relative_error(const float *got, const float *want) {
    return ib_params_distance(got, want, N) / ib_params_norm(want, N);
}

/* The mean of the first k. */
static void plain_mean(const crowd *c, size_t k, float *out) {
    const float *x[VOICES];
    double w[VOICES];
    for (size_t i = 0; i < k; i++) {
        x[i] = c->w[i];
        w[i] = 1.0 / (double)k;
    }
    ib_average_weighted(x, w, k, out, N);
}

static void test_honest(void) {
    static crowd c;
    static float out[N], mean[N];
    ib_error err = {0};
    for (size_t k = 1; k <= VOICES; k++) {
        make_crowd(&c, k, k);
        CHECK_OK(ib_pool_average(c.v, k, c.anchor, out, N, &err), &err);
        for (size_t i = 0; i < k; i++) {
            CHECK(c.v[i].verdict == IB_VOICE_TAKEN);
            CHECK_NEAR(c.v[i].share, 1.0 / (double)k, 1e-12);
        }
        plain_mean(&c, k, mean);
        CHECK_NEAR(relative_error(out, mean), 0, 1e-7);
    }
    /* equal models are their own average, to the bit */
    for (size_t i = 1; i < 3; i++) {
        memcpy(c.w[i], c.w[0], sizeof c.w[0]);
    }
    CHECK_OK(ib_pool_average(c.v, 3, c.anchor, out, N, &err), &err);
    CHECK(!memcmp(out, c.w[0], sizeof out));
    /* by samples, but four times the median at most; who has none has no share */
    make_crowd(&c, 4, 9);
    c.v[0].fresh = 100;
    c.v[1].fresh = c.v[2].fresh = 200;
    c.v[3].fresh = 1000000;
    CHECK_OK(ib_pool_average(c.v, 4, c.anchor, out, N, &err), &err);
    CHECK_NEAR(c.v[0].share, 100.0 / 1300, 1e-12);
    CHECK_NEAR(c.v[3].share, 800.0 / 1300, 1e-12);
    c.v[0].fresh = 0;
    CHECK_OK(ib_pool_average(c.v, 3, c.anchor, out, N, &err), &err);
    CHECK_NEAR(c.v[0].share, 0, 0);
    CHECK_NEAR(c.v[1].share, 0.5, 1e-12);
}

static void test_order(void) {
    static crowd c;
    static float first[N], out[N];
    ib_error err = {0};
    ib_rng rng;
    make_crowd(&c, 5, 77);
    for (size_t i = 0; i < 5; i++) {
        c.v[i].fresh = 300 + 137 * (int64_t)i;
    }
    for (size_t j = 0; j < N; j++) {
        c.w[4][j] *= 1.12f; /* one that is shortened */
    }
    CHECK_OK(ib_pool_average(c.v, 5, c.anchor, first, N, &err), &err);
    CHECK(c.v[4].verdict != IB_VOICE_TAKEN);
    ib_rng_seed(&rng, 3);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 4; i; i--) {
            size_t k = (size_t)ib_rng_below(&rng, i + 1);
            ib_voice t = c.v[i];
            c.v[i] = c.v[k];
            c.v[k] = t;
        }
        CHECK_OK(ib_pool_average(c.v, 5, c.anchor, out, N, &err), &err);
        CHECK(!memcmp(first, out, sizeof out));
    }
}

/* What one of five can do. */
typedef enum crime { RANDOM, HUGE_WEIGHTS, NEGATED, TURNED, ZERO, LIAR, CRIMES } crime;
static const char *const crime_names[] = {"random weights",  "weights x 100",
                                          "weights negated", "way turned round",
                                          "zeros",           "random, claims a million samples"};

static void commit(crowd *c, size_t i, crime what) {
    ib_rng rng;
    ib_rng_seed(&rng, 1000 + (uint64_t)what);
    for (size_t j = 0; j < N; j++) {
        float *w = &c->w[i][j], way = *w - c->anchor[j];
        *w = what == RANDOM || what == LIAR ? ib_rng_normal(&rng)
             : what == HUGE_WEIGHTS         ? 100 * *w
             : what == NEGATED              ? -*w
             : what == TURNED               ? c->anchor[j] - way
                                            : 0;
    }
    c->v[i].fresh = what == LIAR ? 1000000 : c->v[i].fresh;
}

static void test_crimes(void) {
    static crowd c;
    static float out[N], mean[N];
    ib_error err = {0};
    char why[160];
    for (int what = 0; what < CRIMES; what++) {
        for (size_t k = 3; k <= 5; k++) {
            make_crowd(&c, k, 50 + k);
            plain_mean(&c, k - 1, mean);
            commit(&c, k - 1, (crime)what);
            CHECK_OK(ib_pool_average(c.v, k, c.anchor, out, N, &err), &err);
            ib_voice_explain(&c.v[k - 1], why, sizeof why);
            double error = relative_error(out, mean), own = relative_error(c.w[0], mean);
            printf("%s, one of %zu: %s; off the honest mean by %.4f (one honest voice: %.4f)\n",
                   crime_names[what], k, why, error, own);
            CHECK(c.v[k - 1].verdict >= IB_VOICE_FAR && c.v[k - 1].share == 0);
            CHECK(error < 1e-6);
            for (size_t i = 0; i + 1 < k; i++) {
                CHECK(c.v[i].verdict <= IB_VOICE_SHORTENED);
            }
        }
        /* of two, the caller believes itself */
        if (what != TURNED) {
            make_crowd(&c, 2, 60);
            commit(&c, 1, (crime)what);
            CHECK_OK(ib_pool_average(c.v, 2, c.anchor, out, N, &err), &err);
            CHECK(c.v[1].verdict == IB_VOICE_FAR && !memcmp(out, c.w[0], sizeof out));
        }
    }
    /* no two agree: nobody knows better */
    make_crowd(&c, 2, 61);
    commit(&c, 0, RANDOM);
    commit(&c, 1, ZERO);
    CHECK_OK(ib_pool_average(c.v, 2, c.anchor, out, N, &err), &err);
}

/* A machine that has learned from ten times as many samples is further away, and welcome. */
static void test_fast_one(void) {
    static crowd c;
    static float out[N];
    ib_error err = {0};
    make_crowd(&c, 4, 90);
    for (size_t j = 0; j < N; j++) {
        c.w[3][j] = c.anchor[j] + 3.2f * (c.w[3][j] - c.anchor[j]);
    }
    c.v[3].fresh = 8000;
    CHECK_OK(ib_pool_average(c.v, 4, c.anchor, out, N, &err), &err);
    printf("ten times the samples: %.2f times the usual distance, share %.2f\n",
           c.v[3].distance / c.v[3].usual, c.v[3].share);
    CHECK(c.v[3].verdict == IB_VOICE_TAKEN && c.v[3].share > 0.5);
}

/* ---- files ---- */

static void test_file(const char *pool) {
    ib_adapter *a = make_adapter("walk", 1);
    ib_member m = card("anna", 4), got;
    ib_error err = {0};
    size_t n = ib_adapter_param_count(a), whole = 0, half = 0;
    char *path = ib_join(pool, "anna.safetensors");
    CHECK_OK(ib_member_write(&m, a, false, pool, &whole, &err), &err);
    CHECK_OK(ib_member_read(&got, path, most, &err), &err);
    CHECK(!strcmp(got.name, m.name) && !strcmp(got.token, m.token) && got.serial == 4 && got.round == 3 &&
          got.samples == 5000 && got.fresh == 800 && got.stream == 7 && got.bytes == whole &&
          got.params == n);
    CHECK_NEAR(got.skill, 0.1234, 1e-9);
    CHECK(got.weights && !memcmp(got.weights, ib_adapter_params(a), n * sizeof(float)));
    ib_member_free(&got);
    /* it is an adapter like any other */
    ib_adapter *b = NULL;
    CHECK_OK(ib_adapter_open(&b, path, &err), &err);
    ib_adapter_free(&b);
    /* half the bytes of weights; 11 bits of each */
    CHECK_OK(ib_member_write(&m, a, true, pool, &half, &err), &err);
    CHECK_OK(ib_member_read(&got, path, most, &err), &err);
    CHECK_NEAR(ib_params_distance(got.weights, ib_adapter_params(a), n) / ib_params_norm(got.weights, n), 0,
               0x1p-11);
    ib_member_free(&got);
    printf("%zu parameters: %zu and %zu bytes\n", n, whole, half);
    CHECK(whole > 4 * n && whole < 4 * n + 4096);
    CHECK(half > 2 * n && half < 2 * n + 4096);
    /* unknown skill */
    m.skill = NAN;
    CHECK_OK(ib_member_write(&m, a, false, pool, NULL, &err), &err);
    CHECK_OK(ib_member_read(&got, path, most, &err), &err);
    CHECK(isnan(got.skill));
    ib_member_free(&got);
    CHECK_ERROR(ib_member_read(&got, path, 1000, &err), &err, IB_E_UNSUPPORTED, "expected at most 1000");
    /* what is not finite is not published, and what was there stays */
    ib_adapter_params(a)[n / 2] = NAN;
    CHECK_ERROR(ib_member_write(&m, a, false, pool, NULL, &err), &err, IB_E_NONFINITE, "not finite");
    ib_adapter_params(a)[n / 2] = 70000;
    CHECK_ERROR(ib_member_write(&m, a, true, pool, NULL, &err), &err, IB_E_NONFINITE, "as a half");
    CHECK_OK(ib_member_read(&got, path, most, &err), &err);
    ib_member_free(&got);
    CHECK(ib_member_name_fits("a") && ib_member_name_fits("x-1_2.y") && !ib_member_name_fits("") &&
          !ib_member_name_fits(".x") && !ib_member_name_fits("-x") && !ib_member_name_fits("a/b") &&
          !ib_member_name_fits("0123456789012345678901234567890123456789012345678901234567890123"));
    unlink(path);
    free(path);
    ib_adapter_free(&a);
}

/* Every bit of the header, bits all over the weights, every kind of cut. */
static void test_damage(const char *pool) {
    ib_adapter *a = make_adapter("walk", 1);
    ib_member got;
    ib_error err = {0};
    size_t n, flips = 0, cuts = 0, read = 0;
    char *path = ib_join(pool, "anna.safetensors");
    publish(pool, "anna", 1, a);
    uint8_t *b = slurp(path, &n), *bad = malloc(n + 100);
    memcpy(bad, b, n);
    size_t header = 8 + (size_t)b[0] + ((size_t)b[1] << 8);
    for (size_t at = 0; at < n; at += at < header ? 1 : 61) {
        int bit = (int)((at * 7 + at / 8) % 8);
        bad[at] ^= (uint8_t)(1 << bit);
        store(path, bad, n);
        read += !ib_member_read(&got, path, most, &err);
        CHECK(err.text[0]);
        ib_member_free(&got);
        bad[at] = b[at];
        flips++;
    }
    for (size_t size = 0; size < n; size += size < 40 || n - size < 40 ? 1 : 97) {
        store(path, b, size);
        read += !ib_member_read(&got, path, most, &err);
        ib_member_free(&got);
        cuts++;
    }
    memset(bad + n, 0, 100);
    store(path, bad, n + 100);
    read += !ib_member_read(&got, path, most, &err);
    printf("%zu bytes: %zu with a flipped bit, %zu cut short, 1 with zeros behind; %zu of them were read\n",
           n, flips, cuts, read);
    CHECK_INT(read, 0);
    free(b);
    free(bad);
    unlink(path);
    free(path);
    ib_adapter_free(&a);
}

/* ---- the folder ---- */

static void put_text(const char *pool, const char *name, const char *text) {
    char *path = ib_join(pool, name);
    store(path, (const uint8_t *)text, strlen(text));
    free(path);
}

static void test_folder(const char *pool) {
    ib_adapter *a = make_adapter("walk", 1), *other = make_adapter("run", 1);
    ib_pool *p = NULL;
    ib_pool_news news;
    ib_error err = {0};
    const ib_adapter_config *mine = ib_adapter_config_of(a);
    CHECK_OK(ib_pool_open(&p, pool, "anna", &err), &err);
    CHECK_OK(ib_pool_check(p, &err), &err);
    CHECK_OK(ib_pool_writable(p, &err), &err);
    CHECK_OK(ib_pool_listen(p, mine, 32, most, &news, &err), &err);
    CHECK(news.members == 0 && news.remarks == 0);
    publish(pool, "anna", 1, a);
    publish(pool, "bert", 1, a);
    publish(pool, "carl", 1, a);
    publish(pool, "dora", 1, other);
    put_text(pool, "README.txt", "not ours");
    put_text(pool, "junk.safetensors", "junk");
    put_text(pool, ".anna.safetensors.12.tmp", "half written");
    char *sub = ib_join(pool, "folder.safetensors"), *plain = ib_join(pool, "plain.safetensors");
    char *copy = ib_join(pool, "bert (copy).safetensors"), *bert = ib_join(pool, "bert.safetensors");
    mkdir(sub, 0777);
    CHECK_OK(ib_adapter_save(a, plain, NULL, 0, &err), &err);
    size_t n;
    uint8_t *b = slurp(bert, &n);
    store(copy, b, n);
    free(b);
    CHECK_OK(ib_pool_listen(p, mine, 32, most, &news, &err), &err);
    CHECK_INT(news.members, 2);
    for (size_t i = 0; i < news.remarks; i++) {
        printf("left out %s\n", news.remark[i]);
    }
    CHECK_INT(news.remarks, 5);
    CHECK(said(&news, "dora.safetensors: of the space 'run', expected 'walk'"));
    CHECK(said(&news, "junk.safetensors") && said(&news, "plain.safetensors: not a pool member's") &&
          said(&news, "folder.safetensors") && said(&news, "a copy of what worker bert published"));
    ib_pool_news_free(&news);
    /* heard is heard, named is named */
    CHECK_OK(ib_pool_listen(p, mine, 32, most, &news, &err), &err);
    CHECK(news.members == 0 && news.remarks <= 1); /* a folder is no file and is tried again */
    ib_pool_news_free(&news);
    publish(pool, "carl", 2, a);
    publish(pool, "bert", 1, a); /* the same once more, as a tool for synchronising may */
    CHECK_OK(ib_pool_listen(p, mine, 32, most, &news, &err), &err);
    CHECK(news.members == 1 && !strcmp(news.member[0].name, "carl") && news.member[0].serial == 2);
    ib_pool_news_free(&news);
    /* the turn of all comes, few at a time */
    ib_pool_close(&p);
    CHECK_OK(ib_pool_open(&p, pool, "anna", &err), &err);
    int heard = 0;
    for (int i = 0; i < 3; i++) {
        publish(pool, "bert", 10 + i, a); /* always has something to say */
        CHECK_OK(ib_pool_listen(p, mine, 1, most, &news, &err), &err);
        heard |= news.members == 1 ? !strcmp(news.member[0].name, "bert") ? 1 : 2 : 0;
        ib_pool_news_free(&news);
    }
    CHECK_INT(heard, 3);
    ib_pool_close(&p);

    /* away, and a file in its place */
    char *none = ib_join(pool, "none");
    CHECK_OK(ib_pool_open(&p, none, "anna", &err), &err);
    CHECK_ERROR(ib_pool_check(p, &err), &err, IB_E_IO, "make the folder, or mount it");
    CHECK_ERROR(ib_pool_listen(p, mine, 32, most, &news, &err), &err, IB_E_IO, "the pool cannot be read");
    ib_pool_close(&p);
    CHECK_OK(ib_pool_open(&p, plain, "anna", &err), &err);
    CHECK_ERROR(ib_pool_check(p, &err), &err, IB_E_IO, "a file, expected");
    ib_pool_close(&p);
    free(none);
    free(sub);
    free(plain);
    free(copy);
    free(bert);
    ib_adapter_free(&a);
    ib_adapter_free(&other);
}

static void test_rounds(void) {
    ib_member m[4] = {{.round = 5}, {.round = 7}, {.round = INT64_C(1) << 60}, {.round = 6}};
    ib_pool_news news = {.member = m, .members = 4};
    CHECK_INT(ib_pool_round(&news, -1), 7); /* one claim alone moves nobody */
    CHECK_INT(ib_pool_round(&news, 9), 9);
    news.members = 1;
    CHECK_INT(ib_pool_round(&news, -1), 5);
    CHECK_INT(ib_pool_round(&news, 3), 3);
    news.members = 0;
    CHECK_INT(ib_pool_round(&news, -1), -1);
    CHECK_INT(ib_pool_round(&news, 4), 4);
}

static void test_survey(void) {
    char *pool = in_dir("survey"), *out = in_dir("average.safetensors");
    ib_adapter *a = NULL;
    ib_survey s;
    ib_error err = {0};
    CHECK_OK(ib_mkdirs(pool, &err), &err);
    CHECK_OK(ib_pool_survey(&s, pool, 0, &err), &err);
    CHECK(s.news.members == 0 && !s.average);
    CHECK_ERROR(ib_pool_survey_save(&s, out, &err), &err, IB_E_EMPTY, "nothing in the pool");
    CHECK(!ib_is_file(out));
    ib_pool_survey_free(&s);
    for (uint64_t i = 0; i < 4; i++) {
        char name[8] = {(char)('a' + i), 0};
        a = make_adapter("walk", 1);
        ib_rng rng;
        ib_rng_seed(&rng, 5 + i);
        for (size_t j = 0; j < ib_adapter_param_count(a); j++) {
            float *w = &ib_adapter_params(a)[j];
            *w = i == 3 ? 100 * *w : *w + 0.001f * ib_rng_normal(&rng);
        }
        publish(pool, name, 1, a);
        ib_adapter_free(&a);
    }
    CHECK_OK(ib_pool_survey(&s, pool, 0, &err), &err);
    CHECK_INT(s.news.members, 4);
    CHECK_INT(s.round, 3);
    for (size_t i = 0; i < 4; i++) {
        CHECK(!strcmp(s.row[i].member->name, (char[]){(char)('a' + i), 0}));
        CHECK_NEAR(s.row[i].share, i == 3 ? 0 : 1.0 / 3, 1e-9);
        CHECK(i == 3 ? s.row[i].verdict == IB_VOICE_FAR && strstr(s.row[i].why, "as far") &&
                           s.row[i].distance > 50
                     : s.row[i].verdict == IB_VOICE_TAKEN && s.row[i].distance < 0.1);
    }
    CHECK_OK(ib_pool_survey_save(&s, out, &err), &err);
    CHECK_OK(ib_adapter_open(&a, out, &err), &err);
    CHECK(a && !memcmp(ib_adapter_params(a), s.average, s.params * sizeof(float)));
    ib_adapter_free(&a);
    ib_pool_survey_free(&s);
    free(pool);
    free(out);
}

int main(void) {
    dir = scratch_begin("pool");
    char *pool = in_dir("files");
    ib_error err = {0};
    CHECK_OK(ib_mkdirs(pool, &err), &err);
    RUN(test_honest());
    RUN(test_order());
    RUN(test_crimes());
    RUN(test_fast_one());
    RUN(test_file(pool));
    RUN(test_damage(pool));
    RUN(test_folder(pool));
    RUN(test_rounds());
    RUN(test_survey());
    free(pool);
    scratch_end(dir);
    return check_report("test_pool");
}
