#include "video_io/carry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <libavcodec/avcodec.h>
#include "video_io/av.h"
#include "video_io/av_compat.h"
#include "video_io/sound.h"

typedef struct lane {
    int to;           /* stream of the clip; -1: not carried */
    ib_sound *sound;  /* NULL: its packets are copied */
    int64_t rounding; /* of av_rescale_delta */
    int64_t last;     /* decoding time of its last packet */
    bool begun;
} lane;

struct ib_carrier {
    const ib_carry *carry;
    const char *name;
    AVFormatContext *in, *out;
    lane *lane; /* [in->nb_streams] */
    bool ended;
    ib_carried carried;
};

static int interrupted(void *user) {
    const ib_carrier *c = user;
    return c->carry->stop && atomic_load(c->carry->stop);
}

static int open_source(ib_carrier *c, ib_error *err) {
    ib_av_text t;
    int rc = AVERROR(ENOMEM);
    if ((c->in = avformat_alloc_context())) {
        c->in->interrupt_callback = (AVIOInterruptCB){interrupted, c};
        rc = ib_av_open_file(&c->in, c->carry->source, NULL);
        rc = rc < 0 ? rc : avformat_find_stream_info(c->in, NULL);
    }
    if (rc >= 0 && !(c->lane = calloc(c->in->nb_streams, sizeof *c->lane))) {
        rc = AVERROR(ENOMEM);
    }
    return rc < 0 ? ib_fail(err, ib_av_code(rc), "%s: cannot be read again (%s)", c->carry->source,
                            ib_av_error(rc, &t))
                  : 0;
}

static void leave_out(ib_carrier *c, const AVStream *st) {
    char *text = c->carried.left_out;
    size_t n = strlen(text), size = sizeof c->carried.left_out;
    const char *kind = av_get_media_type_string(st->codecpar->codec_type);
    bool cover = st->disposition & AV_DISPOSITION_ATTACHED_PIC;
    const char *codec = st->codecpar->codec_id ? avcodec_get_name(st->codecpar->codec_id) : "unknown";
    char more[96];
    snprintf(more, sizeof more, "%s%s (%.40s)", n ? ", " : "",
             cover                                               ? "cover picture"
             : st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO    ? "sound"
             : st->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE ? "subtitles"
             : kind                                              ? kind
                                                                 : "stream",
             codec);
    if (n + strlen(more) < size && !strstr(text, more + (n ? 2 : 0))) {
        strcpy(text + n, more);
    }
}

/* Tags that say how the source's own container is made are not carried. */
static int copy_tags(AVDictionary **to, const AVDictionary *from) {
    static const char *const own[] = {"major_brand", "minor_version", "compatible_brands", "encoder",
                                      "duration",    "timecode",      "vendor_id",         "rotate"};
    int rc = 0;
    for (const AVDictionaryEntry *e = NULL;
         rc >= 0 && (e = av_dict_get(from, "", e, AV_DICT_IGNORE_SUFFIX));) {
        bool skip = !strncasecmp(e->key, "_STATISTICS", 11) || !strncasecmp(e->key, "NUMBER_OF_", 10) ||
                    !strncasecmp(e->key, "BPS", 3);
        for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
            skip = skip || !strcasecmp(e->key, own[i]);
        }
        rc = skip ? 0 : av_dict_set(to, e->key, e->value, 0);
    }
    return rc;
}

static bool fits(const ib_carrier *c, const AVStream *st) {
    enum AVMediaType type = st->codecpar->codec_type;
    if (type == AVMEDIA_TYPE_ATTACHMENT) { /* fonts of subtitles */
        return !strcmp(c->out->oformat->name, "matroska");
    }
    return (type == AVMEDIA_TYPE_AUDIO || type == AVMEDIA_TYPE_SUBTITLE) &&
           st->codecpar->codec_id != AV_CODEC_ID_NONE &&
           avformat_query_codec(c->out->oformat, st->codecpar->codec_id, FF_COMPLIANCE_NORMAL) == 1;
}

/* Gives the clip a stream for one of the source's, if there is a way. */
static int add_stream(ib_carrier *c, unsigned i, ib_error *err) {
    const AVStream *st = c->in->streams[i];
    lane *l = &c->lane[i];
    bool sound = st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
    bool copy = fits(c, st) && !(sound && c->carry->slow != 1);
    ib_error own = {0};
    l->rounding = AV_NOPTS_VALUE;
    if (sound && !c->carry->sound) {
        return 0;
    }
    if (!sound && !copy) {
        leave_out(c, st);
        return 0;
    }
    if (!copy && !ib_sound_encodes(st, c->out->oformat)) {
        leave_out(c, st);
        return 0;
    }
    AVStream *to = avformat_new_stream(c->out, NULL);
    if (!to) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a stream", c->name);
    }
    if (copy) {
        if (avcodec_parameters_copy(to->codecpar, st->codecpar) < 0) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a stream", c->name);
        }
        to->codecpar->codec_tag = 0;
        to->time_base = st->time_base;
    } else if (ib_sound_open(&l->sound, st, to, c->out, c->carry->slow, c->carry->start_seconds, &own)) {
        return ib_fail(err, own.code, "%s: its %s; --no-sound leaves sound out", c->carry->source, own.text);
    }
    to->disposition = st->disposition;
    if (copy_tags(&to->metadata, st->metadata) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for tags", c->name);
    }
    l->to = to->index;
    c->carried.copied += copy;
    c->carried.encoded += !copy;
    return 0;
}

/* The pictures' own stream: how it is turned, and its tags. */
static int describe_video(ib_carrier *c, const AVStream *st, ib_error *err) {
    AVStream *to = c->out->streams[0];
    size_t bytes = 0;
    const uint8_t *m = ib_stream_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    uint8_t *copy = NULL;
    bool turn = c->carry->rotation && m;
    if (turn && (copy = ib_stream_add_side_data(to, AV_PKT_DATA_DISPLAYMATRIX, bytes))) {
        memcpy(copy, m, bytes);
    }
    to->disposition = st->disposition;
    if ((turn && !copy) || copy_tags(&to->metadata, st->metadata) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for tags", c->name);
    }
    return 0;
}

static int copy_chapters(ib_carrier *c, ib_error *err) {
    int64_t start = llround(c->carry->start_seconds * AV_TIME_BASE);
    for (unsigned i = 0; i < c->in->nb_chapters; i++) {
        const AVChapter *from = c->in->chapters[i];
        AVChapter *to = av_mallocz(sizeof *to);
        void *list =
            to ? av_realloc_array(c->out->chapters, c->out->nb_chapters + 1, sizeof *c->out->chapters) : NULL;
        if (!list) {
            av_free(to);
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory for chapters", c->name);
        }
        c->out->chapters = list;
        c->out->chapters[c->out->nb_chapters++] = to;
        int64_t a = av_rescale_q(from->start, from->time_base, AV_TIME_BASE_Q) - start,
                b = av_rescale_q(from->end, from->time_base, AV_TIME_BASE_Q) - start;
        to->id = from->id;
        to->time_base = AV_TIME_BASE_Q;
        to->start = llround((double)(a > 0 ? a : 0) * c->carry->slow);
        to->end = llround((double)(b > 0 ? b : 0) * c->carry->slow);
        if (copy_tags(&to->metadata, from->metadata) < 0) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory for chapters", c->name);
        }
    }
    return 0;
}

int ib_carrier_open(ib_carrier **out, const ib_carry *carry, AVFormatContext *format, const char *name,
                    ib_error *err) {
    *out = NULL;
    ib_carrier *c = calloc(1, sizeof *c);
    if (!c) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for what it takes over", name);
    }
    c->carry = carry;
    c->name = name;
    c->out = format;
    int rc = open_source(c, err);
    const AVStream *video = rc ? NULL : ib_av_best_video(c->in);
    for (unsigned i = 0; !rc && i < c->in->nb_streams; i++) {
        c->lane[i].to = -1;
        rc = c->in->streams[i] == video ? describe_video(c, video, err) : add_stream(c, i, err);
        if (c->lane[i].to < 0) {
            c->in->streams[i]->discard = AVDISCARD_ALL;
        }
    }
    rc = rc ? rc : copy_chapters(c, err);
    if (!rc && copy_tags(&format->metadata, c->in->metadata) < 0) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory for tags", name);
    }
    if (rc) {
        ib_carrier_close(&c);
        return rc;
    }
    *out = c;
    return 0;
}

const ib_carried *ib_carrier_carried(const ib_carrier *c) {
    return &c->carried;
}

/* A time of the source in the clip's ticks. */
static int64_t stretch(const ib_carrier *c, int64_t ts, AVRational from, AVRational to) {
    if (ts == AV_NOPTS_VALUE) {
        return ts;
    }
    if (c->carry->slow == 1) {
        return av_rescale_q(ts, from, to) - llround(c->carry->start_seconds / av_q2d(to));
    }
    return llround(((double)ts * av_q2d(from) - c->carry->start_seconds) * c->carry->slow / av_q2d(to));
}

/* Times of sound that its container has rounded are counted by its samples instead. */
static int64_t sound_time(ib_carrier *c, lane *l, const AVPacket *p, const AVStream *st, AVRational to) {
    const AVCodecParameters *par = st->codecpar;
    int samples = par->sample_rate > 0 ? av_get_audio_frame_duration2(st->codecpar, p->size) : 0;
    if (samples <= 0) {
        return stretch(c, p->dts, st->time_base, to);
    }
    AVRational tick = {1, par->sample_rate};
    return av_rescale_delta(st->time_base, p->dts, tick, samples, &l->rounding, to) -
           llround(c->carry->start_seconds / av_q2d(to));
}

static void copy_times(ib_carrier *c, lane *l, AVPacket *p, const AVStream *st) {
    AVRational to = c->out->streams[l->to]->time_base;
    if (p->dts == AV_NOPTS_VALUE) {
        p->dts = p->pts;
    }
    int64_t lag = p->pts == AV_NOPTS_VALUE || p->dts == AV_NOPTS_VALUE ? 0 : p->pts - p->dts;
    if (p->dts == AV_NOPTS_VALUE) {
        p->dts = l->begun ? l->last + 1 : 0;
    } else if (st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO) {
        p->dts = sound_time(c, l, p, st, to);
    } else {
        p->dts = stretch(c, p->dts, st->time_base, to);
    }
    if (l->begun && p->dts <= l->last) {
        p->dts = l->last + (st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO);
    }
    p->pts = p->dts + av_rescale_q(lag, st->time_base, to);
    p->duration = llround((double)p->duration * av_q2d(st->time_base) * c->carry->slow / av_q2d(to));
    p->stream_index = l->to;
    p->pos = -1;
    l->last = p->dts;
    l->begun = true;
}

/* What an encoder of sound has ready. */
static int pull(ib_carrier *c, lane *l, AVPacket *p, ib_error *err) {
    int rc = ib_sound_pull(l->sound, p, err);
    if (rc < 0) {
        return ib_error_prefix(err, rc, "%s", c->carry->source);
    }
    if (rc) {
        p->stream_index = l->to;
        av_packet_rescale_ts(p, ib_sound_tick(l->sound), c->out->streams[l->to]->time_base);
        p->pos = -1;
    }
    return rc;
}

static int pull_any(ib_carrier *c, AVPacket *p, ib_error *err) {
    int rc = 0;
    for (unsigned i = 0; !rc && i < c->in->nb_streams; i++) {
        rc = c->lane[i].sound ? pull(c, &c->lane[i], p, err) : 0;
    }
    return rc;
}

int ib_carrier_next(ib_carrier *c, AVPacket *p, ib_error *err) {
    for (;;) {
        int rc = pull_any(c, p, err);
        if (rc) {
            return rc;
        }
        if (c->ended) {
            return 0;
        }
        if (av_read_frame(c->in, p) < 0) {
            c->ended = true;
            for (unsigned i = 0; i < c->in->nb_streams; i++) {
                if (c->lane[i].sound && (rc = ib_sound_push(c->lane[i].sound, NULL, err)) < 0) {
                    return ib_error_prefix(err, rc, "%s", c->carry->source);
                }
            }
            continue;
        }
        lane *l = p->stream_index < (int)c->in->nb_streams ? &c->lane[p->stream_index] : NULL;
        if (l && l->to >= 0 && !l->sound) {
            copy_times(c, l, p, c->in->streams[p->stream_index]);
            return 1;
        }
        rc = l && l->sound ? ib_sound_push(l->sound, p, err) : 0;
        av_packet_unref(p);
        if (rc) {
            return ib_error_prefix(err, rc, "%s", c->carry->source);
        }
    }
}

void ib_carrier_close(ib_carrier **pc) {
    ib_carrier *c = *pc;
    *pc = NULL;
    if (!c) {
        return;
    }
    for (unsigned i = 0; c->lane && i < c->in->nb_streams; i++) {
        ib_sound_close(&c->lane[i].sound);
    }
    free(c->lane);
    avformat_close_input(&c->in);
    free(c);
}
