/* Clips between keyframes, written losslessly (FFV1) and read back. */
#include <dirent.h>
#include <unistd.h>
#include "adapter/adapter.h"
#include "base/file.h"
#include "base/memory.h"
#include "latent/geometry.h"
#include "latent/space.h"
#include "render/movie.h"
#include "tests/check.h"
#include "video_io/reader.h"
#include "video_io/writer.h"

static char scratch[256];

static const char *in_scratch(const char *name) {
    static char path[64][512];
    static int turn;
    turn = (turn + 1) % 64;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch, name);
    return path[turn];
}

static int files_there(void) {
    DIR *d = opendir(scratch);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void draw(ib_frame *f, double shift) {
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            f->plane[0][(size_t)y * f->stride[0] + (size_t)x] = (uint8_t)lrint(
                126 + 45 * sin((x + shift) * .21 + 1) * cos(y * .17) + 30 * sin(x * .09 + y * .13 + shift));
        }
    }
    for (int p = 1; p < 3; p++) {
        for (int y = 0; y < (f->height + 1) / 2; y++) {
            for (int x = 0; x < (f->width + 1) / 2; x++) {
                f->plane[p][(size_t)y * f->stride[p] + (size_t)x] =
                    (uint8_t)lrint(128 + 30 * sin((2 * x + shift) * .05 + p));
            }
        }
    }
}

static bool same(const ib_frame *a, const ib_frame *b) {
    if (a->width != b->width || a->height != b->height) {
        return false;
    }
    for (int p = 0; p < 3; p++) {
        for (int y = 0; y < (p ? (a->height + 1) / 2 : a->height); y++) {
            if (memcmp(a->plane[p] + (size_t)y * a->stride[p], b->plane[p] + (size_t)y * b->stride[p],
                       (size_t)(p ? (a->width + 1) / 2 : a->width))) {
                return false;
            }
        }
    }
    return true;
}

static double luma_difference(const ib_frame *a, const ib_frame *b) {
    double sum = 0;
    for (int y = 0; y < a->height; y++) {
        for (int x = 0; x < a->width; x++) {
            double d = a->plane[0][(size_t)y * a->stride[0] + (size_t)x] -
                       b->plane[0][(size_t)y * b->stride[0] + (size_t)x];
            sum += d * d;
        }
    }
    return sum / ((double)a->width * a->height);
}

/* A clip of `frames` pictures, lossless; shift < 0: black ones. */
static void write_lossless(const char *path, int width, int height, ib_matrix matrix, int frames,
                           double shift) {
    ib_error err = {0};
    ib_writer_options o = {.width = width,
                           .height = height,
                           .fps = 10,
                           .matrix = matrix,
                           .codec = "ffv1",
                           .crf = -1,
                           .threads = 1};
    ib_writer *w = NULL;
    ib_frame f;
    CHECK_OK(ib_frame_alloc(&f, width, height, &err), &err);
    CHECK_OK(ib_writer_open(&w, path, &o, &err), &err);
    for (int i = 0; w && i < frames; i++) {
        if (shift < 0) {
            ib_frame_fill_black(&f);
        } else {
            draw(&f, shift + i);
        }
        CHECK_OK(ib_writer_write(w, &f, &err), &err);
    }
    if (w) {
        CHECK_OK(ib_writer_finish(&w, &err), &err);
    }
    ib_frame_free(&f);
}

typedef struct film {
    ib_frame frame[80];
    int n;
    ib_matrix matrix;
} film;

static void read_film(const char *path, film *m) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    m->n = 0;
    CHECK_OK(ib_reader_open(&r, path, NULL, &err), &err);
    while (r && m->n < 80 && ib_reader_next(r, &f, &err) > 0) {
        CHECK_OK(ib_frame_alloc(&m->frame[m->n], f->width, f->height, &err), &err);
        ib_frame_copy(&m->frame[m->n++], f);
    }
    m->matrix = r ? ib_reader_info(r)->matrix : 0;
    ib_reader_close(&r);
}

static void free_film(film *m) {
    for (int i = 0; i < m->n; i++) {
        ib_frame_free(&m->frame[i]);
    }
    m->n = 0;
}

/* Renders to out.mkv and reads it back. */
static void render(ib_movie_options *o, film *m) {
    ib_error err = {0};
    ib_movie_summary s = {0};
    o->output = in_scratch("out.mkv");
    o->codec = "ffv1";
    int rc = ib_render_movie(o, &s, &err);
    CHECK_OK(rc, &err);
    m->n = 0;
    if (rc) {
        return;
    }
    read_film(o->output, m);
    CHECK_INT(s.frames, m->n);
    CHECK_NEAR(s.seconds, m->n / o->fps, 1e-9);
    if (m->n) {
        CHECK_INT(s.width, m->frame[0].width);
        CHECK_INT(s.height, m->frame[0].height);
    }
}

static void still(const char *spec, ib_frame *f) {
    ib_error err = {0};
    CHECK_OK(ib_read_still(f, spec, NULL, &err), &err);
}

/* What slerp in the patch space makes of two frames. */
static void expect_slerp(const ib_frame *a, const ib_frame *b, float t, ib_frame *out) {
    ib_error err = {0};
    ib_space *s = NULL;
    ib_shape shape;
    float *z0, *z1;
    CHECK_OK(ib_space_open(&s, "patch", &err), &err);
    CHECK_OK(ib_space_shape(s, a->width, a->height, &shape, &err), &err);
    CHECK_OK(ib_alloc_floats(&z0, shape.tokens * shape.width, "z0", &err), &err);
    CHECK_OK(ib_alloc_floats(&z1, shape.tokens * shape.width, "z1", &err), &err);
    CHECK_OK(ib_space_encode(s, a, z0, &err), &err);
    CHECK_OK(ib_space_encode(s, b, z1, &err), &err);
    ib_slerp_in(ib_geometry_of(ib_space_id(s)), z0, z1, t, shape.tokens, shape.width, z0);
    CHECK_OK(ib_frame_alloc(out, a->width, a->height, &err), &err);
    CHECK_OK(ib_space_decode(s, z0, out, &err), &err);
    ib_free(z0);
    ib_free(z1);
    ib_space_close(&s);
}

static void test_two(void) {
    const char *keys[] = {in_scratch("a.mkv"), in_scratch("b.mkv")};
    ib_frame a, b, want;
    film m, again;
    ib_movie_options o;
    ib_movie_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = 2;
    o.frames = 7;
    o.threads = 1;
    render(&o, &m);
    still(keys[0], &a);
    still(keys[1], &b);
    CHECK_INT(m.n, 7);
    CHECK(same(&m.frame[0], &a));
    CHECK(same(&m.frame[6], &b));
    for (int i = 1; i < 6; i++) {
        expect_slerp(&a, &b, (float)i / 6, &want);
        CHECK(same(&m.frame[i], &want));
        ib_frame_free(&want);
    }
    CHECK_NEAR(m.frame[6].pts_seconds, 6 / 24.0, 0.001);
    o.threads = 4;
    render(&o, &again);
    CHECK_INT(again.n, 7);
    for (int i = 0; i < m.n && i < again.n; i++) {
        CHECK(same(&m.frame[i], &again.frame[i]));
    }
    free_film(&again);
    /* eased: nearer to the ends early and late, the same in the middle */
    o.ease = true;
    render(&o, &again);
    CHECK(luma_difference(&again.frame[1], &a) < 0.7 * luma_difference(&m.frame[1], &a));
    CHECK(luma_difference(&again.frame[5], &b) < 0.7 * luma_difference(&m.frame[5], &b));
    CHECK(same(&again.frame[3], &m.frame[3]));
    CHECK(same(&again.frame[0], &a) && same(&again.frame[6], &b));
    free_film(&again);
    /* the keyframes and nothing between */
    o.ease = false;
    o.frames = 2;
    render(&o, &again);
    CHECK_INT(again.n, 2);
    CHECK(same(&again.frame[0], &a) && same(&again.frame[1], &b));
    free_film(&again);
    /* equal keyframes: a still film */
    o.frames = 5;
    keys[1] = keys[0];
    render(&o, &again);
    for (int i = 0; i < again.n; i++) {
        CHECK(same(&again.frame[i], &a));
    }
    free_film(&again);
    free_film(&m);
    ib_frame_free(&a);
    ib_frame_free(&b);
}

static void test_chain_and_loop(void) {
    char third[600];
    snprintf(third, sizeof third, "%s@0.3s", in_scratch("b.mkv")); /* its fourth frame */
    const char *keys[] = {in_scratch("a.mkv"), in_scratch("b.mkv"), third};
    ib_frame key[3];
    film m;
    ib_movie_options o;
    ib_movie_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = 3;
    o.frames = 4;
    o.threads = 2;
    for (int i = 0; i < 3; i++) {
        still(keys[i], &key[i]);
    }
    CHECK(!same(&key[1], &key[2]));
    render(&o, &m);
    CHECK_INT(m.n, 7);
    for (int i = 0; i < m.n; i++) {
        CHECK_INT(same(&m.frame[i], &key[i / 3]), i % 3 == 0);
    }
    free_film(&m);
    o.loop = true;
    render(&o, &m);
    CHECK_INT(m.n, 9);
    for (int i = 0; i < m.n; i++) {
        CHECK_INT(same(&m.frame[i], &key[i / 3]), i % 3 == 0);
    }
    ib_frame want;
    expect_slerp(&key[2], &key[0], 1 / 3.0f, &want);
    CHECK(m.n > 7 && same(&m.frame[7], &want));
    ib_frame_free(&want);
    free_film(&m);
    for (int i = 0; i < 3; i++) {
        ib_frame_free(&key[i]);
    }
}

static void test_sizes_and_colours(void) {
    const char *keys[] = {in_scratch("odd.mkv"), in_scratch("odd2.mkv"), in_scratch("a.mkv")};
    ib_error err = {0};
    ib_frame a, b;
    film m;
    ib_movie_options o;
    ib_movie_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = 2;
    o.frames = 3;
    render(&o, &m);
    still(keys[0], &a);
    still(keys[1], &b);
    CHECK_INT(m.n, 3);
    CHECK(same(&m.frame[0], &a));
    CHECK(same(&m.frame[2], &b));
    ib_frame_free(&a);
    ib_frame_free(&b);
    free_film(&m);
    o.n_keyframes = 3;
    o.output = in_scratch("none.mp4");
    o.codec = NULL;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_MISMATCH, "53 x 37");
    CHECK(strstr(err.text, "96 x 64") && strstr(err.text, "a.mkv"));
    o.width = 48;
    o.height = 32;
    render(&o, &m);
    CHECK_INT(m.n, 5);
    CHECK_INT(m.frame[0].width, 48);
    free_film(&m);
    /* keyframes of two matrices: the first one's is the clip's */
    o.width = o.height = 0;
    keys[0] = in_scratch("a.mkv");
    keys[1] = in_scratch("other.mkv");
    o.n_keyframes = 2;
    render(&o, &m);
    CHECK_INT(m.matrix, IB_MATRIX_BT709);
    uint8_t rgb[2][96 * 64 * 3];
    still(keys[1], &b);
    CHECK_INT(b.matrix, IB_MATRIX_BT601);
    m.frame[2].matrix = m.matrix;
    CHECK_OK(ib_frame_to_rgb(&b, rgb[0], &err), &err);
    CHECK_OK(ib_frame_to_rgb(&m.frame[2], rgb[1], &err), &err);
    int worst = 0;
    for (size_t i = 0; i < sizeof rgb[0]; i++) {
        worst = abs(rgb[0][i] - rgb[1][i]) > worst ? abs(rgb[0][i] - rgb[1][i]) : worst;
    }
    CHECK_NEAR(worst, 0, 8);
    ib_frame_free(&b);
    free_film(&m);
    /* black ones */
    keys[0] = keys[1] = in_scratch("black.mkv");
    render(&o, &m);
    still(keys[0], &b);
    for (int i = 0; i < m.n; i++) {
        CHECK(same(&m.frame[i], &b));
    }
    free_film(&m);
    keys[1] = in_scratch("a.mkv");
    render(&o, &m);
    CHECK_INT(m.n, 3);
    CHECK(same(&m.frame[0], &b));
    free_film(&m);
    ib_frame_free(&b);
}

static void on_progress(void *user, int64_t done, int64_t total) {
    int64_t *last = user;
    CHECK(done > last[0] && done <= total);
    last[0] = done;
    last[1] = total;
}

static void test_refusals(void) {
    const char *keys[] = {in_scratch("a.mkv"), in_scratch("b.mkv")};
    int before = files_there();
    ib_error err = {0};
    ib_movie_options o;
    ib_movie_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = 2;
    o.output = in_scratch("bad.mp4");
    static const int frames[] = {0, 1, -5};
    for (int i = 0; i < 3; i++) {
        o.frames = frames[i];
        CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "frames from keyframe to keyframe");
    }
    o.frames = 5;
    o.fps = 0;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "frames a second");
    o.fps = 24;
    o.gap_seconds = NAN;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "gap");
    o.gap_seconds = 0;
    o.trust = NAN;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "trust");
    o.trust = 1;
    o.compare = true;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "adapter");
    o.compare = false;
    o.n_keyframes = 1;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "1 keyframes");
    o.n_keyframes = 2;
    o.adapter = in_scratch("missing.safetensors");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_IO, "missing.safetensors");
    o.adapter = NULL;
    keys[1] = in_scratch("missing.png");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_IO, "missing.png");
    keys[1] = in_scratch("b.mkv@77s");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "77");
    keys[1] = in_scratch("b.mkv");
    o.output = in_scratch("no/bad.mp4");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_IO, "no/bad.mp4");
    o.output = in_scratch("bad.xyz");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_ARGUMENT, "bad.xyz");
    o.output = in_scratch("bad.mp4");
    atomic_int stop = 1;
    o.stop = &stop;
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_INTERRUPTED, "stopped");
    CHECK_INT(files_there(), before);
    int64_t seen[2] = {0};
    atomic_store(&stop, 0);
    o.progress = on_progress;
    o.user = seen;
    CHECK_OK(ib_render_movie(&o, NULL, &err), &err);
    CHECK_INT(seen[0], 5);
    CHECK_INT(seen[1], 5);
}

/* A model whose weights are random, saved to a file. */
static void make_adapter(const char *path, const char *space_id) {
    ib_error err = {0};
    ib_adapter_config config;
    ib_adapter *a = NULL;
    CHECK_OK(ib_adapter_preset("toaster", space_id, IB_LAYOUT_GRID, 96, &config, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &config, 1, &err), &err);
    if (a) {
        CHECK_OK(ib_adapter_save(a, path, NULL, 0, &err), &err);
    }
    ib_adapter_free(&a);
}

static void test_adapter(void) {
    const char *keys[] = {in_scratch("a.mkv"), in_scratch("b.mkv")};
    ib_error err = {0};
    ib_space *space = NULL;
    ib_frame a, b, want;
    film m;
    ib_movie_options o;
    CHECK_OK(ib_space_open(&space, "patch", &err), &err);
    make_adapter(in_scratch("a.safetensors"), ib_space_id(space));
    make_adapter(in_scratch("other.safetensors"), "clip:0123");
    ib_space_close(&space);
    ib_movie_defaults(&o);
    o.keyframes = keys;
    o.n_keyframes = 2;
    o.frames = 5;
    o.threads = 2;
    o.adapter = in_scratch("a.safetensors");
    still(keys[0], &a);
    still(keys[1], &b);
    render(&o, &m);
    CHECK_INT(m.n, 5);
    CHECK(m.n && same(&m.frame[0], &a));
    CHECK(m.n && same(&m.frame[m.n - 1], &b));
    /* untrained it interpolates: each in-between lies between its keyframes */
    for (int i = 1; i + 1 < m.n; i++) {
        double whole = luma_difference(&a, &b);
        CHECK(luma_difference(&m.frame[i], &a) < whole && luma_difference(&m.frame[i], &b) < whole);
    }
    free_film(&m);
    o.compare = true;
    render(&o, &m);
    CHECK_INT(m.n, 5);
    if (m.n == 5) {
        CHECK_INT(m.frame[0].width, 192);
        /* away from the names both halves of the ends are the keyframes; the left half between
         * them is slerp */
        expect_slerp(&a, &b, 0.5f, &want);
        for (int y = 20; y < 64; y++) {
            size_t at = (size_t)y * m.frame[0].stride[0];
            CHECK(!memcmp(m.frame[0].plane[0] + at, a.plane[0] + (size_t)y * a.stride[0], 96));
            CHECK(!memcmp(m.frame[0].plane[0] + at + 96, a.plane[0] + (size_t)y * a.stride[0], 96));
            CHECK(!memcmp(m.frame[4].plane[0] + at + 96, b.plane[0] + (size_t)y * b.stride[0], 96));
            CHECK(!memcmp(m.frame[2].plane[0] + at, want.plane[0] + (size_t)y * want.stride[0], 96));
        }
        ib_frame_free(&want);
    }
    free_film(&m);
    o.compare = false;
    o.output = in_scratch("bad.mp4");
    o.adapter = in_scratch("other.safetensors");
    CHECK_ERROR(ib_render_movie(&o, NULL, &err), &err, IB_E_MISMATCH, "clip:0123");
    o.adapter = in_scratch("a.mkv");
    CHECK(ib_render_movie(&o, NULL, &err) < 0 && strstr(err.text, "a.mkv"));
    ib_frame_free(&a);
    ib_frame_free(&b);
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char command[300];
    snprintf(scratch, sizeof scratch, "%s/ib_render_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch)) {
        return check_skip("test_render", "no scratch directory can be made");
    }
    write_lossless(in_scratch("a.mkv"), 96, 64, IB_MATRIX_BT709, 1, 0);
    write_lossless(in_scratch("b.mkv"), 96, 64, IB_MATRIX_BT709, 5, 3);
    write_lossless(in_scratch("other.mkv"), 96, 64, IB_MATRIX_BT601, 1, 3);
    write_lossless(in_scratch("odd.mkv"), 53, 37, IB_MATRIX_BT709, 1, 0);
    write_lossless(in_scratch("odd2.mkv"), 53, 37, IB_MATRIX_BT709, 1, 2);
    write_lossless(in_scratch("black.mkv"), 96, 64, IB_MATRIX_BT709, 1, -1);
    RUN(test_two());
    RUN(test_chain_and_loop());
    RUN(test_sizes_and_colours());
    RUN(test_refusals());
    RUN(test_adapter());
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command)) {
        printf("%s was not removed\n", scratch);
    }
    return check_report("test_render");
}
