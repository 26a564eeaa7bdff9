/* Adapters by name: the words, files of their names, and where the default is looked for. */
#include <unistd.h>
#include "adapter/named.h"
#include "base/beside.h"
#include "base/file.h"
#include "latent/space.h"
#include "render/movie.h"
#include "render/renderer.h"
#include "tests/check.h"

static char scratch[256];

static const char *in_scratch(const char *name) {
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch, name);
    return path[turn];
}

static ib_adapter *toaster(uint64_t seed) {
    ib_adapter_config c;
    ib_adapter *a = NULL;
    ib_space *space;
    ib_error err = {0};
    CHECK_OK(ib_space_open(&space, "patch", &err), &err);
    CHECK_OK(ib_adapter_preset("toaster", ib_space_id(space), IB_LAYOUT_GRID, 96, &c, &err), &err);
    CHECK_OK(ib_adapter_create(&a, &c, seed, &err), &err);
    ib_space_close(&space);
    return a;
}

static void test_none(void) {
    ib_adapter *a = (ib_adapter *)scratch;
    char *file = scratch;
    ib_error err = {0};
    CHECK_OK(ib_adapter_open_named(&a, NULL, &err), &err);
    CHECK(!a);
    CHECK_OK(ib_adapter_open_named(&a, "none", &err), &err);
    CHECK(!a);
    CHECK_OK(ib_adapter_named_file(&file, "none", &err), &err);
    CHECK(!file);
}

/* Untrained, the size of the preset "default", alike every time, and fit to render. */
static void test_prior(void) {
    ib_adapter *a = NULL, *b = NULL;
    ib_adapter_config c;
    char *file = scratch;
    ib_error err = {0};
    CHECK_OK(ib_adapter_open_named(&a, "prior", &err), &err);
    CHECK_OK(ib_adapter_open_named(&b, "prior", &err), &err);
    CHECK_OK(ib_adapter_named_file(&file, "prior", &err), &err);
    CHECK(!file);
    const ib_adapter_config *own = ib_adapter_config_of(a);
    CHECK_OK(ib_adapter_preset("default", own->space_id, own->layout, own->width, &c, &err), &err);
    CHECK_INT(own->fine, c.fine);
    CHECK_INT(own->coarse, c.coarse);
    CHECK(ib_space_is_pictures(own->space_id));
    CHECK(ib_adapter_renders(a));
    size_t n = ib_adapter_param_count(a);
    CHECK_INT(ib_adapter_param_count(b), n);
    CHECK(!memcmp(ib_adapter_params(a), ib_adapter_params(b), n * sizeof(float)));
    ib_adapter_free(&a);
    ib_adapter_free(&b);
}

static void test_missing(void) {
    ib_adapter *a = NULL;
    char *file = NULL;
    ib_error err = {0};
    setenv("INBETWEEN_SHARE", in_scratch("nowhere"), 1);
    CHECK_ERROR(ib_adapter_named_file(&file, "default", &err), &err, IB_E_IO, "nowhere/default.safetensors");
    CHECK(!file);
    CHECK_ERROR(ib_adapter_open_named(&a, "default", &err), &err, IB_E_IO, "comes with the program");
    CHECK(!a);
}

static void test_default(void) {
    ib_adapter *made = toaster(5), *a = NULL;
    char *file = NULL;
    ib_error err = {0};
    setenv("INBETWEEN_SHARE", scratch, 1);
    CHECK_OK(ib_adapter_save(made, in_scratch("default.safetensors"), NULL, 0, &err), &err);
    CHECK_OK(ib_adapter_named_file(&file, "default", &err), &err);
    CHECK(file && !strcmp(file, in_scratch("default.safetensors")));
    CHECK_OK(ib_adapter_open_named(&a, "default", &err), &err);
    size_t n = ib_adapter_param_count(made);
    CHECK(a && ib_adapter_param_count(a) == n);
    CHECK(a && !memcmp(ib_adapter_params(a), ib_adapter_params(made), n * sizeof(float)));
    free(file);
    ib_adapter_free(&a);
    ib_adapter_free(&made);
}

/* A user's own files called so. */
static void test_files(void) {
    static const char *const names[] = {"./none", "./prior", "./default", "a.safetensors"};
    ib_adapter *made = toaster(6);
    char before[512];
    ib_error err = {0};
    CHECK(getcwd(before, sizeof before) && !chdir(scratch));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ib_adapter *a = NULL;
        char *file = NULL;
        CHECK_OK(ib_adapter_save(made, names[i], NULL, 0, &err), &err);
        CHECK_OK(ib_adapter_named_file(&file, names[i], &err), &err);
        CHECK(file && !strcmp(file, names[i]));
        CHECK_OK(ib_adapter_open_named(&a, names[i], &err), &err);
        CHECK(a && *ib_adapter_params(a) == *ib_adapter_params(made));
        free(file);
        ib_adapter_free(&a);
    }
    CHECK(!chdir(before));
    ib_adapter_free(&made);
}

/* A square that moves: where both keyframes show it, slerp has two halves of it, the prior one in the middle.
 */
static void test_renders(void) {
    ib_frame first = {0}, last = {0}, plain = {0}, prior = {0};
    ib_renderer *r = NULL;
    ib_error err = {0};
    for (int i = 0; i < 2; i++) {
        ib_frame *f = i ? &last : &first;
        CHECK_OK(ib_frame_alloc(f, 96, 64, &err), &err);
        ib_frame_fill_black(f);
        for (int y = 20; y < 44; y++) {
            memset(f->plane[0] + (size_t)y * f->stride[0] + 30 + 8 * i, 200, 24);
        }
        CHECK_OK(ib_frame_alloc(i ? &prior : &plain, 96, 64, &err), &err);
        CHECK_OK(ib_renderer_open(&r, i ? "prior" : "none", 96, 64, 1, &err), &err);
        if (i) {
            CHECK_OK(ib_renderer_frame(r, &first, &last, 0.5f, 1, &prior, &err), &err);
        }
        ib_renderer_close(&r);
    }
    CHECK_OK(ib_renderer_open(&r, NULL, 96, 64, 1, &err), &err);
    CHECK_OK(ib_renderer_frame(r, &first, &last, 0.5f, 1, &plain, &err), &err);
    ib_renderer_close(&r);
    /* 32 px from the left only the first keyframe is white; half way the square begins at 34 */
    CHECK_NEAR(plain.plane[0][32 * plain.stride[0] + 32], 108, 20);
    CHECK_NEAR(prior.plane[0][32 * prior.stride[0] + 32], 16, 20);
    ib_frame_free(&first);
    ib_frame_free(&last);
    ib_frame_free(&plain);
    ib_frame_free(&prior);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/inbetween-named.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(scratch)) {
        perror(scratch);
        return 1;
    }
    RUN(test_none());
    RUN(test_prior());
    RUN(test_missing());
    RUN(test_default());
    RUN(test_files());
    RUN(test_renders());
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command) ? 1 : check_report("test_named");
}
