#include "video_io/segments.h"

#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include "base/file.h"
#include "base/output.h"
#include "base/resume.h"
#include "video_io/join.h"

static const char ending[] = ".part";

struct ib_segments {
    ib_writer_options opt; /* its texts are not kept */
    char *path, *codec;    /* owned; codec may be NULL */
    const ib_container *container;
    ib_container part_container;
    ib_resume resume;
    ib_pending part; /* of the segment that is being made */
    ib_encoder *encoder;
    int64_t parts;  /* whole segments */
    int in_segment; /* frames of the next one */
    bool resumable, finished;
};

/* What parts are kept in: FFmpeg's own container, any encoder's packets as they are with exact times; the few
 * that it does not know go into one that does. */
static void choose_part_container(ib_segments *s) {
    const AVOutputFormat *nut = av_guess_format("nut", NULL, NULL);
    const AVCodec *c = avcodec_find_encoder_by_name(s->codec ? s->codec : s->container->encoder);
    bool known = nut && c && avformat_query_codec(nut, c->id, FF_COMPLIANCE_NORMAL) == 1;
    s->part_container = (ib_container){.extension = s->container->extension,
                                       .muxer = known ? "nut" : "mov",
                                       .encoder = s->container->encoder};
}

static int make_segments(ib_segments *s, const char *path, const ib_writer_options *opt, ib_error *err) {
    int rc = ib_encoder_check(path, s->container, opt, err);
    rc = rc ? rc : ib_output_check(path, opt->inputs, opt->n_inputs, NULL, err);
    rc = rc ? rc : ib_output_try(path, err);
    rc = rc ? rc : ib_resume_begin(&s->resume, path, opt->resume_key, ending, err);
    if (!rc) {
        s->resumable = opt->resume_key != NULL;
        s->parts = s->resume.done;
    }
    return rc;
}

int ib_segments_open(ib_segments **out, const char *path, const ib_container *container,
                     const ib_writer_options *opt, ib_error *err) {
    *out = NULL;
    ib_segments *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path)) || (opt->codec && !(s->codec = strdup(opt->codec)))) {
        ib_segments_close(&s);
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a writer", path);
    }
    s->opt = *opt;
    s->opt.codec = s->codec;
    s->container = container;
    choose_part_container(s);
    int rc = make_segments(s, path, opt, err);
    if (rc) {
        ib_segments_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

static int begin_segment(ib_segments *s, ib_error *err) {
    char *name = ib_resume_part(&s->resume, s->parts + 1, ending);
    if (!name) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a name", s->path);
    }
    int rc = ib_pending_begin(&s->part, name, err);
    free(name);
    return rc ? rc : ib_encoder_open(&s->encoder, s->path, s->part.temp, &s->part_container, &s->opt, err);
}

static int end_segment(ib_segments *s, ib_error *err) {
    int rc = ib_encoder_finish(s->encoder, err);
    ib_encoder_close(&s->encoder);
    rc = rc ? rc : ib_pending_publish(&s->part, err);
    s->parts += !rc;
    s->in_segment = 0;
    return rc;
}

int ib_segments_write(ib_segments *s, const ib_frame *frame, ib_error *err) {
    int rc = s->encoder ? 0 : begin_segment(s, err);
    rc = rc ? rc : ib_encoder_write(s->encoder, frame, err);
    if (!rc && ++s->in_segment == s->opt.segment_frames) {
        rc = end_segment(s, err);
    }
    return rc;
}

int64_t ib_segments_done(const ib_segments *s) {
    return s->parts * s->opt.segment_frames + s->in_segment;
}

const char *ib_segments_kept(const ib_segments *s) {
    return s->resumable && s->parts ? s->resume.folder : NULL;
}

int ib_segments_finish(ib_segments *s, ib_error *err) {
    ib_pending whole = {0};
    int rc = s->encoder ? end_segment(s, err) : 0;
    rc = rc ? rc : ib_pending_begin(&whole, s->path, err);
    if (!rc) {
        const ib_joint joint = {
            .name = s->path,
            .file = whole.temp,
            .container = s->container,
            .opt = &s->opt,
            .resume = &s->resume,
            .ending = ending,
            .part_format = s->part_container.muxer,
            .parts = s->parts,
        };
        rc = ib_join_parts(&joint, err);
    }
    rc = rc ? rc : ib_pending_publish(&whole, err);
    ib_pending_abort(&whole);
    s->finished = !rc;
    return rc;
}

void ib_segments_close(ib_segments **ps) {
    ib_segments *s = *ps;
    *ps = NULL;
    if (!s) {
        return;
    }
    ib_encoder_close(&s->encoder);
    ib_pending_abort(&s->part);
    if (s->finished || !ib_segments_kept(s)) {
        ib_resume_remove(&s->resume);
    } else {
        ib_resume_leave(&s->resume);
    }
    free(s->codec);
    free(s->path);
    free(s);
}
