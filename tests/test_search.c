/* Search: candidates, the tree of times, the judge's file, its losses, what a beam and a mean find, and what
 * it learns. */
#include <stdatomic.h>
#include <unistd.h>
#include "adapter/adapter.h"
#include "base/safetensors.h"
#include "eval/eval.h"
#include "search/judge_case.h"
#include "search/judge_loss.h"
#include "search/judge_train.h"
#include "search/search.h"
#include "tests/check.h"
#include "tests/clips.h"
#include "tests/seen.h"

enum { WIDE = 24, VIDEOS = 6, FRAMES = 65 };
/* The first is greater than the second. */
static void check_above(double more, double less, const char *what) {
    check_done++;
    if (!(more > less)) {
        check_failed++;
        printf("%s: FAILED %s: %g is not above %g\n", __FILE__, what, more, less);
    }
}
#define CHECK_ABOVE(more, less) check_above(more, less, #more " > " #less)

static const char model[] = "sha256:0123 pixel.safetensors";

static const char *video(int number) {
    char name[32];
    snprintf(name, sizeof name, "v/seen%d.h5", number);
    return in_scratch(name);
}

/* Guides are the truth with noise that grows with the distance from a keyframe: worth following near them. */
static void write_videos(void) {
    ib_error err;
    CHECK_OK(ib_mkdirs(in_scratch("v"), &err), &err);
    for (int i = 0; i < VIDEOS; i++) {
        seen s = {.number = i,
                  .frames = FRAMES,
                  .blur = 0.2f,
                  .blur_a_frame = 0.3f,
                  .model = model,
                  .shape = {IB_LAYOUT_SEQUENCE, 1, 3, 3, WIDE}};
        CHECK_OK(seen_write(video(i), &s, &err), &err);
    }
}

/* The first window of a gap, slerp's answers. truth: [gap - 1,T,D] or NULL */
static ib_sought window_of(int gap, bool guided, float *truth) {
    ib_error err;
    ib_latent_file *f = NULL;
    ib_sought s;
    const ib_guide_window *w;
    CHECK_OK(ib_latent_open(&f, video(0), &err), &err);
    const ib_latent_info *i = ib_latent_info_of(f);
    CHECK_OK(ib_sought_create(&s, NULL, i->space_id, &i->shape, (size_t)gap, &err), &err);
    CHECK(ib_guide_windows(ib_latent_guides(f), gap, &w) > 0);
    CHECK_OK(ib_sought_read(&s, f, w->first, gap, guided ? w->at : SIZE_MAX, truth, &err), &err);
    CHECK_OK(ib_sought_answer(&s, NULL, &err), &err);
    ib_latent_close(&f);
    return s;
}

/* Those with guides, or else end to end. */
static void test_windows(void) {
    ib_error err;
    ib_latent_file *f = NULL;
    ib_guide_window *w = NULL;
    size_t n = 0, k = 0;
    CHECK_OK(ib_latent_open(&f, video(0), &err), &err);
    CHECK_OK(ib_sought_windows(f, &w, &n, &err), &err);
    CHECK_INT(n, ib_latent_guides(f)->windows);
    CHECK(n && !memcmp(w, ib_latent_guides(f)->window, n * sizeof *w));
    ib_free(w);
    ib_latent_close(&f);
    seen s = {.frames = FRAMES, .blur = -1, .shape = {IB_LAYOUT_SINGLE, 1, 1, 1, WIDE}};
    CHECK_OK(seen_write(in_scratch("plain.h5"), &s, &err), &err);
    CHECK_OK(ib_latent_open(&f, in_scratch("plain.h5"), &err), &err);
    CHECK_OK(ib_sought_windows(f, &w, &n, &err), &err);
    CHECK_INT(n, 16 + 8 + 4);
    for (int gap = 4; gap <= 16 && n == 28; gap *= 2) {
        for (size_t first = 0; first + 1 < FRAMES; first += (size_t)gap, k++) {
            CHECK(w[k].first == first && w[k].gap == gap && w[k].at == SIZE_MAX);
        }
    }
    ib_free(w);
    ib_latent_close(&f);
}

/* ---- candidates ---- */

static void test_candidates(bool guided) {
    enum { N = 60 };
    ib_sought s = window_of(8, guided, NULL);
    float a[N * WIDE], b[N * WIDE];
    size_t fixed = ib_candidates_fixed(guided);
    for (int k = 0; k < WIDE; k++) { /* an answer that is not slerp's */
        s.own[(3 * 3 + 1) * WIDE + k] += 0.1f * (float)k;
    }
    ib_strand at = {&s, 1, 3};
    ib_candidates_make(&at, N, 5, a);
    CHECK(!memcmp(a, s.own + (3 * 3 + 1) * WIDE, WIDE * sizeof *a));
    ib_candidates_make(&at, fixed, 6, b); /* fewer of them, another seed: the fixed ones are the same */
    CHECK(!memcmp(a, b, fixed * WIDE * sizeof *a));
    CHECK(!memcmp(a + (fixed - 1) * WIDE, s.slerp + (3 * 3 + 1) * WIDE, WIDE * sizeof *a));
    ib_candidates_make(&at, N, 5, b);
    CHECK(!memcmp(a, b, sizeof a));
    ib_candidates_make(&at, N, 6, b);
    CHECK(memcmp(a + fixed * WIDE, b + fixed * WIDE, (N - fixed) * WIDE * sizeof *a));
    for (size_t i = 0; i < N; i++) {
        size_t m = ib_candidate_maker_of(guided, i);
        CHECK(m < ib_candidate_maker_count() && (guided || !ib_candidate_makers[m].guided));
        CHECK((i >= fixed) == (m + 1 == ib_candidate_maker_count()));
        for (size_t k = 0; k < i && i < fixed; k++) { /* no two alike */
            bool slerp = ib_candidate_makers[m].count == 1;
            CHECK(slerp || memcmp(a + i * WIDE, a + k * WIDE, WIDE * sizeof *a));
        }
    }
    CHECK(fixed + IB_JUDGE_CASE_DRAWN <= IB_JUDGE_CASE_CANDIDATES);
    ib_sought_free(&s);
}

/* Every place once, between places that were filled before it. */
static void test_order(void) {
    for (size_t n = 1; n < 70; n++) {
        ib_search_node node[70];
        bool filled[70] = {0};
        ib_search_order(n, node);
        CHECK_INT(node[0].place, (n - 1) / 2);
        for (size_t i = 0; i < n; i++) {
            ib_search_node at = node[i];
            CHECK(at.left < at.place && at.place < at.right && at.left >= -1 && at.right <= (int)n);
            CHECK(!filled[at.place] && (at.left < 0 || filled[at.left]) &&
                  (at.right == (int)n || filled[at.right]));
            for (int k = at.left + 1; k < at.right; k++) {
                CHECK(!filled[k]);
            }
            filled[at.place] = true;
        }
    }
}

static void test_mean(void) {
    const float z[] = {2, 0, 0, 4};
    double even[] = {0.5, 0.5}, first[] = {1, 0};
    float out[2];
    ib_search_mean(z, even, 2, 2, out);
    CHECK_NEAR(out[0], 3 / sqrt(2), 1e-6);
    CHECK_NEAR(out[1], 3 / sqrt(2), 1e-6);
    ib_search_mean(z, first, 2, 2, out);
    CHECK_NEAR(out[0], 2, 1e-6);
    CHECK_NEAR(out[1], 0, 1e-6);
}

/* ---- the judge ---- */

/* Each kind's gradient against differences, and that the truth's score rises or stays. */
static void test_losses(void) {
    enum { C = 5, ROWS = 8 };
    ib_rng r;
    ib_rng_seed(&r, 9);
    float score[ROWS], err[ROWS], gram[C * C], off[C][4], d[ROWS];
    for (int i = 0; i < ROWS; i++) {
        score[i] = ib_rng_normal(&r);
        err[i] = i + 1 == ROWS ? 0 : 0.2f + 0.3f * ib_rng_float(&r);
    }
    for (int i = 0; i < C; i++) {
        for (int k = 0; k < 4; k++) {
            off[i][k] = ib_rng_normal(&r);
        }
    }
    for (int i = 0; i < C * C; i++) {
        gram[i] = 0;
        for (int k = 0; k < 4; k++) {
            gram[i] += off[i / C][k] * off[i % C][k];
        }
    }
    ib_judge_case c = {C, ROWS, score, err, gram};
    for (const ib_judge_kind *k = ib_judge_kinds; k->name; k++) {
        CHECK(ib_judge_kind_find(k->name) == k);
        memset(d, 0, sizeof d);
        k->loss(&c, 1, d);
        for (int i = 0; i < ROWS; i++) {
            float ignored[ROWS] = {0}, was = score[i], step = 1e-2f;
            score[i] = was + step;
            double more = k->loss(&c, 0, ignored);
            score[i] = was - step;
            double less = k->loss(&c, 0, ignored);
            score[i] = was;
            CHECK_NEAR(d[i], (more - less) / (2 * (double)step), 2e-4);
        }
        CHECK(d[ROWS - 1] <= 0);
    }
    CHECK(!ib_judge_kind_find("taste"));
}

/* One that scores by the distance from slerp: higher is nearer with sign 1, farther with -1. */
static ib_search_judge *plain_judge(float sign) {
    ib_search_judge *j = ib_calloc(1, sizeof *j);
    snprintf(j->space_id, sizeof j->space_id, "%s", SEEN_SPACE);
    snprintf(j->kind, sizeof j->kind, "rank");
    j->temperature = 0.5f;
    for (int i = 0; i < IB_JUDGE_INPUTS; i++) {
        j->scale[i] = 1;
    }
    enum { SLERP = 4 };
    j->params[IB_JUDGE_INTO + (IB_JUDGE_COMMON + SLERP) * IB_JUDGE_WIDTH] = 1;
    j->params[IB_JUDGE_INTO_BIAS] = 20; /* silu is a line there */
    j->params[IB_JUDGE_HIDDEN] = 1;
    j->params[IB_JUDGE_HIDDEN_BIAS] = 20;
    j->params[IB_JUDGE_OUT] = -sign;
    return j;
}

static void test_file(void) {
    ib_error err;
    ib_search_judge *j = plain_judge(1), *back = NULL;
    const char *path = in_scratch("judge.safetensors");
    CHECK_OK(ib_search_judge_save(j, path, &err), &err);
    CHECK_OK(ib_search_judge_open(&back, path, &err), &err);
    CHECK(back && !memcmp(j, back, sizeof *j));
    CHECK_OK(ib_search_judge_check(j, path, SEEN_SPACE, "this one", &err), &err);
    CHECK_INT(ib_search_judge_check(j, path, "other:space", "this one", &err), IB_E_MISMATCH);
    CHECK(strstr(err.text, "judge.safetensors: a judge of the space 'seen:test:v1', but this one is of "
                           "'other:space'"));
    ib_search_judge_free(&back);
    /* truncated, of another kind, not finite */
    CHECK(!truncate(path, 5000));
    CHECK_INT(ib_search_judge_open(&back, path, &err), IB_E_FORMAT);
    CHECK(!back);
    const ib_st_meta meta = {"inbetween.format", "2"};
    CHECK_OK(ib_st_write(path, NULL, 0, &meta, 1, &err), &err);
    CHECK_INT(ib_search_judge_open(&back, path, &err), IB_E_FORMAT);
    CHECK(strstr(err.text, "not a judge of in-betweens"));
    const ib_st_meta older = {"inbetween.judge", "1"};
    CHECK_OK(ib_st_write(path, NULL, 0, &older, 1, &err), &err);
    CHECK_INT(ib_search_judge_open(&back, path, &err), IB_E_UNSUPPORTED);
    CHECK(strstr(err.text, "a judge of format 1, this version reads format 2: train it anew"));
    j->params[7] = NAN;
    CHECK_OK(ib_search_judge_save(j, path, &err), &err);
    CHECK_INT(ib_search_judge_open(&back, path, &err), IB_E_NONFINITE);
    ib_search_judge_free(&j);
}

/* Bits flipped, bytes zeroed, ends cut off: refused, or a judge with which a search is finite. */
static void test_damaged(void) {
    enum { CASES = 300, N = 3 * 3 * WIDE };
    ib_error err;
    ib_rng r;
    ib_rng_seed(&r, 3);
    const char *path = in_scratch("damaged.safetensors");
    ib_search_judge *j = plain_judge(-1);
    CHECK_OK(ib_search_judge_save(j, path, &err), &err);
    ib_search_judge_free(&j);
    FILE *f = fopen(path, "rb");
    uint8_t *whole = ib_calloc(1 << 18, 1), *bytes = ib_calloc(1 << 18, 1);
    size_t n = fread(whole, 1, 1 << 18, f), header = 8 + (size_t)whole[0] + ((size_t)whole[1] << 8),
           opened = 0;
    fclose(f);
    ib_sought s = window_of(4, true, NULL);
    for (int i = 0; i < CASES; i++) {
        size_t keep = i % 3 ? n : ib_rng_below(&r, n);
        memcpy(bytes, whole, n);
        for (int k = 0; k < 4 && i % 3; k++) {
            size_t at = ib_rng_below(&r, i % 2 ? header : n);
            bytes[at] = i % 3 == 1 ? 0 : bytes[at] ^ (uint8_t)(1u << ib_rng_below(&r, 8));
        }
        f = fopen(path, "wb");
        CHECK(fwrite(bytes, 1, keep, f) == keep);
        fclose(f);
        if (ib_search_judge_open(&j, path, &err)) {
            CHECK(!j && strstr(err.text, path));
            continue;
        }
        float z[N];
        ib_search_options o = {.candidates = 40, .beam = 2, .condense = 9, .seed = 1, .threads = 1};
        CHECK_OK(ib_search_window(j, &s, &o, z, NULL, &err), &err);
        for (int k = 0; k < N; k++) {
            CHECK(isfinite(z[k]));
        }
        ib_search_judge_free(&j);
        opened++;
    }
    CHECK(opened > 20 && opened < 250);
    ib_sought_free(&s);
    ib_free(whole);
    ib_free(bytes);
}

/* ---- search ---- */

static const ib_search_options usual = {.candidates = 40, .beam = 3, .condense = 1, .seed = 1, .threads = 1};

static double apart(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return sum;
}

/* A judge that wants slerp gets it, and one that does not gets what is farthest from it. */
static void test_choice(void) {
    enum { N = 7 * 3 * WIDE };
    ib_error err;
    float near[N], far[N], mean[N];
    bool whole;
    ib_sought s = window_of(8, true, NULL);
    ib_search_judge *likes = plain_judge(1), *loathes = plain_judge(-1);
    ib_search_options o = usual;
    CHECK_OK(ib_search_window(likes, &s, &o, near, &whole, &err), &err);
    CHECK(whole && !memcmp(near, s.slerp, sizeof near));
    CHECK_OK(ib_search_window(loathes, &s, &o, far, &whole, &err), &err);
    for (size_t place = 0; place < 7; place++) {
        float z[40 * WIDE];
        double most = 0;
        ib_strand at = {&s, 2, place};
        size_t here = (place * 3 + 2) * WIDE;
        ib_candidates_make(&at, 40, 1, z);
        for (int c = 0; c < 40; c++) {
            most = fmax(most, apart(z + c * WIDE, s.slerp + here, WIDE));
        }
        CHECK_NEAR(apart(far + here, s.slerp + here, WIDE) / most, 1, 1e-3);
    }
    /* a mean of the best few lies between */
    o.condense = 10;
    CHECK_OK(ib_search_window(loathes, &s, &o, mean, &whole, &err), &err);
    CHECK(apart(mean, s.slerp, N) < apart(far, s.slerp, N) && apart(mean, s.slerp, N) > 0);
    ib_search_judge_free(&likes);
    ib_search_judge_free(&loathes);
    ib_sought_free(&s);
}

static void test_bits(void) {
    enum { N = 15 * 3 * WIDE };
    ib_error err;
    float *z = ib_calloc(3 * N, sizeof *z);
    ib_sought s = window_of(16, true, NULL);
    ib_search_judge *j = plain_judge(-1);
    ib_search_options o = usual;
    o.condense = 5;
    CHECK_OK(ib_search_window(j, &s, &o, z, NULL, &err), &err);
    o.threads = 2;
    CHECK_OK(ib_search_window(j, &s, &o, z + N, NULL, &err), &err);
    CHECK(!memcmp(z, z + N, N * sizeof *z));
    o.seed = 2;
    CHECK_OK(ib_search_window(j, &s, &o, z + N, NULL, &err), &err);
    CHECK(memcmp(z, z + N, N * sizeof *z));
    /* one candidate: the adapter's answer */
    o = usual;
    o.candidates = 1;
    CHECK_OK(ib_search_window(j, &s, &o, z, NULL, &err), &err);
    CHECK(!memcmp(z, s.own, N * sizeof *z));
    ib_search_judge_free(&j);
    ib_sought_free(&s);
    ib_free(z);
}

/* Out of time, or stopped: the best so far, which is whole. */
static void test_stop(void) {
    enum { N = 15 * 3 * WIDE };
    ib_error err;
    float *z = ib_calloc(N, sizeof *z);
    atomic_int stop = 1;
    bool whole = true;
    ib_sought s = window_of(16, true, NULL);
    ib_search_judge *j = plain_judge(-1);
    ib_search_options o = usual;
    o.stop = &stop;
    CHECK_OK(ib_search_window(j, &s, &o, z, &whole, &err), &err);
    CHECK(!whole && !memcmp(z, s.own, N * sizeof *z));
    o = usual;
    o.seconds = 1e-9;
    CHECK_OK(ib_search_window(j, &s, &o, z, &whole, &err), &err);
    CHECK(!whole && !memcmp(z, s.own, N * sizeof *z));
    ib_search_judge_free(&j);
    ib_sought_free(&s);
    ib_free(z);
}

static void test_numbers(void) {
    ib_error err;
    ib_search_options bad[] = {usual, usual, usual, usual, usual, usual};
    bad[0].candidates = 0;
    bad[1].candidates = 1000000;
    bad[2].beam = 0;
    bad[3].condense = 41;
    bad[4].seconds = -1;
    bad[5].beam = 65;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(ib_search_check(&bad[i], &err), IB_E_ARGUMENT);
    }
    CHECK_OK(ib_search_check(&usual, &err), &err);
}

/* ---- learning ---- */

static ib_search_judge *learn(const char *kind, ib_judge_report *r) {
    ib_error err;
    char *dir = (char *)in_scratch("v");
    const ib_paths latents = {&dir, 1};
    ib_judge_training o;
    ib_search_judge *j = NULL;
    ib_judge_training_defaults(&o);
    o.latents = &latents;
    o.kind = kind;
    o.samples = 900;
    o.epochs = 25;
    o.valid_part = 0.34;
    CHECK_OK(ib_judge_train(&j, &o, r, &err), &err);
    return j;
}

static void test_learning(void) {
    ib_judge_report r, again;
    ib_search_judge *j = learn("both", &r), *same = learn("both", &again);
    ib_error err;
    CHECK(j && same && !memcmp(j, same, sizeof *j));
    CHECK_INT(r.train_videos, 4);
    CHECK_INT(r.valid_videos, 2);
    CHECK(r.parameters < 200000);
    CHECK_ABOVE(r.accuracy, 0.75);
    CHECK_ABOVE(0.2, r.still_fooled);
    CHECK(isnan(r.slerp_fooled)); /* there is no adapter but slerp */
    CHECK_ABOVE(0.15, r.calibration);
    CHECK_ABOVE(r.condensed, r.own + 0.1);
    CHECK_ABOVE(r.oracle, r.best);
    CHECK_OK(ib_search_judge_save(j, in_scratch("learned.safetensors"), &err), &err);
    ib_search_judge_free(&j);
    ib_search_judge_free(&same);
}

/* Errors are in the unit of slerp's mean one at the same gap, whatever file they come from. */
static void test_units(void) {
    ib_error err;
    ib_paths files = {0};
    ib_judge_samples s;
    CHECK_OK(ib_paths_expand(&files, in_scratch("v"), ib_is_latent_name, &err), &err);
    const ib_judge_sampling o = {
        .latents = &files, .samples = 300, .valid_part = 0.34, .seed = 1, .threads = 1};
    CHECK_OK(ib_judge_samples_make(&s, &o, &err), &err);
    for (size_t k = 0; k < s.trains; k++) {
        double sum = 0, n = 0;
        for (size_t i = 0; i < s.trains; i++) {
            bool same = s.train[i].gap == s.train[k].gap;
            sum += same ? (double)s.train[i].slerp_error : 0;
            n += same;
        }
        CHECK_NEAR(sum / n, 1, 1e-4);
    }
    CHECK(s.trains > 100 && s.valids > 50);
    ib_judge_samples_free(&s);
    ib_paths_free(&files);
}

/* What it is worth in an evaluation of videos that it has not seen. */
static void test_rows(void) {
    ib_error err;
    ib_eval_report r;
    ib_eval_options o;
    seen s = {.number = 40,
              .frames = FRAMES,
              .blur = 0.2f,
              .blur_a_frame = 0.3f,
              .model = model,
              .shape = {IB_LAYOUT_SEQUENCE, 1, 3, 3, WIDE}};
    char *path = (char *)in_scratch("other.h5");
    const ib_paths inputs = {&path, 1};
    CHECK_OK(seen_write(path, &s, &err), &err);
    ib_eval_defaults(&o);
    o.inputs = &inputs;
    o.search = (ib_search_asked){.candidates = 27, .condense = 27, .beam = 2};
    o.search.judge = in_scratch("learned.safetensors");
    CHECK_OK(ib_eval(&o, &r, &err), &err);
    double skill[IB_EVAL_SLERP + 16];
    const char *names[] = {"mean of candidates", "search", "search, condensed", "nearest candidate"};
    for (size_t i = 0; i < 4; i++) {
        skill[i] = NAN;
        for (size_t m = 0; m < r.methods; m++) {
            skill[i] =
                strcmp(r.method[m].name, names[i]) ? skill[i] : r.gap[0].mean[m].figure[IB_FIGURE_SKILL];
        }
    }
    CHECK_ABOVE(skill[2], skill[0]);
    CHECK_ABOVE(skill[2], 0.1);
    CHECK_ABOVE(skill[3], skill[1]);
    CHECK_ABOVE(skill[3], skill[2]);
    ib_eval_report_free(&r);
    /* without a judge the nearest candidate alone; a judge without a search, to condense without a judge */
    o.search.judge = NULL;
    o.search.condense = 1;
    CHECK_OK(ib_eval(&o, &r, &err), &err);
    CHECK_INT(r.method[r.methods - 1].kind, IB_METHOD_ORACLE);
    ib_eval_report_free(&r);
    o.search.condense = 2;
    CHECK_INT(ib_eval(&o, &r, &err), IB_E_ARGUMENT);
    o.search.candidates = 0;
    o.search.judge = in_scratch("learned.safetensors");
    CHECK_INT(ib_eval(&o, &r, &err), IB_E_ARGUMENT);
}

static void test_refused(void) {
    ib_error err;
    char *one = (char *)video(0);
    const ib_paths latents = {&one, 1};
    ib_judge_training o;
    ib_judge_report r;
    ib_search_judge *j;
    ib_judge_training_defaults(&o);
    o.latents = &latents;
    CHECK_INT(ib_judge_train(&j, &o, &r, &err), IB_E_EMPTY);
    CHECK(strstr(err.text, "2 with windows are needed, there are 1"));
    o.kind = "taste";
    CHECK_INT(ib_judge_train(&j, &o, &r, &err), IB_E_ARGUMENT);
    CHECK(strstr(err.text, "there is no kind of judge 'taste'; there are both, mean, rank, error, real"));
    o.kind = NULL;
    o.epochs = 0;
    CHECK_INT(ib_judge_train(&j, &o, &r, &err), IB_E_ARGUMENT);
}

int main(void) {
    if (!make_scratch("search")) {
        return check_skip("test_search", "no scratch directory");
    }
    write_videos();
    RUN(test_windows());
    RUN(test_candidates(true));
    RUN(test_candidates(false));
    RUN(test_order());
    RUN(test_mean());
    RUN(test_losses());
    RUN(test_file());
    RUN(test_damaged());
    RUN(test_choice());
    RUN(test_bits());
    RUN(test_stop());
    RUN(test_numbers());
    RUN(test_learning());
    RUN(test_units());
    RUN(test_rows());
    RUN(test_refused());
    remove_scratch();
    return check_report("test_search");
}
