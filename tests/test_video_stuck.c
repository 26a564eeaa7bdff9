/* A decoder that answers nothing but an error, and takes no packet, ends the video; it does not hold the
 * program for ever. */
#include <dlfcn.h>
#include <libavcodec/avcodec.h>
#include <unistd.h>
#include "tests/check.h"
#include "tests/clips.h"
#include "video_io/reader.h"

static int good_frames; /* before it is stuck; -1: never is */

/* Stands before FFmpeg's own. */
int avcodec_receive_frame(AVCodecContext *c, AVFrame *frame) {
    static int (*real)(AVCodecContext *, AVFrame *);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "avcodec_receive_frame");
    }
    if (!good_frames) {
        return AVERROR_INVALIDDATA;
    }
    int rc = real(c, frame);
    good_frames -= rc >= 0 && good_frames > 0;
    return rc;
}

int main(void) {
    ib_error err = {0};
    ib_reader *r = NULL;
    const ib_frame *f;
    const char *what = "";
    if (!make_scratch("stuck")) {
        return check_skip("test_video_stuck", "no scratch directory");
    }
    good_frames = -1;
    CHECK_OK(write_clip(in_scratch("a.mkv"), 64, 48, 12, 25, "ffv1", -1, &err), &err);
    alarm(20);
    good_frames = 0;
    CHECK_ERROR(ib_reader_open(&r, in_scratch("a.mkv"), NULL, &err), &err, IB_E_FORMAT, "no frame");
    good_frames = 5;
    err = (ib_error){0};
    CHECK_OK(ib_reader_open(&r, in_scratch("a.mkv"), NULL, &err), &err);
    int n = 0, more = r ? 1 : 0;
    while (more && (more = ib_reader_next(r, &f, &err)) > 0) {
        n++;
    }
    CHECK_INT(more, 0);
    CHECK(n > 0 && n <= 5); /* probing the file takes some */
    CHECK(!r || (ib_reader_damaged(r, &what) > 0 && strstr(what, "cannot be decoded")));
    ib_reader_close(&r);
    alarm(0);
    remove_scratch();
    return check_report("test_video_stuck");
}
