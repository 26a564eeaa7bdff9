#include "video_io/join.h"

#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include "video_io/av.h"
#include "video_io/carry.h"

typedef struct join {
    const ib_joint *j;
    AVFormatContext *out, *part;
    AVPacket *packet, *other; /* the next of the parts and the next of what is carried */
    bool have_packet, have_other;
    AVRational tick;        /* one frame */
    int64_t open;           /* parts begun */
    int64_t packets, first; /* so far, and before this part */
    int64_t delay;          /* frames that decoding is ahead of showing */
    ib_carrier *carrier;
} join;

/* probe: look into it for what the encoder says about its pictures, else only its packets are wanted. */
static int open_part(join *n, int64_t number, bool probe, ib_error *err) {
    ib_av_text t;
    char *path = ib_resume_part(n->j->resume, number, n->j->ending);
    n->part = avformat_alloc_context();
    int rc = path && n->part ? 0 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a part", n->j->name);
    if (!rc) {
        n->part->flags |= probe ? 0 : AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
        int code = ib_av_open_file(&n->part, path, av_find_input_format(n->j->part_format));
        code = code < 0 || !probe ? code : avformat_find_stream_info(n->part, NULL);
        if (code < 0 || n->part->nb_streams != 1) {
            rc = ib_fail(err, code < 0 ? ib_av_code(code) : IB_E_FORMAT,
                         "%s: is no part of a clip (%s); remove the folder to begin anew", path,
                         code < 0 ? ib_av_error(code, &t) : "it has not one stream");
        }
    }
    n->first = n->packets;
    free(path);
    return rc;
}

/* What all parts have, from the first. Parts do not keep all tags. */
static int describe(join *n, AVStream *video, ib_error *err) {
    const ib_writer_options *o = n->j->opt;
    int rc = open_part(n, 1, true, err);
    if (rc) {
        return rc;
    }
    AVCodecParameters *p = video->codecpar;
    if (avcodec_parameters_copy(p, n->part->streams[0]->codecpar) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a clip", n->j->name);
    }
    avformat_close_input(&n->part);
    bool full = p->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat plain = ib_av_plain_format(p->format, &full);
    ib_colour c = ib_colour_of(o, plain, full || ib_av_is_rgb(plain));
    p->color_range = c.range;
    p->color_space = c.matrix;
    p->color_primaries = c.primaries;
    p->color_trc = c.transfer;
    p->chroma_location = c.location;
    p->sample_aspect_ratio =
        (AVRational){o->sample_width > 0 ? o->sample_width : 1, o->sample_height > 0 ? o->sample_height : 1};
    p->field_order = AV_FIELD_PROGRESSIVE;
    bool mp4 = !strcmp(n->out->oformat->name, "mp4") || !strcmp(n->out->oformat->name, "mov");
    p->codec_tag = mp4 && p->codec_id == AV_CODEC_ID_HEVC ? MKTAG('h', 'v', 'c', '1') : 0;
    AVRational rate = av_d2q(o->fps, 1001000);
    n->tick = av_inv_q(rate);
    video->time_base = n->tick;
    video->avg_frame_rate = video->r_frame_rate = rate;
    video->sample_aspect_ratio = p->sample_aspect_ratio;
    return 0;
}

/* A picture in the order of decoding, with the time it is shown at in frames. */
static int read_picture(join *n, ib_error *err) {
    ib_av_text t;
    AVPacket *p = n->packet;
    for (;;) {
        if (!n->part && n->open == n->j->parts) {
            return 0;
        }
        int rc = n->part ? 0 : open_part(n, ++n->open, false, err);
        if (rc) {
            return rc;
        }
        if ((rc = av_read_frame(n->part, p)) >= 0) {
            break;
        }
        if (rc != AVERROR_EOF) {
            return ib_fail(err, ib_av_code(rc), "%s: part %lld cannot be read (%s)", n->j->name,
                           (long long)n->open, ib_av_error(rc, &t));
        }
        avformat_close_input(&n->part);
    }
    if (p->pts == AV_NOPTS_VALUE) {
        return ib_fail(err, IB_E_FORMAT, "%s: part %lld is damaged", n->j->name, (long long)n->open);
    }
    p->stream_index = 0;
    p->pts = n->first + av_rescale_q(p->pts, n->part->streams[0]->time_base, n->tick);
    p->dts = n->packets++;
    p->duration = 1;
    p->pos = -1;
    return 1;
}

/* Some encoders do not say how far decoding has to be ahead. */
static int measure_delay(join *n, ib_error *err) {
    const AVCodecParameters *p = n->out->streams[0]->codecpar;
    const AVCodecDescriptor *d = avcodec_descriptor_get(p->codec_id);
    n->delay = p->video_delay;
    if (n->delay || !d || !(d->props & AV_CODEC_PROP_REORDER)) {
        return 0;
    }
    int rc;
    while ((rc = read_picture(n, err)) > 0) {
        n->delay = n->packet->dts - n->packet->pts > n->delay ? n->packet->dts - n->packet->pts : n->delay;
        av_packet_unref(n->packet);
    }
    n->open = n->packets = 0;
    return rc;
}

/* Decoding times count on, so far ahead of the times that frames are shown at. */
static int next_picture(join *n, ib_error *err) {
    int rc = read_picture(n, err);
    if (rc <= 0) {
        return rc;
    }
    n->packet->dts -= n->delay;
    if (n->packet->dts > n->packet->pts) {
        return ib_fail(err, IB_E_UNSUPPORTED,
                       "%s: the encoder puts frames further out of order than it says; --codec names "
                       "another one",
                       n->j->name);
    }
    return 1;
}

static int open_output(join *n, ib_error *err) {
    ib_av_text t;
    const ib_joint *j = n->j;
    AVDictionary *options = NULL;
    char *url = av_asprintf("file:%s", j->file);
    AVStream *video = NULL;
    int rc = 0;
    if (!url || avformat_alloc_output_context2(&n->out, NULL, j->container->muxer, url) < 0 ||
        !(video = avformat_new_stream(n->out, NULL))) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a clip", j->name);
    }
    av_free(url);
    if (rc || (rc = describe(n, video, err))) {
        return rc;
    }
    bool mp4 = !strcmp(j->container->muxer, "mp4") || !strcmp(j->container->muxer, "mov");
    n->out->flags |= AVFMT_FLAG_BITEXACT; /* no random numbers, no names of versions */
    rc = j->opt->carry ? ib_carrier_open(&n->carrier, j->opt->carry, n->out, j->name, err) : 0;
    if (rc) {
        return rc;
    }
    if (mp4) {
        av_dict_set(&options, "movflags", "+faststart", 0);
    }
    rc = avio_open(&n->out->pb, n->out->url, AVIO_FLAG_WRITE);
    if (rc < 0) {
        rc = ib_fail(err, IB_E_IO, "%s: %s cannot be written (%s)", j->name, j->file, ib_av_error(rc, &t));
    } else if ((rc = avformat_write_header(n->out, &options)) < 0) {
        rc = ib_fail(err, ib_av_code(rc), "%s: its beginning cannot be written (%s)", j->name,
                     ib_av_error(rc, &t));
    }
    av_dict_free(&options);
    return rc < 0 ? rc : 0;
}

static int put(join *n, AVPacket *p, AVRational from, ib_error *err) {
    ib_av_text t;
    av_packet_rescale_ts(p, from, n->out->streams[p->stream_index]->time_base);
    int rc = av_interleaved_write_frame(n->out, p);
    if (rc >= 0 && n->out->pb->error < 0) {
        rc = n->out->pb->error;
    }
    return rc < 0 ? ib_fail(err, ib_av_code(rc) == IB_E_MEMORY ? IB_E_MEMORY : IB_E_IO,
                            "%s: cannot be written (%s)", n->j->name, ib_av_error(rc, &t))
                  : 0;
}

/* The next packet of each, the earlier first. */
static int step(join *n, bool *more, ib_error *err) {
    int rc;
    if (!n->have_packet) {
        if ((rc = next_picture(n, err)) < 0) {
            return rc;
        }
        n->have_packet = rc;
    }
    if (!n->have_other && n->carrier) {
        if ((rc = ib_carrier_next(n->carrier, n->other, err)) < 0) {
            return rc;
        }
        n->have_other = rc;
    }
    *more = n->have_packet || n->have_other;
    if (!*more) {
        return 0;
    }
    AVRational other_tick =
        n->have_other ? n->out->streams[n->other->stream_index]->time_base : (AVRational){1, 1};
    if (n->have_packet &&
        (!n->have_other || av_compare_ts(n->packet->dts, n->tick, n->other->dts, other_tick) <= 0)) {
        n->have_packet = false;
        return put(n, n->packet, n->tick, err);
    }
    n->have_other = false;
    return put(n, n->other, other_tick, err);
}

static int end_output(join *n, ib_error *err) {
    ib_av_text t;
    int rc = av_write_trailer(n->out);
    if (rc >= 0 && n->out->pb->error < 0) {
        rc = n->out->pb->error;
    }
    int closed = avio_closep(&n->out->pb);
    rc = rc < 0 ? rc : closed;
    return rc < 0 ? ib_fail(err, IB_E_IO, "%s: cannot be written (%s)", n->j->name, ib_av_error(rc, &t)) : 0;
}

int ib_join_parts(const ib_joint *j, ib_error *err) {
    join n = {.j = j, .packet = av_packet_alloc(), .other = av_packet_alloc()};
    const atomic_int *stop = j->opt->carry ? j->opt->carry->stop : NULL;
    bool more = true;
    int rc = n.packet && n.other ? open_output(&n, err)
                                 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a packet", j->name);
    rc = rc ? rc : measure_delay(&n, err);
    while (!rc && more) {
        rc = stop && atomic_load(stop)
                 ? ib_fail(err, IB_E_INTERRUPTED, "%s: stopped while its parts were put together", j->name)
                 : step(&n, &more, err);
    }
    rc = rc ? rc : end_output(&n, err);
    if (!rc && j->opt->carried && n.carrier) {
        *j->opt->carried = *ib_carrier_carried(n.carrier);
    }
    ib_carrier_close(&n.carrier);
    if (n.out) {
        avio_closep(&n.out->pb);
    }
    avformat_free_context(n.out);
    avformat_close_input(&n.part);
    av_packet_free(&n.packet);
    av_packet_free(&n.other);
    return rc;
}
