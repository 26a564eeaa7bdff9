/* Interpolation quality on videos or latent files: PSNR and latent skill of baselines and adapters against the real frames.
 *
 * The protocol: from each clip windows of `gap` frames are taken, end to end within shots (ib_score_windows); the first and last frame
 * of a window are keyframes, every frame between them is a target, at the place t that its time stamp says. Figures are those of a
 * clip first (all its targets together), then means over clips, so that a long clip counts no more than a short one. They depend on
 * neither the order of the inputs nor the number of threads. */
#ifndef IB_EVAL_EVAL_H
#define IB_EVAL_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "base/file.h"
#include "base/stop.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_EVAL_MAX_GAPS = 16, IB_EVAL_SLERP = 2 /* its number among the methods */ };

typedef struct ib_eval_score {
    /* 1 - sum err^2 / sum err(slerp)^2 over all targets, in latents; 0 if slerp makes no error */
    double skill;
    /* mean over targets of PSNR of luma, 8-bit samples, at most 100 dB; NaN in a space without a decoder */
    double psnr_db;
} ib_eval_score;

/* One clip at one gap. */
typedef struct ib_eval_clip {
    char *name; /* of the source video */
    char source_sha256[65];
    int width, height; /* luma samples of its frames */
    size_t windows;    /* 0: no shot of the clip is longer than the gap; it does not count then */
    size_t targets;
    size_t input;         /* index of its input among the report's files */
    size_t shown;         /* first frame of the clip's median window by what strips rank by */
    ib_eval_score *score; /* [methods] */
} ib_eval_clip;

typedef struct ib_eval_gap {
    int gap;             /* frames */
    ib_eval_clip *clip;  /* [clips of the report], in order of their files' names */
    size_t counted;      /* clips with windows */
    ib_eval_score *mean; /* [methods], over those */
} ib_eval_gap;

typedef struct ib_eval_method {
    char *name;      /* no two alike */
    char *file;      /* of an adapter, else NULL */
    char sha256[65]; /* of that file */
} ib_eval_method;

typedef struct ib_eval_remark {
    char *file;
    char *why; /* a sentence */
} ib_eval_remark;

/* Inputs and what is said about them, in order of names. */
typedef struct ib_eval_remarks {
    ib_eval_remark *v;
    size_t n;
} ib_eval_remarks;

typedef struct ib_eval_report {
    char space_id[256];
    int width, height; /* luma samples that were asked for of videos; 0, 0: each at its own size */
    int max_windows;
    size_t methods; /* hold-first, lerp, slerp, minterpolate if asked for, then the adapters in their order */
    ib_eval_method *method;
    ib_paths files; /* that were evaluated; clips name them by index */
    size_t clips, gaps;
    ib_eval_gap gap[IB_EVAL_MAX_GAPS];
    ib_eval_remarks failed;  /* inputs that could not be evaluated */
    ib_eval_remarks damaged; /* videos of which damaged parts were left out */
} ib_eval_report;

typedef struct ib_eval_progress {
    const char *file;     /* at hand */
    size_t number, files; /* it is the number-th of so many, from 1 */
    size_t windows;       /* done so far, of all clips and gaps */
    double fraction;      /* of all the work, rising from 0 to 1; files count by their bytes */
} ib_eval_progress;

typedef struct ib_eval_options {
    const ib_paths *inputs;   /* videos, latent files, directories of them; a file named twice counts once */
    const ib_paths *adapters; /* files; may be NULL */
    const char *space;        /* of everything; default "patch" */
    int width, height;        /* for videos; default 192 x 112; even, 16..16384; portrait sources swap them */
    bool native; /* videos at their own size, adapters by ib_adapter_render; latent files are then refused */
    int gap[IB_EVAL_MAX_GAPS]; /* frames, 2..1000 each, no two alike */
    size_t gaps;               /* default: one, of 8 frames */
    int max_windows;           /* per clip and gap, evenly spread; 0: all (the default) */
    bool minterpolate;         /* also FFmpeg's filter on the same keyframes (video_io/minterpolate.h) */
    /* Directory for best.png, median.png and worst.png: clips at the first gap, ranked by the last method's gain over slerp in
     * dB (by slerp's PSNR if there is no adapter nor minterpolate). Nothing is chosen by eye: of each clip the window whose gain
     * is the median of the clip's windows is shown. Rows: truth, slerp and what follows it; up to nine frames, both keyframes
     * among them. These clips' videos are decoded once more. NULL: none, and none in a space without a decoder. */
    const char *strips;
    int threads;            /* 0: as many as OpenMP would */
    const atomic_int *stop; /* non-zero: end with IB_E_INTERRUPTED; may be NULL */
    void (*progress)(void *user, const ib_eval_progress *p); /* from the calling thread; may be NULL */
    void *user;
} ib_eval_options;

void ib_eval_defaults(ib_eval_options *o);

/* An input that is damaged, missing or no media is listed in report->failed and the rest is evaluated. Errors, with an empty report:
 * the first failure's own if every input failed; IB_E_EMPTY if no clip has a window at any gap; IB_E_MISMATCH if an input or an
 * adapter is of another space than o->space; IB_E_UNSUPPORTED if the space cannot do what is asked for; whatever opening an adapter
 * gives. A video is decoded once, as `inbetween encode` does, into a temporary latent file in $TMPDIR or /tmp, so that a video
 * and its latent file have the same figures; at its own size it is decoded a second time, for all gaps together. */
int ib_eval(const ib_eval_options *o, ib_eval_report *report, ib_error *err);
void ib_eval_report_free(ib_eval_report *r);

/* The report as a table for people, as CSV (a row per gap, clip and method) or as JSON. No time stamps: the same inputs give the same
 * bytes. Malloc'ed; NULL when memory is out. */
char *ib_eval_text(const ib_eval_report *r);
char *ib_eval_csv(const ib_eval_report *r);
char *ib_eval_json(const ib_eval_report *r);

#ifdef __cplusplus
}
#endif
#endif
