#include "video_io/join.h"

#include <stdlib.h>
#include <string.h>
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
    ib_carrier *carrier;
} join;

static int open_part(join *n, ib_error *err) {
    ib_av_text t;
    char *path = ib_resume_part(n->j->resume, ++n->open, n->j->ending);
    char *url = path ? av_asprintf("file:%s", path) : NULL;
    AVDictionary *options = NULL;
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    n->part = avformat_alloc_context();
    int rc = url && n->part ? 0 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a part", n->j->name);
    if (!rc) {
        n->part->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
        int code = avformat_open_input(&n->part, url, av_find_input_format("nut"), &options);
        if (code < 0 || n->part->nb_streams != 1) {
            rc = ib_fail(err, code < 0 ? ib_av_code(code) : IB_E_FORMAT,
                         "%s: is no part of a clip (%s); remove the folder to begin anew", path,
                         code < 0 ? ib_av_error(code, &t) : "it has not one stream");
        }
    }
    n->first = n->packets;
    av_dict_free(&options);
    av_free(url);
    free(path);
    return rc;
}

/* Pictures come in the order of decoding. Their decoding times count on, the encoder's delay ahead of the
 * times they are shown at. */
static int next_picture(join *n, ib_error *err) {
    ib_av_text t;
    AVPacket *p = n->packet;
    for (;;) {
        if (!n->part && n->open == n->j->parts) {
            return 0;
        }
        int rc = n->part ? 0 : open_part(n, err);
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
    p->dts = n->packets++ - n->j->like->codecpar->video_delay;
    p->duration = 1;
    p->pos = -1;
    if (p->dts > p->pts) {
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
        !(video = avformat_new_stream(n->out, NULL)) ||
        avcodec_parameters_copy(video->codecpar, j->like->codecpar) < 0) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for a clip", j->name);
    }
    av_free(url);
    if (rc) {
        return rc;
    }
    bool mp4 = !strcmp(j->container->muxer, "mp4") || !strcmp(j->container->muxer, "mov");
    n->tick = av_inv_q(j->like->avg_frame_rate);
    video->time_base = n->tick;
    video->avg_frame_rate = video->r_frame_rate = j->like->avg_frame_rate;
    video->sample_aspect_ratio = j->like->codecpar->sample_aspect_ratio;
    video->codecpar->codec_tag =
        mp4 && video->codecpar->codec_id == AV_CODEC_ID_HEVC ? MKTAG('h', 'v', 'c', '1') : 0;
    n->out->flags |= AVFMT_FLAG_BITEXACT; /* no random numbers, no names of versions */
    rc = j->carry ? ib_carrier_open(&n->carrier, j->carry, n->out, j->name, err) : 0;
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
    const atomic_int *stop = j->carry ? j->carry->stop : NULL;
    bool more = true;
    int rc = n.packet && n.other ? open_output(&n, err)
                                 : ib_fail(err, IB_E_MEMORY, "%s: out of memory for a packet", j->name);
    while (!rc && more) {
        rc = stop && atomic_load(stop)
                 ? ib_fail(err, IB_E_INTERRUPTED, "%s: stopped while its parts were put together", j->name)
                 : step(&n, &more, err);
    }
    rc = rc ? rc : end_output(&n, err);
    if (!rc && j->carried && n.carrier) {
        *j->carried = *ib_carrier_carried(n.carrier);
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
