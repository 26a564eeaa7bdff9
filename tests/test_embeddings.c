/* Rendering without pictures: keyframes of every kind, paths between them, the file of embeddings, the gap
 * between prompts and pictures, previews from footage. The space is a small CLIP model of random weights. */
#include "tests/check.h"

#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapter/adapter.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "guide/encode.h"
#include "latent/geometry.h"
#include "nn/gemm.h"
#include "render/embeddings.h"
#include "render/keyframes.h"
#include "render/modality_gap.h"
#include "render/path.h"
#include "tests/clip_model.h"
#include "tests/clips.h"
#include "video_io/reader.h"

enum { D = 40, FRAMES = 5 };
static ib_space *space, *hidden;

static void make_inputs(void) {
    ib_error err;
    char spec[600];
    const ib_space_options pooled = {.activation = "quick_gelu"},
                           tokens = {.activation = "quick_gelu", .tokens = IB_TOKENS_PENULTIMATE};
    model_write_small(scratch, spec);
    CHECK_OK(ib_space_open_with(&space, spec, &pooled, &err), &err);
    CHECK_OK(ib_space_open_with(&hidden, spec, &tokens, &err), &err);
    CHECK_OK(write_clip(in_scratch("a.mkv"), 64, 48, 12, 10, "ffv1", -1, &err), &err);
}

/* A trained adapter's stand-in: every weight is drawn. */
static void make_adapter(const char *path, const char *space_id, ib_layout layout, int width) {
    ib_error err;
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_rng r;
    ib_rng_seed(&r, 3);
    CHECK_OK(ib_adapter_preset("toaster", space_id, layout, width, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 1, &err), &err);
    for (size_t i = 0; a && i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += 0.05f * ib_rng_normal(&r);
    }
    CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
}

static ib_embeddings_options options_for(const char *const *keys, size_t n, const char *output) {
    ib_embeddings_options o;
    ib_embeddings_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = n;
    o.output = output;
    o.space = space;
    o.frames = FRAMES;
    o.fps = 8;
    return o;
}

static void test_path(void) {
    ib_error err;
    ib_shape shape = {IB_LAYOUT_SINGLE, 1, 1, 1, D};
    float keys[3 * D], rows[13 * D], t[13], want[D];
    ib_rng r;
    ib_rng_seed(&r, 1);
    for (size_t i = 0; i < 3 * D; i++) {
        keys[i] = ib_rng_normal(&r);
    }
    const ib_geometry *slerp = ib_geometry_of("vectors:test");
    ib_path_options o = {.frames = 5, .gap_seconds = 0.5f, .geometry = slerp};
    CHECK_INT(ib_path_rows(&o, 3), 9);
    CHECK_OK(ib_path_make(NULL, &o, &shape, keys, 3, rows, t, &err), &err);
    for (size_t k = 0; k < 3; k++) {
        CHECK_INT(memcmp(rows + 4 * k * D, keys + k * D, D * sizeof *rows), 0);
        CHECK_NEAR(t[4 * k], 0, 0);
    }
    ib_slerp(keys + D, keys + 2 * D, 0.75f, 1, D, want);
    CHECK_INT(memcmp(rows + 7 * D, want, sizeof want), 0);
    CHECK_NEAR(t[7], 0.75, 0);
    o.loop = o.ease = true;
    CHECK_INT(ib_path_rows(&o, 3), 12);
    CHECK_OK(ib_path_make(NULL, &o, &shape, keys, 3, rows, t, &err), &err);
    CHECK_NEAR(t[9], 0.25f * 0.25f * (3 - 0.5f), 1e-7);
    ib_slerp(keys + 2 * D, keys, t[9], 1, D, want);
    CHECK_INT(memcmp(rows + 9 * D, want, sizeof want), 0);
    o = (ib_path_options){.frames = 2, .gap_seconds = 1, .geometry = slerp};
    CHECK_INT(ib_path_rows(&o, 2), 2);
    CHECK_OK(ib_path_make(NULL, &o, &shape, keys, 2, rows, t, &err), &err);
    CHECK_INT(memcmp(rows, keys, 2 * D * sizeof *rows), 0);
}

/* The tensor of an embeddings file; checks its type and shape. */
static const float *tensor_of(const ib_st *f, const char *name, int rank, int64_t a, int64_t b, int64_t c) {
    const ib_st_tensor *t = ib_st_find(f, name);
    CHECK(t != NULL);
    if (!t) {
        return NULL;
    }
    CHECK_INT(t->dtype, IB_F32);
    CHECK_INT(t->rank, rank);
    const int64_t want[] = {a, b, c};
    for (int i = 0; i < rank; i++) {
        CHECK_INT(t->shape[i], want[i]);
    }
    static float copies[8][64 * 64];
    static int turn;
    turn = (turn + 1) % 8;
    CHECK(t->bytes <= sizeof copies[0]);
    memcpy(copies[turn], t->data, t->bytes <= sizeof copies[0] ? t->bytes : 0);
    return copies[turn];
}

static void test_file(void) {
    ib_error err;
    const char *out = in_scratch("way.safetensors"), *adapter = in_scratch("adapter.safetensors");
    char picture[600];
    float prompt[D], still[D], rows[2 * FRAMES * D], t[2 * FRAMES], keys[3 * D];
    snprintf(picture, sizeof picture, "%s@0.55s", in_scratch("a.mkv"));
    const char *words[] = {"text:the red cat", picture, "text:"};
    ib_embeddings_options o = options_for(words, 3, out);
    ib_embeddings_summary s;
    CHECK_OK(ib_space_encode_text(space, "the red cat", prompt, &err), &err);
    ib_frame f;
    ib_reader_options how = {.rgb = true};
    CHECK_OK(ib_read_still(&f, picture, &how, &err), &err);
    CHECK_INT(f.index, 5);
    CHECK_OK(ib_space_encode(space, &f, still, &err), &err);
    ib_frame_free(&f);
    make_adapter(adapter, ib_space_id(space), IB_LAYOUT_SINGLE, D);
    for (int with = 0; with < 2; with++) {
        o.adapter = with ? adapter : NULL;
        CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
        CHECK_INT(s.rows, 9);
        CHECK_INT(s.prompts, 2);
        ib_st *st = NULL;
        CHECK_OK(ib_st_open(&st, out, &err), &err);
        if (!st) {
            return;
        }
        const float *z = tensor_of(st, "image_embeds", 2, 9, D, 0);
        const float *none = tensor_of(st, "negative_image_embeds", 2, 1, D, 0);
        const float *place = tensor_of(st, "t", 1, 9, 0, 0);
        const ib_st_tensor *pts = ib_st_find(st, "pts");
        double at = 0;
        CHECK(pts && pts->dtype == IB_F64 && pts->elements == 9);
        memcpy(&at, (const char *)pts->data + 3 * sizeof at, sizeof at);
        CHECK_NEAR(at, 3.0 / 8, 0);
        CHECK_NEAR(place[3], 0.75, 0);
        /* the keyframes' own embeddings, bit for bit */
        CHECK_INT(memcmp(z, prompt, sizeof prompt), 0);
        CHECK_INT(memcmp(z + 4 * D, still, sizeof still), 0);
        memcpy(keys, z, sizeof prompt);
        memcpy(keys + D, still, sizeof still);
        memcpy(keys + 2 * D, z + 8 * D, sizeof prompt);
        /* what lies between them is the path that the model gives */
        ib_adapter *a = NULL;
        ib_path_options p = {
            .frames = FRAMES, .gap_seconds = 0.5f, .geometry = ib_geometry_of(ib_space_id(space))};
        ib_shape shape = {IB_LAYOUT_SINGLE, 1, 1, 1, D};
        if (with) {
            CHECK_OK(ib_adapter_open(&a, adapter, &err), &err);
        }
        CHECK_OK(ib_path_make(a, &p, &shape, keys, 3, rows, t, &err), &err);
        CHECK_INT(memcmp(z, rows, 9 * D * sizeof *rows), 0);
        ib_adapter_free(&a);
        /* the picture that is no picture */
        ib_space_input in = ib_space_input_of(space);
        float *zeros = ib_calloc(in.floats, sizeof *zeros), want[D];
        CHECK_OK(ib_space_encode_inputs(space, zeros, 1, want, &err), &err);
        CHECK_INT(memcmp(none, want, sizeof want), 0);
        ib_free(zeros);
        /* and what was asked for, in words */
        CHECK(!strcmp(ib_st_metadata(st, "inbetween.space"), ib_space_id(space)));
        CHECK(!strcmp(ib_st_metadata(st, "inbetween.method"), with ? "adapter" : "slerp"));
        CHECK((ib_st_metadata(st, "inbetween.adapter_sha256") != NULL) == with);
        json_t *j = json_loads(ib_st_metadata(st, "inbetween.keyframes"), 0, NULL);
        CHECK_INT(json_array_size(j), 3);
        CHECK_INT(json_integer_value(json_object_get(json_array_get(j, 1), "row")), 4);
        CHECK(!strcmp(json_string_value(json_object_get(json_array_get(j, 0), "prompt")), "the red cat"));
        CHECK(!strcmp(json_string_value(json_object_get(json_array_get(j, 1), "file")), "a.mkv@0.55s"));
        json_decref(j);
        ib_st_close(&st);
    }
    /* the same again gives the same bytes; an adapter of other coordinates is refused by name */
    make_adapter(adapter, "clip:other", IB_LAYOUT_SINGLE, D);
    o.adapter = adapter;
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_MISMATCH, "clip:other");
}

static void test_hidden(void) {
    ib_error err;
    const char *out = in_scratch("hidden.safetensors"), *adapter = in_scratch("sequence.safetensors");
    char a[600], b[600];
    snprintf(a, sizeof a, "%s@0", in_scratch("a.mkv"));
    snprintf(b, sizeof b, "%s@1", in_scratch("a.mkv"));
    const char *words[] = {a, b}, *prompt[] = {a, "text:the cat"};
    ib_embeddings_options o = options_for(words, 2, out);
    ib_shape shape;
    o.space = hidden;
    o.adapter = adapter;
    CHECK_OK(ib_space_shape(hidden, 64, 48, &shape, &err), &err);
    make_adapter(adapter, ib_space_id(hidden), shape.layout, (int)shape.width);
    CHECK_OK(ib_render_embeddings(&o, NULL, &err), &err);
    ib_st *st = NULL;
    CHECK_OK(ib_st_open(&st, out, &err), &err);
    const ib_st_tensor *z = st ? ib_st_find(st, "hidden_states") : NULL;
    CHECK(z && z->rank == 3 && z->shape[0] == FRAMES && z->shape[1] == (int64_t)shape.tokens &&
          z->shape[2] == (int64_t)shape.width);
    CHECK(st && ib_st_find(st, "negative_hidden_states") && !ib_st_find(st, "image_embeds"));
    ib_st_close(&st);
    o.keyframes = prompt;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_UNSUPPORTED, "pooled");
}

static void test_refusals(void) {
    ib_error err;
    const char *out = in_scratch("no.safetensors"), *video = in_scratch("a.mkv"),
               *latents = in_scratch("a.h5");
    char late[600], when[600];
    const char *missing[] = {video, "a red ball"}, *fine[] = {"text:a", "text:b"}, *one[] = {"text:a"};
    ib_embeddings_options o = options_for(missing, 2, out);
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_IO, "'text:a red ball'");
    o = options_for(one, 1, out);
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "2 to");
    o = options_for(fine, 2, in_scratch("no.mp4"));
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_UNSUPPORTED, "--preview-from");
    CHECK(strstr(err.text, ".safetensors") != NULL);
    o = options_for(fine, 2, out);
    o.preview_from = &video;
    o.n_preview = 1;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "clip.mp4");
    o = options_for(fine, 2, out);
    o.space = NULL;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "--space");
    o = options_for(fine, 2, out);
    o.frames = 1;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "frames");
    ib_space *patch = NULL;
    CHECK_OK(ib_space_open(&patch, "patch", &err), &err);
    o = options_for(fine, 2, out);
    o.space = patch;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_UNSUPPORTED, "clip.mp4");
    /* latents of another space, times past the end, no time at all */
    ib_encode_options how;
    ib_encode_stats stats;
    ib_encode_defaults(&how);
    how.width = 64;
    how.height = 48;
    CHECK_OK(ib_encode_video(video, latents, patch, &how, &stats, &err), &err);
    const char *mixed[] = {"text:a", latents};
    o = options_for(mixed, 2, out);
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_MISMATCH, "patch:");
    ib_space_close(&patch);
    how.force = true;
    CHECK_OK(ib_encode_video(video, latents, space, &how, &stats, &err), &err);
    snprintf(late, sizeof late, "%s@9", latents);
    snprintf(when, sizeof when, "%s@soon", latents);
    mixed[1] = late;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "no frame at 9 s");
    mixed[1] = when;
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_ARGUMENT, "@1.5s");
    CHECK(access(out, F_OK) != 0);
    /* latents alone need no weights */
    const char *both[] = {latents, latents};
    o = options_for(both, 2, out);
    o.space = NULL;
    CHECK_OK(ib_render_embeddings(&o, NULL, &err), &err);
    ib_st *st = NULL;
    CHECK_OK(ib_st_open(&st, out, &err), &err);
    CHECK(st && ib_st_find(st, "image_embeds") && !ib_st_find(st, "negative_image_embeds"));
    ib_st_close(&st);
}

static void test_gap(void) {
    ib_error err;
    const char *latents = in_scratch("a.h5"), *file = in_scratch("gap.safetensors"),
               *out = in_scratch("moved.safetensors"), *prompts[] = {"the red cat", "hello", "of the cat"},
               *words[] = {"text:hello", in_scratch("a.mkv")};
    ib_paths paths = {0};
    ib_modality_gap g, h;
    float z[12 * D], image[D] = {0}, text[D] = {0}, own[2][D], moved[D];
    CHECK_OK(ib_paths_add(&paths, latents, &err), &err);
    CHECK_ERROR(ib_modality_gap_measure(&g, space, &paths, prompts, 0, NULL, NULL, NULL, &err), &err,
                IB_E_EMPTY, "prompts");
    CHECK_ERROR(ib_modality_gap_measure(&g, hidden, &paths, prompts, 3, NULL, NULL, NULL, &err), &err,
                IB_E_UNSUPPORTED, "text");
    CHECK_OK(ib_modality_gap_measure(&g, space, &paths, prompts, 3, NULL, NULL, NULL, &err), &err);
    /* a file that names the space and holds frames of another size */
    ib_latent_file *f = NULL;
    CHECK_OK(ib_latent_open(&f, latents, &err), &err);
    ib_latent_info info = *ib_latent_info_of(f);
    ib_latent_close(&f);
    ib_latent_writer *w = NULL;
    float *wide = ib_calloc(100 * D, sizeof *wide);
    info.shape = (ib_shape){IB_LAYOUT_SEQUENCE, 1, 100, 100, D};
    CHECK_OK(ib_latent_writer_create(&w, in_scratch("wide.h5"), &info, &err), &err);
    for (int i = 0; wide && i < 12; i++) {
        CHECK_OK(ib_latent_writer_append(w, wide, i, false, &err), &err);
    }
    CHECK_OK(ib_latent_writer_finish(&w, &err), &err);
    ib_free(wide);
    free(paths.v[0]);
    paths.v[0] = strdup(in_scratch("wide.h5"));
    CHECK_ERROR(ib_modality_gap_measure(&h, space, &paths, prompts, 3, NULL, NULL, NULL, &err), &err,
                IB_E_MISMATCH, "100 x 40 values");
    free(paths.v[0]);
    paths.v[0] = strdup(latents);
    /* against sums over the same things */
    CHECK_OK(ib_latent_open(&f, latents, &err), &err);
    CHECK_OK(ib_latent_read(f, 0, 12, z, &err), &err);
    ib_latent_close(&f);
    for (size_t i = 0; i < 12 * D; i++) {
        image[i % D] += z[i] / 12;
    }
    for (int i = 0; i < 3; i++) {
        CHECK_OK(ib_space_encode_text(space, prompts[i], moved, &err), &err);
        for (int j = 0; j < D; j++) {
            text[j] += moved[j] / 3;
        }
    }
    for (int j = 0; j < D; j++) {
        CHECK_NEAR(g.image[j], image[j], 1e-5);
        CHECK_NEAR(g.text[j], text[j], 1e-5);
    }
    CHECK(g.videos == 1 && g.frames == 12 && g.prompts == 3 && ib_modality_gap_length(&g) > 0);
    /* written and read */
    CHECK_OK(ib_modality_gap_save(&g, file, &err), &err);
    CHECK_OK(ib_modality_gap_open(&h, file, &err), &err);
    CHECK(h.width == D && !strcmp(h.space_id, g.space_id) && h.frames == 12);
    CHECK_INT(memcmp(g.image, h.image, sizeof image) | memcmp(g.text, h.text, sizeof text), 0);
    ib_modality_gap_free(&h);
    CHECK_ERROR(ib_modality_gap_open(&h, in_scratch("model.safetensors"), &err), &err, IB_E_FORMAT,
                "modality gap");
    /* a prompt is moved by it, a picture is not */
    ib_embeddings_options o = options_for(words, 2, out);
    for (int with = 0; with < 2; with++) {
        o.modality_gap = with ? file : NULL;
        CHECK_OK(ib_render_embeddings(&o, NULL, &err), &err);
        ib_st *st = NULL;
        CHECK_OK(ib_st_open(&st, out, &err), &err);
        const float *rows = st ? tensor_of(st, "image_embeds", 2, FRAMES, D, 0) : NULL;
        if (rows) {
            memcpy(own[with], rows, sizeof own[with]);
            memcpy(with ? moved : image, rows + (FRAMES - 1) * D, sizeof moved);
        }
        ib_st_close(&st);
    }
    CHECK_INT(memcmp(moved, image, sizeof moved), 0);
    for (int j = 0; j < D; j++) {
        CHECK_NEAR(own[1][j], own[0][j] + g.image[j] - g.text[j], 1e-6);
    }
    snprintf(g.space_id, sizeof g.space_id, "clip:other");
    CHECK_OK(ib_modality_gap_save(&g, file, &err), &err);
    CHECK_ERROR(ib_render_embeddings(&o, NULL, &err), &err, IB_E_MISMATCH, "clip:other");
    ib_modality_gap_free(&g);
    ib_paths_free(&paths);
}

/* Keyframes that are frames of the footage must show themselves. */
static void test_preview(void) {
    ib_error err;
    const char *out = in_scratch("preview.mkv"), *video = in_scratch("a.mkv");
    char a[600], b[600], folder[300];
    snprintf(a, sizeof a, "%s@0.2", video);
    snprintf(b, sizeof b, "%s@0.9", video);
    snprintf(folder, sizeof folder, "%s/tmp", scratch);
    CHECK_INT(mkdir(folder, 0777), 0);
    setenv("TMPDIR", folder, 1);
    const char *words[] = {a, b};
    ib_embeddings_options o = options_for(words, 2, out);
    ib_embeddings_summary s;
    o.preview_from = &video;
    o.n_preview = 1;
    o.codec = "ffv1";
    CHECK_OK(ib_render_embeddings(&o, &s, &err), &err);
    CHECK(s.footage_frames == 12 && s.shown >= 2 && s.shown <= FRAMES && s.width == 64 && s.height == 48);
    CHECK(s.mean_cosine > s.least_cosine && s.mean_cosine <= 1 + 1e-6);
    ib_reader *r = NULL;
    const ib_frame *f;
    CHECK_OK(ib_reader_open(&r, out, NULL, &err), &err);
    int n = 0;
    while (r && ib_reader_next(r, &f, &err) > 0) {
        if (n == 0 || n == FRAMES - 1) { /* between the labels the picture is the keyframe's own */
            ib_frame key;
            double sum = 0;
            CHECK_OK(ib_read_still(&key, n ? b : a, NULL, &err), &err);
            for (int y = 18; y < 34; y++) {
                for (int x = 0; x < 64; x++) {
                    sum += abs(f->plane[0][(size_t)y * f->stride[0] + (size_t)x] -
                               key.plane[0][(size_t)y * key.stride[0] + (size_t)x]);
                }
            }
            CHECK_NEAR(sum, 0, 0);
            ib_frame_free(&key);
        }
        n++;
    }
    CHECK_INT(n, FRAMES);
    ib_reader_close(&r);
    CHECK_INT(files_in(folder), 0);
    /* footage that is not there, or none */
    const char *none = in_scratch("none.mkv");
    o.preview_from = &none;
    o.output = in_scratch("none-out.mkv");
    CHECK_ERROR(ib_render_embeddings(&o, &s, &err), &err, IB_E_IO, "none.mkv");
    CHECK(access(o.output, F_OK) != 0);
    CHECK_INT(files_in(folder), 0);
}

int main(void) {
    ib_gemm_one_thread();
    if (!make_scratch("embeddings")) {
        return check_skip("test_embeddings", "there is no scratch directory");
    }
    make_inputs();
    RUN(test_path());
    if (space && hidden) {
        RUN(test_file());
        RUN(test_hidden());
        RUN(test_refusals());
        RUN(test_gap());
        RUN(test_preview());
    }
    ib_space_close(&space);
    ib_space_close(&hidden);
    remove_scratch();
    return check_report("test_embeddings");
}
