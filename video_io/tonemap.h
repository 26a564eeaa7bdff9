/* Inside video_io only: HDR and wide-gamut frames to SDR BT.709, by FFmpeg's zscale (zimg) and tonemap; the
 * curve is in docs/formats.md. */
#ifndef IB_VIDEO_IO_TONEMAP_H
#define IB_VIDEO_IO_TONEMAP_H

#include <stdbool.h>
#include <libavfilter/avfilter.h>
#include <libavutil/frame.h>
#include "base/error.h"

/* PQ or HLG by its transfer, or BT.2020 by its primaries or matrix. */
bool ib_is_wide(const AVFrame *f);
/* Into text: "PQ, BT.2020", "HLG, BT.2020", "SDR, BT.2020"; primaries that are none of BT.2020's go by
 * FFmpeg's name. */
void ib_wide_name(const AVFrame *f, char *text, size_t bytes);
/* The brightest that a PQ frame says to be, cd/m2: MaxCLL, else its mastering display's peak; 0: it says
 * nothing credible. */
double ib_frame_peak(const AVFrame *f);

/* Zero-initialise; the filters are kept while frames stay alike. */
typedef struct ib_tonemap {
    AVFilterGraph *graph;
    AVFilterContext *source, *sink; /* of graph */
    AVFrame *in;                    /* what the graph was made for, but no samples */
    double peak;
} ib_tonemap;
/* out: a frame of RGB, full range: 12 bits, or 8 with alpha if `in` has that. full: whether the samples of
 * `in` are of full range. peak: of PQ, in cd/m2, 0: 1000. IB_E_UNSUPPORTED if this FFmpeg cannot do it. */
int ib_tonemap_run(ib_tonemap *t, const AVFrame *in, bool full, double peak, AVFrame *out, ib_error *err);
void ib_tonemap_free(ib_tonemap *t);

#endif
