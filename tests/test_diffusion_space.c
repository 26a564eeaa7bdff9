/* vae:PATH as a space: frames of any size to the autoencoder's latents and back. */
#include "base/file.h"
#include "latent/space.h"
#include "tests/diffusion_fixture.h"
#include "video_io/frame.h"

/* A smooth picture. */
static void paint(ib_frame *f) {
    uint8_t *rgb = malloc((size_t)f->width * (size_t)f->height * 3);
    for (int r = 0; r < f->height; r++) {
        for (int c = 0; c < f->width; c++) {
            uint8_t *p = rgb + 3 * (r * f->width + c);
            p[0] = (uint8_t)(4 * c);
            p[1] = (uint8_t)(6 * r);
            p[2] = (uint8_t)(128 + 2 * c - 3 * r);
        }
    }
    CHECK_INT(ib_frame_from_rgb(f, rgb, NULL), 0);
    free(rgb);
}

static void test_space(void) {
    ib_error err = {0};
    ib_space *s = NULL, *again = NULL;
    ib_frame f = {0}, back = {0};
    ib_shape shape = {0};
    CHECK_OK(ib_space_open(&s, "vae:tests/fixtures/diffusion/vae", &err), &err);
    CHECK_OK(
        ib_space_open(&again, "vae:tests/fixtures/diffusion/vae/diffusion_pytorch_model.safetensors", &err),
        &err);
    if (!s || !again) {
        return;
    }
    CHECK(!strcmp(ib_space_id(s), ib_space_id(again)));
    printf("    %s (%s)\n", ib_space_id(s), ib_space_remark(s));
    CHECK(!strncmp(ib_space_id(s), "vae:", 4) && strlen(ib_space_id(s)) > 64 &&
          strstr(ib_space_remark(s), "AutoencoderKL"));
    CHECK(!ib_space_resizes(s) && ib_space_decodes(s) && !ib_space_reads_text(s) &&
          !ib_space_is_pictures(ib_space_id(s)));
    CHECK_OK(ib_frame_alloc(&f, 37, 23, &err), &err);
    CHECK_OK(ib_frame_alloc(&back, 37, 23, &err), &err);
    paint(&f);
    CHECK_OK(ib_space_shape(s, 37, 23, &shape, &err), &err);
    CHECK(shape.layout == IB_LAYOUT_GRID && shape.rows == 12 && shape.cols == 19 && shape.width == 4);
    size_t n = shape.tokens * shape.width;
    float *z = calloc(n, sizeof *z), *z2 = calloc(n, sizeof *z2);
    CHECK_OK(ib_space_encode(s, &f, z, &err), &err);
    CHECK_OK(ib_space_encode(again, &f, z2, &err), &err);
    CHECK(!memcmp(z, z2, n * sizeof *z));
    CHECK_OK(ib_space_decode(s, z, &back, &err), &err);
    CHECK_OK(ib_space_decode(again, z, &back, &err), &err);
    /* the fixture's weights are random: what comes back is a picture, not this one; but it depends on the
     * latent */
    uint8_t first = back.plane[0][5 * back.stride[0] + 7];
    for (size_t i = 0; i < n; i++) {
        z[i] += 2;
    }
    CHECK_OK(ib_space_decode(s, z, &back, &err), &err);
    CHECK(back.plane[0][5 * back.stride[0] + 7] != first);
    free(z2);
    free(z);
    ib_frame_free(&back);
    ib_frame_free(&f);
    ib_space_close(&again);
    ib_space_close(&s);
}

/* The exact picture on either side of the space, by the fixture: a picture of bytes against the autoencoder's
 * own numbers. */
static void test_refused(void) {
    ib_error err = {0};
    ib_space *s = NULL;
    CHECK_ERROR(ib_space_open(&s, "vae:", &err), &err, IB_E_ARGUMENT, "vae:PATH");
    CHECK_ERROR(ib_space_open(&s, "vae:tests/fixtures/nothing", &err), &err, IB_E_IO, "nothing");
    CHECK_ERROR(ib_space_open(&s, "vea:x", &err), &err, IB_E_ARGUMENT, "patch, clip:PATH, vae:PATH");
    CHECK(!s);
}

int main(void) {
    RUN(test_space());
    RUN(test_refused());
    return check_report("test_diffusion_space");
}
