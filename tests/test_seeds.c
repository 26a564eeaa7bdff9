/* Which of several seeds makes a clip: the one that is best by agreements computed apart, from the files of
 * clips made with each seed by itself. */
#include <limits.h>
#include <unistd.h>
#include "base/memory.h"
#include "base/rng.h"
#include "render/diffused.h"
#include "render/rows.h"
#include "search/search.h"
#include "tests/check.h"
#include "video_io/reader.h"

enum { FRAMES = 9, SEEDS = 4, FIRST_SEED = 11 };
static const char clip_folder[] = "tests/fixtures/clip-tiny",
                  model_folder[] = "tests/fixtures/diffusion/pipeline";
static const char *const pictures[] = {"tests/fixtures/diffusion/pipeline/a.png",
                                       "tests/fixtures/diffusion/pipeline/b.png"};
static const char *const prompts[] = {"text:a red circle", "text:a blue square"};
static char scratch[256], model[300], output[300], judge_path[300];
static ib_space *space;
static size_t width; /* of an embedding */

/* The pipeline with the small CLIP's text tower, of links. */
static void link_model(bool make) {
    static const char *const parts[][2] = {
        {"model_index.json", NULL}, {"unet", NULL},           {"vae", NULL},
        {"scheduler", NULL},        {"text_encoder", "clip"}, {"tokenizer", "clip"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char from[400], whole[PATH_MAX], to[400];
        snprintf(from, sizeof from, "%s/%s", model_folder, parts[i][0]);
        snprintf(to, sizeof to, "%s/%s", model, parts[i][0]);
        CHECK(make ? realpath(parts[i][1] ? clip_folder : from, whole) && !symlink(whole, to) : !unlink(to));
    }
}

static ib_diffused_options options(const char *const *keys) {
    ib_diffused_options o;
    ib_diffused_defaults(&o);
    o.way.keyframes = keys;
    o.way.n_keyframes = 2;
    o.way.output = output;
    o.way.space = space;
    o.way.frames = FRAMES;
    o.way.width = o.way.height = 64;
    o.way.threads = 1;
    o.renderer = model;
    o.ip_adapter = "tests/fixtures/diffusion/pipeline/ip-adapter.safetensors";
    o.steps = 2;
    o.guidance = 1;
    o.strength = 1;
    o.every = 1;
    o.seed = FIRST_SEED;
    return o;
}

static double cosine(const float *a, const float *b) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < width; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* A clip by one seed alone; what the tower sees in the frames `step` of it, [n]. z: [n,D] */
static void look(ib_diffused_options o, uint64_t seed, const int *step, size_t n, float *z) {
    ib_error err = {0};
    o.seeds = 1;
    o.seeds_judge = NULL;
    o.seed = seed;
    CHECK_OK(ib_render_diffused(&o, NULL, &err), &err);
    for (int i = 0; i < FRAMES; i++) {
        char path[400];
        ib_frame f = {0};
        const ib_reader_options how = {.rgb = true, .threads = 1};
        snprintf(path, sizeof path, "%s/%d.png", scratch, i + 1);
        for (size_t k = 0; k < n; k++) {
            if (step[k] == i) {
                CHECK_OK(ib_read_still(&f, path, &how, &err), &err);
                CHECK_OK(ib_space_encode(space, &f, z + k * width, &err), &err);
                ib_frame_free(&f);
            }
        }
        CHECK(!unlink(path));
    }
}

static void clean(void) {
    for (int i = 0; i < FRAMES; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/%d.png", scratch, i + 1);
        unlink(path);
    }
}

/* The choice is the best of these, and says so. */
static void check_choice(const ib_diffused_options *asked, const double *agreement) {
    ib_error err = {0};
    ib_diffused_summary s = {0};
    ib_diffused_options o = *asked;
    size_t best = 0;
    for (size_t k = 0; k < SEEDS; k++) {
        best = agreement[k] > agreement[best] ? k : best;
        printf("seed %zu: %.6f\n", FIRST_SEED + k, agreement[k]);
    }
    CHECK(agreement[best] > agreement[!best] + 1e-5); /* there is a choice */
    o.seeds = SEEDS;
    CHECK_OK(ib_render_diffused(&o, &s, &err), &err);
    CHECK_INT(s.seed, FIRST_SEED + best);
    CHECK_NEAR(s.agreement, agreement[best], 1e-5);
    clean();
}

static void test_between_pictures(void) {
    static const int step[] = {2, 4, 6};
    ib_error err = {0};
    ib_diffused_options o = options(pictures);
    ib_rows rows;
    double sum[SEEDS] = {0};
    float *z = ib_calloc(3 * width, sizeof *z);
    CHECK_OK(ib_rows_make(&rows, &o.way, &err), &err);
    for (size_t k = 0; k < SEEDS; k++) {
        look(o, FIRST_SEED + k, step, 3, z);
        for (size_t i = 0; i < 3; i++) {
            sum[k] += cosine(z + i * width, rows.z + (size_t)step[i] * width) / 3;
        }
    }
    check_choice(&o, sum);
    ib_rows_free(&rows);
    ib_free(z);
}

static void test_prompts(void) {
    static const int step[] = {0, FRAMES - 1};
    ib_error err = {0};
    ib_diffused_options o = options(prompts);
    double sum[SEEDS] = {0};
    float *z = ib_calloc(2 * width, sizeof *z), *text = ib_calloc(width, sizeof *text);
    for (size_t k = 0; k < SEEDS; k++) {
        look(o, FIRST_SEED + k, step, 2, z);
        for (size_t i = 0; i < 2; i++) {
            CHECK_OK(ib_space_encode_text(space, prompts[i] + 5, text, &err), &err);
            sum[k] += cosine(z + i * width, text) / 2;
        }
    }
    check_choice(&o, sum);
    ib_free(z);
    ib_free(text);
}

/* A judge that has learned nothing. */
static void make_judge(ib_search_judge *j, const char *space_id) {
    ib_error err = {0};
    ib_rng rng;
    *j = (ib_search_judge){.kind = "both", .temperature = 1};
    snprintf(j->space_id, sizeof j->space_id, "%s", space_id);
    ib_rng_seed(&rng, 5);
    for (size_t i = 0; i < IB_JUDGE_INPUTS; i++) {
        j->scale[i] = 1;
    }
    for (size_t i = 0; i < IB_JUDGE_PARAMS; i++) {
        j->params[i] = 0.2f * ib_rng_normal(&rng);
    }
    CHECK_OK(ib_search_judge_save(j, judge_path, &err), &err);
}

static double score(const ib_search_judge *j, const ib_sought *s, size_t place, const float *left,
                    float left_t, const float *right, float right_t, const float *z) {
    float *room = ib_calloc(width + ib_judge_scratch(1), sizeof *room), x[IB_JUDGE_INPUTS], out;
    ib_strand at = {s, 0, place};
    ib_judge_view v;
    ib_judge_look(&v, &at, left, left_t, right, right_t, room);
    ib_judge_inputs(&v, z, 1, x);
    ib_judge_score(j, x, 1, room + width, &out);
    ib_free(room);
    return (double)out;
}

static void test_judge(void) {
    static const int step[] = {2, 4, 6};
    ib_error err = {0};
    ib_diffused_options o = options(pictures);
    ib_search_judge j;
    ib_rows rows;
    ib_sought s;
    double sum[SEEDS] = {0};
    float *z = ib_calloc(3 * width, sizeof *z);
    make_judge(&j, ib_space_id(space));
    CHECK_OK(ib_rows_make(&rows, &o.way, &err), &err);
    CHECK_OK(ib_sought_create(&s, NULL, ib_space_id(space), &rows.shape, FRAMES - 2, &err), &err);
    s.places = FRAMES - 2;
    s.gap_seconds = (float)((FRAMES - 1) / o.way.fps);
    memcpy(s.z0, rows.z, width * sizeof *z);
    memcpy(s.z1, rows.z + (FRAMES - 1) * width, width * sizeof *z);
    for (size_t i = 0; i < s.places; i++) {
        s.t[i] = (float)(i + 1) / (FRAMES - 1);
    }
    CHECK_OK(ib_sought_answer(&s, NULL, &err), &err);
    for (size_t k = 0; k < SEEDS; k++) {
        look(o, FIRST_SEED + k, step, 3, z);
        sum[k] =
            (score(&j, &s, 3, s.z0, 0, s.z1, 1, z + width) + score(&j, &s, 1, s.z0, 0, z + width, 0.5f, z) +
             score(&j, &s, 5, z + width, 0.5f, s.z1, 1, z + 2 * width)) /
            3;
    }
    o.seeds_judge = judge_path;
    check_choice(&o, sum);
    ib_sought_free(&s);
    ib_rows_free(&rows);
    ib_free(z);
}

static void refuse(const ib_diffused_options *o, int code, const char *text) {
    ib_error err = {0};
    CHECK_ERROR(ib_render_diffused(o, NULL, &err), &err, code, text);
}

static void test_refusals(void) {
    ib_diffused_options o = options(pictures);
    ib_search_judge j;
    o.seeds = 0;
    refuse(&o, IB_E_ARGUMENT, "0 seeds, 1 to 64 were expected");
    o.seeds = 65;
    refuse(&o, IB_E_ARGUMENT, "65 seeds");
    o.seeds = 2;
    o.way.frames = 2;
    refuse(&o, IB_E_ARGUMENT, "and here are none");
    o.way.frames = FRAMES;
    o.inverted = true;
    refuse(&o, IB_E_ARGUMENT, "inverted noise");
    o.inverted = false;
    o.condition = IB_LED_BY_PROMPT;
    o.prompt = "a ring";
    refuse(&o, IB_E_ARGUMENT, "and here are none");
    o.way.space = NULL;
    refuse(&o, IB_E_ARGUMENT, "--space clip:PATH");
    o = options(prompts);
    o.seeds = 2;
    o.seeds_judge = judge_path;
    refuse(&o, IB_E_ARGUMENT, "are drawn first");
    o = options(pictures);
    o.seeds_judge = judge_path;
    refuse(&o, IB_E_ARGUMENT, "has only one to look at");
    make_judge(&j, "clip:another");
    o.seeds = 2;
    refuse(&o, IB_E_MISMATCH, "clip:another");
    unlink(judge_path);
}

int main(void) {
    ib_error err = {0};
    ib_shape shape = {0};
    snprintf(scratch, sizeof scratch, "%s/inbetween-seeds.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scratch)) {
        perror(scratch);
        return 1;
    }
    snprintf(model, sizeof model, "%s", scratch);
    snprintf(output, sizeof output, "%s/%%d.png", scratch);
    snprintf(judge_path, sizeof judge_path, "%s/judge.safetensors", scratch);
    link_model(true);
    CHECK_OK(ib_space_open(&space, "clip:tests/fixtures/clip-tiny", &err), &err);
    CHECK_OK(ib_space_shape(space, 64, 64, &shape, &err), &err);
    width = shape.width;
    RUN(test_between_pictures());
    RUN(test_prompts());
    RUN(test_judge());
    RUN(test_refusals());
    ib_space_close(&space);
    link_model(false);
    CHECK(!rmdir(scratch));
    return check_report("test_seeds");
}
