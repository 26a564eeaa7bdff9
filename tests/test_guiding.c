/* Guides on the way between keyframes: where there are any, by which pixel model, and what is said of it. The
 * space is a small CLIP model of random weights. */
#include "tests/check.h"

#include <unistd.h>

#include "adapter/named.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "guide/guide.h"
#include "nn/gemm.h"
#include "render/embeddings.h"
#include "render/guiding.h"
#include "tests/clip_model.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { D = 40, FRAMES = 6 };
static ib_space *pooled, *hidden;
static char prior_id[160];

static void make_inputs(void) {
    ib_error err;
    char spec[600];
    const ib_space_options one = {.activation = "quick_gelu"},
                           all = {.activation = "quick_gelu", .tokens = IB_TOKENS_PENULTIMATE};
    model_write_small(scratch, spec);
    CHECK_OK(ib_space_open_with(&pooled, spec, &one, &err), &err);
    CHECK_OK(ib_space_open_with(&hidden, spec, &all, &err), &err);
    CHECK_OK(write_clip(in_scratch("a.mkv"), 64, 48, 12, 10, "ffv1", -1, &err), &err);
    CHECK_OK(write_clip(in_scratch("b.mkv"), 80, 80, 12, 10, "ffv1", -1, &err), &err);
    CHECK_OK(write_clip(in_scratch("odd.mkv"), 63, 47, 12, 10, "ffv1", -1, &err), &err);
}

/* A trained adapter's stand-in: every weight is drawn, so that its gate is somewhere. */
static void make_adapter(const char *path, const char *guide, const char *space_id, ib_layout layout,
                         int width, uint64_t seed) {
    ib_error err;
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_rng r;
    ib_rng_seed(&r, seed);
    CHECK_OK(ib_adapter_preset("toaster", space_id, layout, width, &c, &err), &err);
    snprintf(c.guide, sizeof c.guide, "%s", guide);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    for (size_t i = 0; a && i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += 0.05f * ib_rng_normal(&r);
    }
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

static char last[1024]; /* what was said last */
static int sentences;

static void on_message(void *user, const char *sentence) {
    (void)user;
    snprintf(last, sizeof last, "%s", sentence);
    sentences++;
}

static ib_embeddings_options options_for(const char *const *keys, size_t n, const char *adapter,
                                         const char *guide) {
    ib_embeddings_options o;
    ib_embeddings_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = n;
    o.output = in_scratch("way.safetensors");
    o.space = pooled;
    o.adapter = adapter;
    o.guide = guide;
    o.frames = FRAMES;
    o.fps = 8;
    o.message = on_message;
    *last = 0;
    sentences = 0;
    return o;
}

/* A tensor of the file that was written, copied; NULL if it is not there. Freed by the caller. */
static float *tensor_of(const char *name, size_t want) {
    ib_error err;
    ib_st *f = NULL;
    float *x = NULL;
    CHECK_OK(ib_st_open(&f, in_scratch("way.safetensors"), &err), &err);
    const ib_st_tensor *t = f ? ib_st_find(f, name) : NULL;
    if (t) {
        CHECK_INT(t->elements, want);
        x = ib_calloc(t->elements, sizeof *x);
        CHECK_OK(ib_st_to_f32(t, x, &err), &err);
    }
    ib_st_close(&f);
    return x;
}

static void says_guide(const char *want) {
    ib_error err;
    ib_st *f = NULL;
    CHECK_OK(ib_st_open(&f, in_scratch("way.safetensors"), &err), &err);
    const char *got = f ? ib_st_metadata(f, "inbetween.guide") : NULL;
    CHECK(want ? got && !strcmp(got, want) : !got);
    ib_st_close(&f);
}

/* Two frames of a video, by hand: pictures, guides, the model. */
static void check_by_hand(const ib_space *space, const char *adapter, const char *tensor) {
    ib_error err;
    ib_frame f[2];
    ib_shape s;
    ib_guide *g = NULL;
    ib_adapter *a = NULL;
    ib_adapter_work *w = NULL;
    enum { N = FRAMES - 2 };
    ib_between in[N];
    float t[N], feature[N * IB_GUIDE_FEATURES], gate[N];
    ib_reader_options rgb = {.rgb = true};
    for (int i = 0; i < 2; i++) {
        char spec[600];
        snprintf(spec, sizeof spec, "%s@%d", in_scratch("a.mkv"), i);
        CHECK_OK(ib_read_still(&f[i], spec, &rgb, &err), &err);
    }
    CHECK_OK(ib_space_shape(space, 64, 48, &s, &err), &err);
    size_t values = s.tokens * s.width;
    float *z = ib_calloc(2 * values, sizeof *z), *h = ib_calloc(2 * N * values, sizeof *h),
          *want = ib_calloc(N * values, sizeof *want);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(ib_space_encode(space, &f[i], z + (size_t)i * values, &err), &err);
    }
    for (int i = 0; i < N; i++) {
        t[i] = (float)(i + 1) / (float)(FRAMES - 1);
    }
    CHECK_OK(ib_guide_create(&g, space, IB_ADAPTER_PRIOR, 2, &err), &err);
    const ib_guide_request one = {&f[0], &f[1], (FRAMES - 1) / 8.0f, t, N};
    CHECK_OK(ib_guide_make(g, &one, 1, h, feature, NULL, &err), &err);
    CHECK_OK(ib_adapter_open(&a, adapter, &err), &err);
    CHECK_OK(ib_adapter_work_create(&w, a, &s, N, false, &err), &err);
    for (int i = 0; i < N; i++) {
        in[i] = (ib_between){z,
                             z + values,
                             t[i],
                             one.gap_seconds,
                             h + (size_t)i * IB_GUIDE_PICTURES * values,
                             feature + i * IB_GUIDE_FEATURES};
    }
    CHECK_OK(ib_adapter_predict(a, w, in, N, want, &err), &err);
    float *got = tensor_of(tensor, FRAMES * values), *weight = tensor_of("guide", FRAMES);
    double most = 0;
    for (size_t i = 0; got && i < N * values; i++) {
        most = fmax(most, fabs((double)got[values + i] - (double)want[i]));
    }
    CHECK(got && weight);
    CHECK_NEAR(most, 0, 1e-5);
    for (int i = 0; weight && i < N; i++) {
        gate[i] = ib_adapter_gate(w, i);
        CHECK_NEAR(weight[i + 1], gate[i], 1e-5);
        CHECK(gate[i] > 1e-3f && gate[i] <= 1);
    }
    CHECK(weight && weight[0] == 0 && weight[FRAMES - 1] == 0);
    ib_free(got);
    ib_free(weight);
    ib_free(want);
    ib_free(h);
    ib_free(z);
    ib_adapter_work_free(&w);
    ib_adapter_free(&a);
    ib_guide_free(&g);
    ib_frame_free(&f[0]);
    ib_frame_free(&f[1]);
}

static void test_pictures(void) {
    ib_error err;
    char a[600], b[600];
    const char *adapter = in_scratch("prior.safetensors"), *wide = in_scratch("hidden.safetensors");
    ib_embeddings_summary s;
    ib_shape shape;
    snprintf(a, sizeof a, "%s@0", in_scratch("a.mkv"));
    snprintf(b, sizeof b, "%s@1", in_scratch("a.mkv"));
    const char *words[] = {a, b};
    make_adapter(adapter, prior_id, ib_space_id(pooled), IB_LAYOUT_SINGLE, D, 3);
    for (int named = 0; named < 2; named++) {
        ib_embeddings_options o = options_for(words, 2, adapter, named ? IB_ADAPTER_PRIOR : NULL);
        CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
        CHECK_INT(s.guided, 1);
        CHECK(!strcmp(s.guide, prior_id));
        CHECK_INT(sentences, 1);
        CHECK(strstr(last, "guided by what prior (") && strstr(last, "1 of 1"));
        says_guide(prior_id);
        check_by_hand(pooled, adapter, "image_embeds");
    }
    CHECK_OK(ib_space_shape(hidden, 64, 48, &shape, &err), &err);
    make_adapter(wide, prior_id, ib_space_id(hidden), shape.layout, (int)shape.width, 4);
    ib_embeddings_options o = options_for(words, 2, wide, NULL);
    o.space = hidden;
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    check_by_hand(hidden, wide, "hidden_states");
    /* none: as a path without pictures */
    o = options_for(words, 2, adapter, NULL);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    float *with = tensor_of("image_embeds", FRAMES * D);
    o = options_for(words, 2, adapter, IB_GUIDE_NONE);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    float *without = tensor_of("image_embeds", FRAMES * D);
    CHECK_INT(s.guided, 0);
    CHECK_INT(sentences, 0);
    CHECK(!*s.guide && !tensor_of("guide", 0));
    says_guide(NULL);
    CHECK(with && without && !memcmp(with, without, D * sizeof *with) &&
          memcmp(with + D, without + D, D * sizeof *with) != 0);
    ib_free(with);
    ib_free(without);
}

/* Prompts among the keyframes, a loop, pictures of other sizes. */
static void test_mixed(void) {
    ib_error err;
    char a[600], b[600], odd[600];
    const char *adapter = in_scratch("prior.safetensors");
    ib_embeddings_summary s;
    snprintf(a, sizeof a, "%s@0", in_scratch("a.mkv"));
    snprintf(b, sizeof b, "%s@0.5", in_scratch("b.mkv"));
    snprintf(odd, sizeof odd, "%s@0.5", in_scratch("odd.mkv"));
    const char *words[] = {a, "text:the red cat", b}, *prompts[] = {"text:the cat", "text:the red cat"},
               *odds[] = {odd, a}, *evens[] = {a, odd};
    ib_embeddings_options o = options_for(words, 3, adapter, NULL);
    o.loop = true;
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK_INT(s.guided, 1); /* from the last to the first */
    CHECK(strstr(last, "1 of 3"));
    enum { STEP = FRAMES - 1 };
    float *gate = tensor_of("guide", 3 * STEP), *z = tensor_of("image_embeds", 3 * STEP * D);
    for (int i = 0; gate && i < 3 * STEP; i++) {
        CHECK(i > 2 * STEP ? gate[i] > 0 : gate[i] == 0);
    }
    for (int i = 0; z && i < 3 * STEP * D; i++) {
        CHECK(isfinite(z[i]));
    }
    ib_free(gate);
    ib_free(z);
    /* nowhere two pictures: said if a guide was asked for, and only then */
    for (int asked = 0; asked < 2; asked++) {
        o = options_for(prompts, 2, adapter, asked ? IB_ADAPTER_PRIOR : NULL);
        CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
        CHECK_INT(s.guided, 0);
        CHECK_INT(sentences, asked);
        CHECK(!asked || strstr(last, "no guides: nowhere are both keyframes pictures"));
        CHECK(!tensor_of("guide", 0));
    }
    /* another size is fitted to the first one's, unless that is odd */
    o = options_for(evens, 2, adapter, NULL);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK_INT(s.guided, 1);
    o = options_for(odds, 2, adapter, NULL);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK_INT(s.guided, 0);
    CHECK(strstr(last, "0 of 1") && strstr(last, "odd and different sizes"));
    gate = tensor_of("guide", FRAMES);
    CHECK(gate && gate[2] == 0);
    ib_free(gate);
}

/* The pixel model is the adapter's own, and is asked for by name. */
static void test_models(void) {
    ib_error err;
    char a[600], b[600], sha[65], id[160];
    const char *adapter = in_scratch("friday-guided.safetensors"), *plain = in_scratch("plain.safetensors"),
               *friday = in_scratch("friday.safetensors"), *monday = in_scratch("monday.safetensors"),
               *old = in_scratch("old.safetensors"), *out = in_scratch("way.safetensors");
    ib_adapter *pixels = NULL;
    ib_embeddings_summary s;
    snprintf(a, sizeof a, "%s@0", in_scratch("a.mkv"));
    snprintf(b, sizeof b, "%s@1", in_scratch("a.mkv"));
    const char *words[] = {a, b};
    CHECK_OK(ib_adapter_open_named(&pixels, IB_ADAPTER_PRIOR, &err), &err);
    CHECK_OK(ib_adapter_save(pixels, friday, NULL, 0, &err), &err);
    CHECK_OK(ib_adapter_save(pixels, monday, (ib_st_meta[]){{"day", "monday"}}, 1, &err), &err);
    ib_adapter_free(&pixels);
    CHECK_OK(ib_sha256_file(friday, sha, &err), &err);
    snprintf(id, sizeof id, "sha256:%s friday.safetensors", sha);
    make_adapter(adapter, id, ib_space_id(pooled), IB_LAYOUT_SINGLE, D, 5);
    make_adapter(plain, "", ib_space_id(pooled), IB_LAYOUT_SINGLE, D, 5);
    make_adapter(old, "prior:motion:0 prior", ib_space_id(pooled), IB_LAYOUT_SINGLE, D, 5);
    unlink(out);
    ib_embeddings_options o = options_for(words, 2, adapter, NULL);
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_MISMATCH,
                "was trained with guides of the pixel model friday.safetensors (sha256 ");
    CHECK(strstr(err.text, "--guide FILE") && strstr(err.text, adapter));
    o = options_for(words, 2, adapter, monday);
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_MISMATCH, "not of monday.safetensors (sha256");
    o = options_for(words, 2, adapter, IB_ADAPTER_PRIOR);
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_MISMATCH, "not of prior (");
    o = options_for(words, 2, old, NULL);
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_MISMATCH,
                "of the pixel model prior (motion:0), not of");
    o = options_for(words, 2, adapter, in_scratch("gone.safetensors"));
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_IO, in_scratch("gone.safetensors"));
    CHECK(access(out, F_OK) != 0);
    o = options_for(words, 2, adapter, friday);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK(s.guided == 1 && strstr(last, "friday.safetensors (sha256 "));
    says_guide(id);
    /* who has no use for guides */
    o = options_for(words, 2, plain, friday);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK(s.guided == 0 && strstr(last, "trained without"));
    o = options_for(words, 2, NULL, friday);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK(s.guided == 0 && strstr(last, "slerp follows none"));
    o = options_for(words, 2, plain, NULL);
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK_INT(sentences, 0);
    /* the output is none of the inputs */
    o = options_for(words, 2, adapter, friday);
    o.output = friday;
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_ARGUMENT, "friday.safetensors");
    /* stopped: nothing is written */
    atomic_int stop = 1;
    unlink(out);
    o = options_for(words, 2, adapter, friday);
    o.stop = &stop;
    CHECK_INT(ib_render_embeddings(&o, &s, &err), IB_E_INTERRUPTED);
    CHECK(access(out, F_OK) != 0);
}

int main(void) {
    ib_error err;
    ib_guide *g = NULL;
    ib_gemm_one_thread();
    if (!make_scratch("guiding")) {
        return check_skip("test_guiding", "there is no scratch directory");
    }
    make_inputs();
    CHECK_OK(ib_guide_create(&g, pooled, IB_ADAPTER_PRIOR, 2, &err), &err);
    snprintf(prior_id, sizeof prior_id, "%s", g ? ib_guide_model(g) : "");
    ib_guide_free(&g);
    RUN(test_pictures());
    RUN(test_mixed());
    RUN(test_models());
    ib_space_close(&pooled);
    ib_space_close(&hidden);
    remove_scratch();
    return check_report("test_guiding");
}
