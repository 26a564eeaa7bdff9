/* between A.png B.png T OUT.png [ADAPTER]: the picture at T, 0 to 1, between two pictures of one size. */
#include <inbetween/inbetween.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: between A.png B.png T OUT.png [ADAPTER]\n");
        return 2;
    }
    ib_error err = {0};
    ib_frame a = {0}, b = {0}, out = {0};
    ib_renderer *renderer = NULL;
    unsigned char *rgb = NULL;
    int rc = ib_read_still(&a, argv[1], NULL, &err);
    rc = rc ? rc : ib_read_still(&b, argv[2], NULL, &err);
    rc = rc ? rc : ib_frame_alloc(&out, a.width, a.height, &err);
    rc = rc ? rc : ib_renderer_open(&renderer, argc > 5 ? argv[5] : NULL, a.width, a.height, 0, &err);
    rc = rc ? rc : ib_renderer_frame(renderer, &a, &b, strtof(argv[3], NULL), 1.0f, &out, &err);
    if (!rc && !(rgb = malloc((size_t)out.width * (size_t)out.height * 3))) {
        rc = ib_fail(&err, IB_E_MEMORY, "out of memory for a picture");
    }
    rc = rc ? rc : ib_frame_to_rgb(&out, rgb, &err);
    rc = rc ? rc : ib_write_png(argv[4], rgb, out.width, out.height, &err);
    if (rc) {
        fprintf(stderr, "between: %s\n", err.text);
    }
    free(rgb);
    ib_renderer_close(&renderer);
    ib_frame_free(&out);
    ib_frame_free(&b);
    ib_frame_free(&a);
    return rc ? 1 : 0;
}
