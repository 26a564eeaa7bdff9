/* The library in another program's process: what belongs to the process is as it was afterwards. */
#include <cblas.h>
#include <hdf5.h>
#include <libavutil/log.h>
#include <omp.h>
#include <unistd.h>
#include "guide/encode.h"
#include "tests/check.h"
#include "train/train.h"
#include "video_io/writer.h"

static char scratch[256];
static int heard;

static herr_t hear(hid_t stack, void *user) {
    (void)stack, (void)user;
    heard++;
    return 0;
}

static void make_video(const char *path) {
    ib_error err = {0};
    ib_frame f;
    ib_writer *w = NULL;
    const ib_writer_options o = {
        .width = 96, .height = 64, .fps = 10, .codec = "ffv1", .crf = -1, .threads = 1};
    CHECK_OK(ib_frame_alloc(&f, 96, 64, &err), &err);
    ib_frame_fill_black(&f);
    CHECK_OK(ib_writer_open(&w, path, &o, &err), &err);
    for (int i = 0; i < 24; i++) {
        for (int y = 0; y < 64; y++) {
            for (int x = 0; x < 96; x++) {
                f.plane[0][(size_t)y * f.stride[0] + (size_t)x] =
                    (uint8_t)(126 + 60 * sin((x + 2 * i) * .2 + y * .1));
            }
        }
        CHECK_OK(ib_writer_write(w, &f, &err), &err);
    }
    CHECK_OK(ib_writer_finish(&w, &err), &err);
    ib_frame_free(&f);
}

int main(void) {
    char video[300], latent[300], run[300], missing[300], command[400];
    ib_error err = {0};
    ib_space *space = NULL;
    ib_encode_options encode;
    ib_latent_file *file = NULL;
    ib_paths paths = {0};
    ib_train_options train;
    H5E_auto2_t handler = NULL;
    void *user = NULL;
    snprintf(scratch, sizeof scratch, "%s/inbetween-host.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scratch)) {
        perror(scratch);
        return 1;
    }
    snprintf(video, sizeof video, "%s/v.mkv", scratch);
    snprintf(latent, sizeof latent, "%s/v.h5", scratch);
    snprintf(missing, sizeof missing, "%s/no.h5", scratch);
    snprintf(run, sizeof run, "%s/run", scratch);

    av_log_set_level(AV_LOG_FATAL);
    H5Eset_auto2(H5E_DEFAULT, hear, &heard);
    omp_set_num_threads(3);
    openblas_set_num_threads(3);
    omp_set_num_threads(3);
    int blas = openblas_get_num_threads();

    make_video(video);
    ib_encode_defaults(&encode);
    encode.width = 96;
    encode.height = 64;
    CHECK_OK(ib_space_open(&space, "patch", &err), &err);
    CHECK_OK(ib_encode_video(video, latent, space, &encode, NULL, &err), &err);
    CHECK(ib_latent_open(&file, missing, &err) < 0);
    CHECK_OK(ib_paths_add(&paths, latent, &err), &err);
    ib_train_defaults(&train);
    train.latents = &paths;
    train.run = run;
    train.preset = "toaster";
    train.steps = 2;
    train.batch = 2;
    train.threads = 1;
    CHECK_OK(ib_train(&train, NULL, &err), &err);

    CHECK_INT(av_log_get_level(), AV_LOG_FATAL);
    H5Eget_auto2(H5E_DEFAULT, &handler, &user);
    CHECK(handler == hear);
    CHECK(user == &heard);
    CHECK_INT(heard, 0);
    CHECK(H5Fopen(missing, H5F_ACC_RDONLY, H5P_DEFAULT) < 0);
    CHECK(heard > 0);
    CHECK_INT(omp_get_max_threads(), 3);
    CHECK_INT(openblas_get_num_threads(), blas);

    ib_paths_free(&paths);
    ib_space_close(&space);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    if (system(command)) {
        printf("%s was not removed\n", scratch);
    }
    return check_report("test_host");
}
