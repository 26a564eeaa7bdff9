/* Frames in and out in memory: the bits of the clip that ib_render_movie makes of the same keyframes, which
 * is written losslessly (FFV1) and read back. */
#include <unistd.h>
#include "adapter/adapter.h"
#include "base/rng.h"
#include "base/version.h"
#include "render/movie.h"
#include "render/renderer.h"
#include "tests/check.h"
#include "video_io/reader.h"
#include "video_io/writer.h"

enum { WIDTH = 200, HEIGHT = 118, FRAMES = 6 };
static char scratch[256], first_path[300], last_path[300], clip_path[300], adapter_path[300];

static void draw(ib_frame *f, double shift) {
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < (p ? (f->height + 1) / 2 : f->height); y++) {
            for (int x = 0; x < (p ? (f->width + 1) / 2 : f->width); x++) {
                f->plane[p][(size_t)y * f->stride[p] + (size_t)x] = (uint8_t)lrint(
                    126 + 45 * sin((x + shift) * .21 + p) * cos(y * .17) + 30 * sin(x * .09 + shift));
            }
        }
    }
}

static int differences(const ib_frame *a, const ib_frame *b) {
    int n = 0;
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < (p ? (a->height + 1) / 2 : a->height); y++) {
            for (int x = 0; x < (p ? (a->width + 1) / 2 : a->width); x++) {
                n += a->plane[p][(size_t)y * a->stride[p] + (size_t)x] !=
                     b->plane[p][(size_t)y * b->stride[p] + (size_t)x];
            }
        }
    }
    return n;
}

static void write_still(const char *path, double shift) {
    ib_error err = {0};
    ib_writer *w = NULL;
    ib_frame f;
    const ib_writer_options o = {.width = WIDTH,
                                 .height = HEIGHT,
                                 .fps = 10,
                                 .matrix = IB_MATRIX_BT709,
                                 .codec = "ffv1",
                                 .crf = -1,
                                 .threads = 1};
    CHECK_OK(ib_frame_alloc(&f, WIDTH, HEIGHT, &err), &err);
    draw(&f, shift);
    CHECK_OK(ib_writer_open(&w, path, &o, &err), &err);
    CHECK_OK(ib_writer_write(w, &f, &err), &err);
    CHECK_OK(ib_writer_finish(&w, &err), &err);
    ib_frame_free(&f);
}

/* One whose heads say something. */
static void write_adapter(void) {
    ib_error err = {0};
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_space *s = NULL;
    ib_shape shape;
    ib_rng rng;
    CHECK_OK(ib_space_open(&s, "patch", &err), &err);
    CHECK_OK(ib_space_shape(s, WIDTH, HEIGHT, &shape, &err), &err);
    CHECK_OK(ib_adapter_preset("toaster", ib_space_id(s), shape.layout, (int)shape.width, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, 7, &err), &err);
    ib_rng_seed(&rng, 3);
    for (size_t i = 0; i < ib_adapter_param_count(a); i++) {
        ib_adapter_params(a)[i] += 0.02f * ib_rng_normal(&rng);
    }
    ib_adapter_refresh(a);
    CHECK_OK(ib_adapter_save(a, adapter_path, NULL, 0, &err), &err);
    ib_adapter_free(&a);
    ib_space_close(&s);
}

static void test_same_as_the_clip(const char *adapter, int threads) {
    ib_error err = {0};
    const char *keys[] = {first_path, last_path};
    ib_movie_options o;
    ib_reader *reader = NULL;
    ib_renderer *r = NULL;
    ib_frame first, last, out[FRAMES];
    const ib_frame *want;
    float t[FRAMES];
    ib_movie_defaults(&o);
    o.sharpness = 0;
    o.keyframes = keys;
    o.n_keyframes = 2;
    o.output = clip_path;
    o.codec = "ffv1";
    o.adapter = adapter;
    o.frames = FRAMES;
    o.gap_seconds = 0.25;
    CHECK_OK(ib_render_movie(&o, NULL, &err), &err);
    CHECK_OK(ib_read_still(&first, first_path, NULL, &err), &err);
    CHECK_OK(ib_read_still(&last, last_path, NULL, &err), &err);
    for (int i = 0; i < FRAMES; i++) {
        t[i] = (float)i / (FRAMES - 1);
        CHECK_OK(ib_frame_alloc_rgb(&out[i], WIDTH, HEIGHT, &err), &err);
    }
    CHECK_OK(ib_renderer_open(&r, adapter, WIDTH, HEIGHT, threads, &err), &err);
    CHECK_OK(ib_renderer_frames(r, &first, &last, t, FRAMES, 0.25f, out, &err), &err);
    CHECK_OK(ib_reader_open(&reader, clip_path, NULL, &err), &err);
    for (int i = 0; i < FRAMES; i++) {
        CHECK_INT(ib_reader_next(reader, &want, &err), 1);
        CHECK_INT(differences(&out[i], want), 0);
        CHECK_INT(out[i].matrix, first.matrix);
        CHECK(!out[i].rgb);
        ib_frame_fill_black(&out[0]);
        CHECK_OK(ib_renderer_frame(r, &first, &last, t[i], 0.25f, &out[0], &err), &err);
        CHECK_INT(differences(&out[0], want), 0);
    }
    ib_reader_close(&reader);
    ib_renderer_close(&r);
    for (int i = 0; i < FRAMES; i++) {
        ib_frame_free(&out[i]);
    }
    ib_frame_free(&last);
    ib_frame_free(&first);
}

/* Several pairs at once: the same frames as one by one. */
static void test_pairs(const char *adapter) {
    enum { PAIRS = 3, EACH = 4 };
    static const float t[EACH] = {0, 0.3f, 0.5f, 0.9f};
    ib_error err = {0};
    ib_renderer *r = NULL;
    ib_frame key[PAIRS + 1], out[PAIRS * EACH], want;
    ib_renderer_pair pair[PAIRS];
    CHECK_OK(ib_frame_alloc(&want, WIDTH, HEIGHT, &err), &err);
    for (int i = 0; i <= PAIRS; i++) {
        CHECK_OK(ib_frame_alloc(&key[i], WIDTH, HEIGHT, &err), &err);
        draw(&key[i], 2 * i * i);
    }
    for (int i = 0; i < PAIRS * EACH; i++) {
        CHECK_OK(ib_frame_alloc(&out[i], WIDTH, HEIGHT, &err), &err);
    }
    for (int i = 0; i < PAIRS; i++) {
        pair[i] = (ib_renderer_pair){&key[i], &key[i + 1], t, EACH - (size_t)i, 0.2f, out + EACH * i};
    }
    CHECK_OK(ib_renderer_open(&r, adapter, WIDTH, HEIGHT, PAIRS, &err), &err);
    for (int n = 0; n <= PAIRS; n++) {
        CHECK_OK(ib_renderer_pairs(r, pair, n, &err), &err);
        for (int i = 0; i < n; i++) {
            for (size_t k = 0; k < pair[i].n; k++) {
                CHECK_OK(ib_renderer_frame(r, &key[i], &key[i + 1], t[k], 0.2f, &want, &err), &err);
                CHECK_INT(differences(&out[(size_t)(EACH * i) + k], &want), 0);
                ib_frame_fill_black(&out[(size_t)(EACH * i) + k]);
            }
        }
    }
    CHECK_ERROR(ib_renderer_pairs(r, pair, PAIRS + 1, &err), &err, IB_E_ARGUMENT, "4 pairs at once for 3");
    pair[2].gap_seconds = -1;
    CHECK_ERROR(ib_renderer_pairs(r, pair, PAIRS, &err), &err, IB_E_ARGUMENT, "a gap of -1");
    ib_renderer_close(&r);
    for (int i = 0; i <= PAIRS; i++) {
        ib_frame_free(&key[i]);
    }
    for (int i = 0; i < PAIRS * EACH; i++) {
        ib_frame_free(&out[i]);
    }
    ib_frame_free(&want);
}

static void test_refusals(void) {
    ib_error err = {0};
    ib_renderer *r = NULL;
    ib_frame first, last, small, out;
    CHECK_ERROR(ib_renderer_open(&r, NULL, 0, HEIGHT, 1, &err), &err, IB_E_ARGUMENT, "0 x 118");
    CHECK_ERROR(ib_renderer_open(&r, first_path, WIDTH, HEIGHT, 1, &err), &err, IB_E_FORMAT, first_path);
    CHECK(!r);
    CHECK_OK(ib_frame_alloc(&small, WIDTH, HEIGHT - 2, &err), &err);
    CHECK_OK(ib_frame_alloc(&out, WIDTH, HEIGHT, &err), &err);
    CHECK_OK(ib_read_still(&first, first_path, NULL, &err), &err);
    CHECK_OK(ib_read_still(&last, last_path, NULL, &err), &err);
    CHECK_OK(ib_renderer_open(&r, NULL, WIDTH, HEIGHT, 1, &err), &err);
    CHECK_ERROR(ib_renderer_frame(r, &first, &small, 0.5f, 1, &out, &err), &err, IB_E_MISMATCH,
                "the last frame is 200 x 116, the renderer is for 200 x 118");
    CHECK_ERROR(ib_renderer_frame(r, &first, &last, 0.5f, 1, &small, &err), &err, IB_E_MISMATCH,
                "an output frame");
    CHECK_ERROR(ib_renderer_frame(r, &first, &last, 1.5f, 1, &out, &err), &err, IB_E_ARGUMENT, "1.5");
    CHECK_ERROR(ib_renderer_frame(r, &first, &last, NAN, 1, &out, &err), &err, IB_E_ARGUMENT, "0 to 1");
    CHECK_ERROR(ib_renderer_frame(r, &first, &last, 0.5f, 0, &out, &err), &err, IB_E_ARGUMENT, "a gap of 0");
    last.matrix = IB_MATRIX_BT601;
    CHECK_ERROR(ib_renderer_frame(r, &first, &last, 0.5f, 1, &out, &err), &err, IB_E_MISMATCH,
                "colour matrix");
    ib_renderer_close(&r);
    ib_renderer_close(&r);
    ib_frame_free(&last);
    ib_frame_free(&first);
    ib_frame_free(&out);
    ib_frame_free(&small);
}

int main(void) {
    char version[64];
    snprintf(scratch, sizeof scratch, "%s/inbetween-renderer.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scratch)) {
        perror(scratch);
        return 1;
    }
    snprintf(first_path, sizeof first_path, "%s/first.mkv", scratch);
    snprintf(last_path, sizeof last_path, "%s/last.mkv", scratch);
    snprintf(clip_path, sizeof clip_path, "%s/clip.mkv", scratch);
    snprintf(adapter_path, sizeof adapter_path, "%s/a.safetensors", scratch);
    write_still(first_path, 0);
    write_still(last_path, 5);
    write_adapter();
    RUN(test_same_as_the_clip(NULL, 1));
    RUN(test_same_as_the_clip(NULL, 4));
    RUN(test_same_as_the_clip(adapter_path, 1));
    RUN(test_same_as_the_clip(adapter_path, 4));
    RUN(test_pairs(NULL));
    RUN(test_pairs(adapter_path));
    RUN(test_refusals());
    snprintf(version, sizeof version, "%d.%d.%d", IB_VERSION_MAJOR, IB_VERSION_MINOR, IB_VERSION_PATCH);
    printf("version %s, of the headers %s\n", ib_version(), version);
    CHECK(!strcmp(ib_version(), version));
    unlink(first_path);
    unlink(last_path);
    unlink(clip_path);
    unlink(adapter_path);
    rmdir(scratch);
    return check_report("test_renderer");
}
