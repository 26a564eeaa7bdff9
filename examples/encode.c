/* encode VIDEO OUT.h5: a video's latents into a file, and what is in it. */
#include <inbetween/inbetween.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: encode VIDEO OUT.h5\n");
        return 2;
    }
    ib_error err = {0};
    ib_space *space = NULL;
    ib_latent_file *file = NULL;
    ib_encode_options options;
    ib_encode_stats stats;
    ib_encode_defaults(&options);
    int rc = ib_space_open(&space, "patch", &err);
    rc = rc ? rc : ib_encode_video(argv[1], argv[2], space, &options, &stats, &err);
    rc = rc ? rc : ib_latent_open(&file, argv[2], &err);
    if (rc) {
        fprintf(stderr, "encode: %s\n", err.text);
    } else {
        const ib_latent_info *info = ib_latent_info_of(file);
        printf("%zu frames, %zu cuts, each %d x %d tokens of %zu numbers\n", info->frames, stats.cuts,
               info->shape.rows, info->shape.cols, info->shape.width);
    }
    ib_latent_close(&file);
    ib_space_close(&space);
    return rc ? 1 : 0;
}
