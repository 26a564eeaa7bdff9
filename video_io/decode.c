#include "video_io/decode.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <libavutil/display.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
#include "video_io/av_compat.h"
#include "video_io/versions.h"

enum { MAX_SIDE = 16384, MAX_ERRORS_IN_A_ROW = 256 };
#define MAX_PIXELS "268435456"

static bool is_stopped(void *user) {
    const ib_decoder *d = user;
    return atomic_load(&d->stop) || (d->stopped && atomic_load(d->stopped));
}

static int interrupted(void *user) {
    return is_stopped(user);
}

__attribute__((format(printf, 2, 3))) static void note_damage(ib_decoder *d, const char *fmt, ...) {
    if (d->damaged++ == 0) {
        va_list a;
        va_start(a, fmt);
        vsnprintf(d->damage, sizeof d->damage, fmt, a);
        va_end(a);
    }
}

/* Text art and playlists: FFmpeg would turn a README into a film, or follow names in the file
 * to other files. */
static bool refused_format(const char *name) {
    static const char *const names[] = {"tty", "bin",     "xbin", "adf",   "idf",         "concat",
                                        "hls", "concatf", "dash", "lavfi", "vapoursynth", "imf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    return false;
}

static int check_file(const char *path, ib_error *err) {
    struct stat st;
    if (stat(path, &st) < 0) {
        return ib_fail(err, IB_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return ib_fail(err, IB_E_IO, "%s: is a directory where a video or picture was expected", path);
    }
    if (S_ISREG(st.st_mode) && st.st_size == 0) {
        return ib_fail(err, IB_E_FORMAT, "%s: is empty (0 bytes) where a video or picture was expected",
                       path);
    }
    return 0;
}

static int probe_streams(ib_decoder *d, ib_error *err) {
    AVFormatContext *f = d->format;
    AVDictionary **options = av_calloc(f->nb_streams ? f->nb_streams : 1, sizeof *options);
    if (!options) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory", d->path);
    }
    unsigned n = f->nb_streams;
    for (unsigned i = 0; i < n; i++) {
        av_dict_set(&options[i], "max_pixels", MAX_PIXELS, 0);
    }
    int rc = avformat_find_stream_info(f, n ? options : NULL);
    for (unsigned i = 0; i < n; i++) {
        av_dict_free(&options[i]);
    }
    av_free(options);
    ib_av_text t;
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "%s: its streams cannot be read (%s)", d->path,
                       ib_av_error(rc, &t));
    }
    return 0;
}

static int open_codec(ib_decoder *d, int threads, ib_error *err) {
    const AVCodecParameters *par = d->stream->codecpar;
    const char *name = avcodec_get_name(par->codec_id);
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    if (!codec) {
        return ib_fail(err, IB_E_UNSUPPORTED, "%s: this FFmpeg has no decoder for %s", d->path, name);
    }
    d->codec = avcodec_alloc_context3(codec);
    if (!d->codec || avcodec_parameters_to_context(d->codec, par) < 0) {
        return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a decoder", d->path);
    }
    d->codec->pkt_timebase = d->stream->time_base;
    d->codec->thread_count = d->still ? 1 : threads;
    d->codec->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
    d->codec->max_pixels = strtoll(MAX_PIXELS, NULL, 10);
    int rc = avcodec_open2(d->codec, codec, NULL);
    ib_av_text t;
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "%s: the %s decoder refuses it (%s)", d->path, name,
                       ib_av_error(rc, &t));
    }
    return 0;
}

static double frames_per_second(const ib_decoder *d) {
    AVRational r = av_guess_frame_rate(d->format, d->stream, NULL);
    if (d->stream->avg_frame_rate.num > 0 && d->stream->avg_frame_rate.den > 0) {
        r = d->stream->avg_frame_rate;
    }
    double fps = r.num > 0 && r.den > 0 ? av_q2d(r) : 25;
    return d->still ? 1 : fps > 1000 || fps < 1e-3 ? 25 : fps;
}

/* Pictures that lie in a container of videos. */
static bool is_picture_brand(const AVFormatContext *f) {
    static const char *const brands[] = {"avif", "mif1", "heic", "heix"};
    const AVDictionaryEntry *e = av_dict_get(f->metadata, "major_brand", NULL, 0);
    for (size_t i = 0; e && i < sizeof brands / sizeof *brands; i++) {
        if (!strcmp(e->value, brands[i])) {
            return true;
        }
    }
    return false;
}

static int open_input(ib_decoder *d, ib_error *err) {
    ib_av_text t;
    int rc = ib_is_stream(d->path) ? ib_stream_open(&d->stream_in, d->path, is_stopped, d, err) : 0;
    if (rc < 0) {
        return rc;
    }
    if (d->stream_in.pb) {
        d->format->pb = d->stream_in.pb;
    }
    if ((rc = ib_av_open_file(&d->format, d->path, NULL)) < 0) {
        return ib_fail(err, ib_av_code(rc), "%s: not a video or picture that FFmpeg can read (%s)", d->path,
                       ib_av_error(rc, &t));
    }
    return 0;
}

int ib_decoder_open(ib_decoder **out, const char *path, const ib_reader_options *o, ib_error *err) {
    *out = NULL;
    int rc = check_file(path, err);
    if (rc) {
        return rc;
    }
    ib_decoder *d = calloc(1, sizeof *d);
    if (!d || !(d->path = strdup(path)) || !(d->packet = av_packet_alloc()) ||
        !(d->waiting = av_frame_alloc()) || !(d->format = avformat_alloc_context())) {
        rc = ib_fail(err, IB_E_MEMORY, "%s: out of memory", path);
        goto fail;
    }
    atomic_init(&d->stop, false);
    d->keep_interlaced = o->keep_interlaced;
    d->stopped = o->stop;
    d->format->interrupt_callback = (AVIOInterruptCB){interrupted, d};
    if ((rc = open_input(d, err))) {
        goto fail;
    }
    const char *kind = d->format->iformat->name;
    if (refused_format(kind)) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: not a video or picture (FFmpeg takes it for \"%s\")", path, kind);
        goto fail;
    }
    if ((rc = probe_streams(d, err))) {
        goto fail;
    }
    if (!(d->stream = ib_av_best_video(d->format))) {
        rc = ib_fail(err, IB_E_FORMAT, "%s: holds no video (FFmpeg takes it for \"%s\", %u streams)", path,
                     kind, d->format->nb_streams);
        goto fail;
    }
    for (unsigned i = 0; i < d->format->nb_streams; i++) {
        if (d->format->streams[i] != d->stream) {
            d->format->streams[i]->discard = AVDISCARD_ALL;
        }
    }
    d->still = !strcmp(kind, "image2") || (strlen(kind) > 5 && !strcmp(kind + strlen(kind) - 5, "_pipe")) ||
               (d->stream->nb_frames <= 1 && is_picture_brand(d->format));
    const AVCodecParameters *par = d->stream->codecpar;
    if (par->width > MAX_SIDE || par->height > MAX_SIDE) {
        rc = ib_fail(err, IB_E_UNSUPPORTED, "%s: %d x %d samples, at most %d on a side can be read", path,
                     par->width, par->height, MAX_SIDE);
        goto fail;
    }
    if ((rc = open_codec(d, o->threads, err))) {
        goto fail;
    }
    d->frame_seconds = 1 / frames_per_second(d);
    *out = d;
    return 0;
fail:
    if (d && is_stopped(d)) { /* whatever went wrong then */
        rc = ib_fail(err, IB_E_INTERRUPTED, "%s: reading was stopped", path);
    }
    ib_decoder_close(&d);
    return rc;
}

void ib_decoder_close(ib_decoder **pd) {
    ib_decoder *d = *pd;
    *pd = NULL;
    if (!d) {
        return;
    }
    ib_deinterlacer_free(&d->deinterlacer);
    av_frame_free(&d->waiting);
    avcodec_free_context(&d->codec);
    avformat_close_input(&d->format);
    ib_stream_close(&d->stream_in);
    av_packet_free(&d->packet);
    free(d->path);
    free(d);
}

/* A file that ends before its own table of packets does. */
static void check_whole(ib_decoder *d) {
    if (!strstr(d->format->iformat->name, "mp4")) {
        return;
    }
    int64_t listed = avformat_index_get_entries_count(d->stream);
    if (listed > d->packets) {
        note_damage(d, "%s: ends early, %lld of %lld packets are there", d->path, (long long)d->packets,
                    (long long)listed);
        d->damaged += (int)(listed - d->packets) - 1;
    }
}

static int end_of_packets(ib_decoder *d, ib_error *err) {
    d->draining = true;
    int rc = avcodec_send_packet(d->codec, NULL);
    if (rc < 0 && rc != AVERROR_EOF) {
        return ib_fail(err, ib_av_code(rc), "%s: the decoder cannot be drained", d->path);
    }
    return 0;
}

/* Gives the decoder one more packet of our stream, or the end. */
static int feed(ib_decoder *d, ib_error *err) {
    ib_av_text t;
    d->refusals = 0;
    for (;;) {
        int rc = av_read_frame(d->format, d->packet);
        if (is_stopped(d)) {
            return ib_fail(err, IB_E_INTERRUPTED, "%s: reading was stopped", d->path);
        }
        if (rc == AVERROR(ENOMEM)) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory for a packet", d->path);
        }
        if (rc == AVERROR(EAGAIN) && ++d->errors_in_a_row < MAX_ERRORS_IN_A_ROW) {
            continue;
        }
        if (rc < 0) {
            if (rc != AVERROR_EOF) {
                note_damage(d, "%s: reading ends at packet %lld (%s)", d->path, (long long)d->packets,
                            ib_av_error(rc, &t));
            } else {
                check_whole(d);
            }
            return end_of_packets(d, err);
        }
        if (d->packet->stream_index != d->stream->index) {
            av_packet_unref(d->packet);
            continue;
        }
        if (!d->packets++ && d->still) {
            d->tags = ib_picture_tags_of(d->packet->data, d->packet->size > 0 ? (size_t)d->packet->size : 0);
        }
        if (d->packet->flags & AV_PKT_FLAG_CORRUPT) {
            note_damage(d, "%s: packet %lld is damaged", d->path, (long long)d->packets - 1);
            av_packet_unref(d->packet);
            continue;
        }
        rc = avcodec_send_packet(d->codec, d->packet);
        av_packet_unref(d->packet);
        if (rc == AVERROR(ENOMEM)) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory while decoding", d->path);
        }
        if (rc < 0) {
            note_damage(d, "%s: packet %lld cannot be decoded (%s)", d->path, (long long)d->packets - 1,
                        ib_av_error(rc, &t));
        }
        return 0;
    }
}

static double time_of(ib_decoder *d, const AVFrame *f) {
    double after_last = d->last_seconds + d->frame_seconds;
    if (!d->have_first) {
        d->have_first = true;
        d->first_pts = f->best_effort_timestamp;
        return 0;
    }
    if (f->best_effort_timestamp == AV_NOPTS_VALUE || d->first_pts == AV_NOPTS_VALUE) {
        return after_last;
    }
    /* in long double: hostile time stamps lie 2^64 apart */
    double s = (double)(((long double)f->best_effort_timestamp - (long double)d->first_pts) *
                        d->stream->time_base.num / d->stream->time_base.den);
    return isfinite(s) && s > d->last_seconds ? s : after_last;
}

/* The next good frame as the codec gives it. */
static int next_decoded(ib_decoder *d, AVFrame *frame, double *seconds, int64_t *index, ib_error *err) {
    ib_av_text t;
    for (;;) {
        if (is_stopped(d)) {
            return ib_fail(err, IB_E_INTERRUPTED, "%s: reading was stopped", d->path);
        }
        int rc = avcodec_receive_frame(d->codec, frame);
        if (rc == AVERROR_EOF) {
            return 0;
        }
        if (rc == AVERROR(EAGAIN)) {
            if (d->draining) {
                return 0;
            }
            if ((rc = feed(d, err)) < 0) {
                return rc;
            }
            continue;
        }
        if (rc == AVERROR(ENOMEM)) {
            return ib_fail(err, IB_E_MEMORY, "%s: out of memory while decoding", d->path);
        }
        if (rc < 0) {
            note_damage(d, "%s: a frame near packet %lld cannot be decoded (%s)", d->path,
                        (long long)d->packets, ib_av_error(rc, &t));
            if (++d->refusals > MAX_ERRORS_IN_A_ROW) { /* it does not even ask for packets */
                return 0;
            }
            continue;
        }
        d->errors_in_a_row = 0;
        if ((frame->flags & AV_FRAME_FLAG_CORRUPT) || frame->decode_error_flags) {
            note_damage(d, "%s: a frame near packet %lld is damaged", d->path, (long long)d->packets);
            av_frame_unref(frame);
            continue;
        }
        if (frame->width < 1 || frame->height < 1 || frame->width > MAX_SIDE || frame->height > MAX_SIDE) {
            int w = frame->width, h = frame->height;
            av_frame_unref(frame);
            return ib_fail(err, IB_E_UNSUPPORTED,
                           "%s: a frame of %d x %d samples, at most %d on a side can be read", d->path, w, h,
                           MAX_SIDE);
        }
        *seconds = d->last_seconds = time_of(d, frame);
        d->shown_seconds = (double)ib_frame_duration(frame) * av_q2d(d->stream->time_base);
        *index = d->next_index++;
        d->interlaced += ib_is_interlaced(frame);
        return 1;
    }
}

static int deinterlace(ib_decoder *d, AVFrame *frame, double seconds, int64_t index, ib_error *err) {
    int rc = d->deinterlacer ? 0 : ib_deinterlacer_create(&d->deinterlacer, frame, err);
    if (!rc) {
        rc = ib_deinterlacer_push(d->deinterlacer, frame, seconds, index, err);
    }
    return rc < 0 ? ib_error_prefix(err, rc, "%s", d->path) : 0;
}

/* Streams without interlaced frames never meet the filter. Where size or format changes, it gives what it has
 * and is made anew. */
static int next_progressive(ib_decoder *d, AVFrame *frame, double *seconds, int64_t *index, ib_error *err) {
    enum { LEAST_SIDE = 4 }; /* that the filter takes */
    for (;;) {
        int rc = d->deinterlacer ? ib_deinterlacer_pull(d->deinterlacer, frame, seconds, index, err) : 0;
        if (rc) {
            return rc < 0 ? ib_error_prefix(err, rc, "%s", d->path) : rc;
        }
        if (d->deinterlacer && ib_deinterlacer_ended(d->deinterlacer)) {
            ib_deinterlacer_free(&d->deinterlacer);
        }
        if (d->waiting->buf[0]) {
            av_frame_move_ref(frame, d->waiting);
            *seconds = d->waiting_seconds;
            *index = d->waiting_index;
            rc = 1;
        } else if ((rc = next_decoded(d, frame, seconds, index, err)) < 0) {
            return rc;
        }
        if (!rc) {
            if (!d->deinterlacer) {
                return 0;
            }
            rc = ib_deinterlacer_push(d->deinterlacer, NULL, 0, 0, err);
        } else if (d->deinterlacer && !ib_deinterlacer_takes(d->deinterlacer, frame)) {
            av_frame_move_ref(d->waiting, frame);
            d->waiting_seconds = *seconds;
            d->waiting_index = *index;
            rc = ib_deinterlacer_push(d->deinterlacer, NULL, 0, 0, err);
        } else if (d->deinterlacer || (ib_is_interlaced(frame) && !d->keep_interlaced &&
                                       frame->width >= LEAST_SIDE && frame->height >= LEAST_SIDE)) {
            rc = deinterlace(d, frame, *seconds, *index, err);
        } else {
            return 1;
        }
        if (rc < 0) {
            return rc;
        }
    }
}

/* Containers may say it once for all frames. */
static double peak_of(const ib_decoder *d, const AVFrame *frame) {
    double peak = ib_frame_peak(frame);
    AVFrame *all = peak > 0 ? NULL : av_frame_alloc();
    static const struct {
        enum AVPacketSideDataType stream;
        enum AVFrameSideDataType frame;
        size_t bytes;
    } kinds[] = {
        {AV_PKT_DATA_CONTENT_LIGHT_LEVEL, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, sizeof(AVContentLightMetadata)},
        {AV_PKT_DATA_MASTERING_DISPLAY_METADATA, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA,
         sizeof(AVMasteringDisplayMetadata)}};
    for (size_t i = 0; all && i < sizeof kinds / sizeof *kinds; i++) {
        size_t bytes = 0;
        const uint8_t *data = ib_stream_side_data(d->stream, kinds[i].stream, &bytes);
        AVFrameSideData *s = data && bytes >= kinds[i].bytes
                                 ? av_frame_new_side_data(all, kinds[i].frame, kinds[i].bytes)
                                 : NULL;
        if (s) {
            memcpy(s->data, data, kinds[i].bytes);
        }
    }
    peak = all ? ib_frame_peak(all) : peak;
    av_frame_free(&all);
    return peak;
}

/* Of a sample, width to height. Ratios within 1 % come from rounded sizes and densities, not from oblong
 * samples. */
static AVRational aspect_of(const ib_decoder *d, AVFrame *frame) {
    AVRational a = av_guess_sample_aspect_ratio(d->format, d->stream, frame), square = {1, 1};
    /* a density is one over a width; FFmpeg takes that of PNG and JPEG for a ratio of widths, as its own
     * encoders write it */
    if (d->tags.density) {
        a = av_inv_q(a);
    }
    if (a.num <= 0 || a.den <= 0) {
        return square;
    }
    av_reduce(&a.num, &a.den, a.num, a.den, 65535);
    double ratio = a.num > 0 && a.den > 0 ? av_q2d(a) : 0;
    if (ratio < 0.125 || ratio > 8 || fabs(ratio - 1) < 0.01) {
        return square;
    }
    int w = ib_square_width(frame->width, a);
    return w >= 1 && w <= MAX_SIDE ? a : square;
}

int ib_decoder_next(ib_decoder *d, AVFrame *frame, double *seconds, int64_t *index, ib_error *err) {
    bool first = !d->have_first;
    int rc = next_progressive(d, frame, seconds, index, err);
    if (rc > 0) {
        frame->sample_aspect_ratio = aspect_of(d, frame);
        if (first) {
            d->peak = peak_of(d, frame);
        }
    }
    return rc;
}

int ib_decoder_no_frame(const ib_decoder *d, ib_error *err) {
    if (d->tags.animated) {
        return ib_fail(
            err, IB_E_UNSUPPORTED,
            "%s: is an animated WebP, which this FFmpeg (%s) cannot read; convert it to .gif, .apng or "
            ".webm",
            d->path, ib_ffmpeg_version());
    }
    return ib_fail(err, IB_E_FORMAT, "%s: no frame of its %s video can be decoded", d->path,
                   avcodec_get_name(d->codec->codec_id));
}

bool ib_decoder_can_seek(const ib_decoder *d) {
    return d->format->pb && (d->format->pb->seekable & AVIO_SEEKABLE_NORMAL);
}

int ib_decoder_seek(ib_decoder *d, double seconds, ib_error *err) {
    if (d->interlaced && !d->keep_interlaced) {
        seconds = fmax(0, seconds - 2 * d->frame_seconds); /* a frame's neighbours count too */
    }
    int64_t base = d->first_pts == AV_NOPTS_VALUE ? 0 : d->first_pts;
    int64_t target = base + (int64_t)floor(seconds / av_q2d(d->stream->time_base));
    int rc = av_seek_frame(d->format, d->stream->index, target, AVSEEK_FLAG_BACKWARD);
    ib_av_text t;
    if (rc < 0) {
        return ib_fail(err, ib_av_code(rc), "%s: cannot be searched (%s)", d->path, ib_av_error(rc, &t));
    }
    avcodec_flush_buffers(d->codec);
    ib_deinterlacer_free(&d->deinterlacer);
    av_frame_unref(d->waiting);
    d->draining = false;
    d->last_seconds = -1;
    return 0;
}

ib_turn ib_decoder_turn(const ib_decoder *d, const AVFrame *frame) {
    const AVFrameSideData *own = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
    size_t bytes = 0;
    const uint8_t *m = ib_stream_side_data(d->stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    if (own && own->size >= 9 * sizeof(int32_t)) {
        m = own->data;
    } else if (bytes < 9 * sizeof(int32_t)) {
        m = NULL;
    }
    int32_t matrix[9];
    if (!m) {
        return ib_turn_of_orientation(d->tags.orientation);
    }
    memcpy(matrix, m, sizeof matrix);
    return ib_turn_of_matrix(matrix);
}

bool ib_decoder_has_turn(const ib_decoder *d) {
    size_t bytes = 0;
    return ib_stream_side_data(d->stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes) && bytes >= 9 * sizeof(int32_t);
}

/* The tags that frames have once they are converted. */
static void describe_colour(const AVFrame *first, ib_video_info *info) {
    bool full = first->color_range == AVCOL_RANGE_JPEG;
    bool plain = ib_av_plain_format(first->format, &full) == AV_PIX_FMT_YUV420P && !full;
    info->primaries = *info->wide ? AVCOL_PRI_BT709 : first->color_primaries;
    info->transfer = *info->wide ? AVCOL_TRC_BT709 : first->color_trc;
    info->chroma_location = plain && !*info->wide ? first->chroma_location : AVCHROMA_LOC_LEFT;
}

void ib_decoder_describe(const ib_decoder *d, const AVFrame *first, ib_video_info *info) {
    ib_turn turn = ib_decoder_turn(d, first);
    int width = ib_square_width(first->width, first->sample_aspect_ratio);
    info->source_width = turn.transpose ? first->height : width;
    info->source_height = turn.transpose ? width : first->height;
    info->stored_width = first->width;
    info->stored_height = first->height;
    info->aspect_width = first->sample_aspect_ratio.num;
    info->aspect_height = first->sample_aspect_ratio.den;
    info->interlaced = d->interlaced > 0;
    if (ib_is_wide(first)) {
        ib_wide_name(first, info->wide, sizeof info->wide);
    }
    describe_colour(first, info);
    info->sample_width = info->sample_height = 1;
    info->start_seconds =
        d->first_pts == AV_NOPTS_VALUE ? 0 : (double)d->first_pts * av_q2d(d->stream->time_base);
    info->tick_seconds = av_q2d(d->stream->time_base);
    enum AVFieldOrder order = d->stream->codecpar->field_order;
    info->plain = info->aspect_width == info->aspect_height && !*info->wide && !info->interlaced &&
                  (order == AV_FIELD_UNKNOWN || order == AV_FIELD_PROGRESSIVE) && d->tags.orientation < 2;
    info->rotation_degrees = ib_turn_degrees(turn);
    info->still = d->still;
    info->fps = frames_per_second(d);
    if (d->stream->duration > 0) {
        info->duration_seconds = (double)d->stream->duration * av_q2d(d->stream->time_base);
    } else if (d->format->duration > 0) {
        info->duration_seconds = (double)d->format->duration / AV_TIME_BASE;
    }
    if (d->still) {
        info->duration_seconds = 0;
    }
    double frames =
        d->stream->nb_frames > 0 ? (double)d->stream->nb_frames : info->duration_seconds * info->fps;
    info->frames_estimate = d->still ? 1 : frames < 1e15 ? (int64_t)(frames + 0.5) : 0;
    const char *pixels = av_get_pix_fmt_name(first->format);
    snprintf(info->codec, sizeof info->codec, "%s", avcodec_get_name(d->codec->codec_id));
    snprintf(info->pixel_format, sizeof info->pixel_format, "%s", pixels ? pixels : "unknown");
}
