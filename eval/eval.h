/* Interpolation quality on videos or latent files: baselines, adapters and the noise floor beside the real
 * frames.
 *
 * The protocol: from each clip windows of `gap` frames are taken, end to end within shots (ib_score_windows);
 * the first and last frame of a window are keyframes, every frame between them is a target, at the place t
 * that its time stamp says. Figures are those of a clip first (all its targets together), then means over
 * clips, so that a long clip counts no more than a short one. They depend on neither the order of the inputs
 * nor the number of threads. */
#ifndef IB_EVAL_EVAL_H
#define IB_EVAL_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include "base/api.h"
#include "base/error.h"
#include "base/file.h"
#include "base/stop.h"
#include "latent/space.h"
#include "search/asked.h"
#include "video_io/frame.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    IB_EVAL_MAX_GAPS = 16,
    IB_EVAL_SLERP = 3,  /* its number among the methods */
    IB_EVAL_WORST = 12, /* entries of a gap's list of worst windows */
    IB_EVAL_RESAMPLES = 10000,
    IB_EVAL_SEED = 1,    /* of the resamples */
    IB_EVAL_SURE_OF = 5, /* clips that a verdict needs at least */
    IB_EVAL_CRF = 23     /* of the re-encoding oracle */
};

/* ---- what is measured ---- */

/* Latent figures come first, then those of pixels, which are NaN in a space without a decoder. Where a figure
 * does not apply (nothing to average over), it is NaN. */
typedef enum ib_eval_figure {
    IB_FIGURE_SKILL,  /* 1 - sum err^2 / sum err(slerp)^2 over the same targets; 0 if slerp makes no error */
    IB_FIGURE_COSINE, /* mean over targets of eval/metrics.h's cosine */
    IB_FIGURE_ANGLE,  /* the same in degrees */
    IB_FIGURE_NORM_ERROR, /* of lengths */
    IB_FIGURE_RECALL, /* share of targets to which no other frame of the clip is nearer (Euclidean) than the
                         true one */
    IB_FIGURE_CURVATURE,      /* mean over targets of the angle by which the path turns there, degrees */
    IB_FIGURE_TRUE_CURVATURE, /* the same of the real path: to compare with, alike for all methods */
    IB_FIGURE_PSNR,           /* mean over targets of PSNR of luma, 8-bit samples, at most 100, dB */
    IB_FIGURE_GAIN,           /* that less slerp's, dB */
    IB_FIGURE_PSNR_ALL,       /* PSNR of all three planes together, dB */
    IB_FIGURE_SSIM,           /* of luma */
    IB_FIGURE_SSIM_ALL,       /* of all three planes */
    IB_FIGURE_MS_SSIM,        /* of luma */
    IB_FIGURE_FLICKER, /* mean over steps of |change of the method - true change|, 8-bit steps of luma */
    IB_FIGURE_JUMP,  /* the same of the mean colour (length in Y, U, V), at the steps from and to keyframes */
    IB_FIGURE_INNER, /* the same at all other steps; NaN for gaps below 3 */
    IB_FIGURE_SHARPNESS, /* gradient energy of luma over the truth's: below 1 where things blur or ghost */
    IB_FIGURES
} ib_eval_figure;

typedef struct ib_eval_figure_info {
    const char *key;   /* in JSON and CSV */
    const char *title; /* for people */
    const char *unit;  /* "" if none */
    const char *help;  /* a sentence */
    int decimals;
    int better;  /* 1: higher, -1: lower, 0: nearer to the truth's own */
    bool pixels; /* needs a decoder */
} ib_eval_figure_info;
IB_API extern const ib_eval_figure_info ib_eval_figures[IB_FIGURES];

typedef struct ib_eval_score {
    double figure[IB_FIGURES];
} ib_eval_score;

typedef enum ib_eval_kind {
    IB_METHOD_BASELINE,
    IB_METHOD_PROGRAM, /* another program */
    IB_METHOD_ADAPTER,
    IB_METHOD_ORACLE,
    IB_METHOD_GUIDE, /* what guides alone show */
    IB_METHOD_SEARCH /* what a search among candidates finds */
} ib_eval_kind;

typedef struct ib_eval_method {
    char *name; /* no two alike */
    ib_eval_kind kind;
    char *file;      /* of an adapter, else and of the prior NULL */
    char sha256[65]; /* of that file; empty without */
    char *command;   /* of another program, else NULL */
} ib_eval_method;

/* ---- the report ---- */

/* One clip at one gap. */
typedef struct ib_eval_clip {
    char *name; /* of the source video */
    char source_sha256[65];
    int width, height; /* luma samples of its frames */
    size_t frames;     /* of the clip */
    int fit;           /* ib_fit, how frames came to that size */
    double fps;
    size_t windows;            /* 0: no shot of the clip is longer than the gap; it does not count then */
    size_t all_windows;        /* more where fewer were asked for, or only some have guides */
    bool guided;               /* all that were judged have guides */
    double step_over_variance; /* how jumpy the clip's path is (ib_eval_explanation) */
    size_t targets;
    size_t input;         /* index of its input among the report's files */
    ib_eval_score *score; /* [methods] */
    ib_eval_score *at;    /* [gap - 1, methods], of the k-th targets of all windows */
    bool *flash;          /* [methods]: brightness or colour jumps at the keyframes (ib_eval_flashes) */
} ib_eval_clip;

/* Whether a score shows a jump at keyframes: beyond two 8-bit steps, and beyond twice what
 * it is elsewhere. */
IB_API bool ib_eval_flashes(const ib_eval_score *s);

/* A mean over clips and where it lies with 95 % confidence (percentiles of IB_EVAL_RESAMPLES bootstrap
 * resamples of the clips); low and high are NaN if there is but one clip. */
typedef struct ib_eval_interval {
    double mean, low, high;
} ib_eval_interval;

typedef enum ib_eval_verdict { IB_VERDICT_UNDECIDED, IB_VERDICT_BETTER, IB_VERDICT_WORSE } ib_eval_verdict;
IB_API const char *ib_eval_verdict_word(ib_eval_verdict v); /* "undecided" "better" "worse" */

/* Whether a method does better than another one on the same clips: differences of figures, clip by clip. */
typedef struct ib_eval_pair {
    size_t method, rival;
    size_t clips; /* with both */
    ib_eval_interval skill, psnr;
    /* Better or worse if the interval excludes 0 and there are IB_EVAL_SURE_OF clips. */
    ib_eval_verdict by_skill, by_psnr;
} ib_eval_pair;

/* One window in which the judged method does badly. */
typedef struct ib_eval_window {
    size_t clip;  /* index among the gap's clips */
    size_t first; /* frame number */
    double seconds;
    double gain; /* dB of luma over slerp; skill of the window in a space without a decoder */
    double psnr; /* dB of luma; NaN where there are no pictures */
} ib_eval_window;

/* How an adapter's gate (ib_adapter_gate) goes with the best weight of each target; NaN without guides. */
typedef struct ib_eval_gate {
    double mean, correlation; /* over all targets of all clips */
} ib_eval_gate;

/* Why figures are what they are, in a space of embeddings. The turn of the true path, the skill of a smooth
 * path (the row "true neighbours") and that of the best weights (the row "guide, best weights") are among the
 * figures. */
typedef struct ib_eval_explanation {
    size_t guided;               /* clips judged with guides */
    size_t windows, all_windows; /* judged, and of how many, of all clips */
    double step_over_variance;   /* mean squared step over twice the variance within shots, mean over clips: 0
                                    is smooth, 1 is noise */
    double one_weight;           /* of the row "guide, one weight", fitted on what is judged; 0..1 */
    double best_weight;          /* mean of the best weights, each 0..1 */
    ib_eval_gate *gate;          /* [methods] */
    size_t points;               /* guided targets */
    float *weight, *gates; /* [points] best weight of each, and the judged method's gate there; NaN: none */
} ib_eval_explanation;

typedef struct ib_eval_gap {
    int gap;            /* frames */
    ib_eval_clip *clip; /* [clips of the report], in order of their files' names */
    size_t counted;     /* clips with windows */
    /* Over clips with windows, [methods]; a clip whose figure is NaN does not take part in that figure. */
    ib_eval_score *mean, *low, *high;
    ib_eval_score *at;  /* [gap - 1, methods], likewise */
    ib_eval_pair *pair; /* every adapter and row of a search against all methods before it */
    size_t pairs;
    ib_eval_window worst[IB_EVAL_WORST]; /* of all clips, least gain of the judged method first */
    size_t worsts;
    ib_eval_explanation explanation; /* zeros in a space of pictures */
} ib_eval_gap;

typedef struct ib_eval_remark {
    char *file;
    char *why; /* a sentence */
} ib_eval_remark;

/* Inputs and remarks about them, in order of names. */
typedef struct ib_eval_remarks {
    ib_eval_remark *v;
    size_t n;
} ib_eval_remarks;

/* Pictures of one window, `columns` frames of each row, both keyframes among them: the truth, lerp, slerp,
 * minterpolate if asked for, other programs, the adapters. */
typedef struct ib_eval_strip {
    const char *which; /* "best", "median" or "worst" */
    size_t clip;       /* index among the gap's clips */
    size_t first;      /* frame number */
    double seconds;
    double gain; /* of the judged method in this window, dB of luma over slerp */
    size_t rows, columns;
    int *at;         /* [columns] 0..gap */
    size_t *method;  /* [rows]; SIZE_MAX: the truth */
    double *psnr;    /* [rows] of luma in this window, dB; NaN for the truth */
    ib_frame *frame; /* [rows, columns] */
} ib_eval_strip;

typedef struct ib_eval_report {
    char space_id[256];
    bool decodes;      /* the space shows pictures */
    int width, height; /* luma samples that were asked for of videos; 0, 0: each at its own size */
    int windows_per_clip;
    double trust;           /* as asked for; below 0: each adapter at its own */
    double sharpness;       /* as asked for */
    double guide_scale;     /* as asked for */
    ib_search_asked search; /* as asked for; its judge is not kept */
    char judge_sha256[65];  /* empty: no judge */
    bool explains;          /* a space of embeddings: gaps have explanations */
    bool unguided;          /* guides were not to be used */
    char
        guide[160]; /* id of the pixel model that guides come from (latent/guides.h); empty: there are none */
    size_t methods; /* baselines, minterpolate if asked for, other programs, rows of guides, adapters,
                       explanations, oracles */
    size_t
        judged; /* the method whose windows are ranked: the last adapter, else the last that is no oracle */
    ib_eval_method *method;
    ib_paths files; /* that were evaluated; clips name them by index */
    size_t clips, gaps;
    ib_eval_gap gap[IB_EVAL_MAX_GAPS];
    size_t shown_gap;           /* index of the gap whose windows strips show: 8 frames, or what is nearest */
    ib_eval_strip strip[3];     /* best, median, worst */
    size_t strips;              /* 3, or 0 if there are no pictures */
    ib_eval_remarks failed;     /* inputs that could not be evaluated */
    ib_eval_remarks damaged;    /* videos of which damaged parts were left out */
    ib_eval_remarks interlaced; /* videos that are; not in the reports */
} ib_eval_report;

/* ---- the evaluation ---- */

typedef struct ib_eval_progress {
    const char *file;     /* at hand */
    size_t number, files; /* the number-th of `files`, from 1 */
    size_t windows;       /* done so far, of all clips and gaps */
    double fraction;      /* of all the work, rising from 0 to 1; files count by their bytes */
} ib_eval_progress;

/* Another program that makes in-betweens (eval/program.h, docs/measuring.md). */
typedef struct ib_eval_rival {
    const char *name;    /* not empty, and no other method's */
    const char *command; /* for /bin/sh -c */
} ib_eval_rival;

typedef struct ib_eval_options {
    const ib_paths *inputs;   /* videos, latent files, directories of them; a file named twice counts once */
    const ib_paths *adapters; /* files, "default" or "prior" (adapter/named.h); may be NULL */
    /* Such a name, for the patch space alone, where `adapters` names nothing; NULL (default): none. */
    const char *own_adapter;
    const char *space; /* of everything; NULL: that of the latent files, "patch" if there are videos */
    const ib_space_options *space_options; /* NULL: the defaults */
    int width, height; /* for videos; default 192 x 112; even, 16..16384; portrait sources swap them */
    bool native; /* videos at their own size, adapters by ib_adapter_render; latent files are then refused */
    int gap[IB_EVAL_MAX_GAPS]; /* frames, 2..1000 each, no two alike */
    size_t gaps;               /* default: one, of 8 frames */
    int windows_per_clip;      /* per gap, evenly spread; 0: all (the default) */
    double trust;     /* in what adapters learned, 0..1 (ib_adapter_trust); default -1: what each file says */
    double sharpness; /* of adapters' pictures, 0..1 (ib_adapter_sharpen); default 0 */
    /* Guides, in spaces of embeddings. Windows that have them in a latent file are judged with them, and the
     * others of that gap are not judged. NULL (default): what is there. "none": none.
     * For videos guides are made at the gaps that are asked for, at most as many windows as `encode` would
     * take (windows_per_clip where that is set). This names the pixel model that makes them, as
     * adapter/named.h does; by default the one that the adapters were trained with, which must then be the
     * prior or the default. */
    const char *guide;
    /* A search around the last adapter: rows of what it finds and of the nearest candidate; without a judge
     * of that alone. */
    ib_search_asked search;
    double guide_scale;         /* of adapters with guides (ib_adapter_guide_scale); default 1 */
    bool keep_interlaced;       /* interlaced videos as they are; default false: deinterlaced */
    bool minterpolate;          /* also FFmpeg's filter on the same keyframes (video_io/minterpolate.h) */
    const ib_eval_rival *rival; /* [rivals] other programs; each is started once and ends with the call */
    size_t rivals;
    /* Film strips, unless the space has no decoder or frames are the videos' own size. Nothing is chosen by
     * eye: windows of one gap are ranked by the judged method's gain over slerp in dB (slerp's own PSNR if
     * nothing else is judged). Best and worst are those of all clips; the median is that of the clip whose
     * median window is the median. Up to nine frames of a window are shown. */
    bool strips;
    int threads;            /* 0: as many as OpenMP would */
    const atomic_int *stop; /* non-zero: end with IB_E_INTERRUPTED; may be NULL */
    void (*progress)(void *user, const ib_eval_progress *p); /* from the calling thread; may be NULL */
    void *user;
} ib_eval_options;

IB_API void ib_eval_defaults(ib_eval_options *o);

/* An input that is damaged, missing or no media is listed in report->failed and the rest is evaluated.
 * Errors, with an empty report: the first failure's own if every input failed; IB_E_EMPTY if no clip has a
 * window at any gap; IB_E_MISMATCH if an input or an adapter is of another space than the rest, or has guides
 * of another model; IB_E_UNSUPPORTED if the space cannot do what is asked for; IB_E_IO or IB_E_FORMAT if
 * another program fails; whatever opening an adapter gives. A video is decoded once, as `inbetween encode`
 * does, into a temporary latent file in $TMPDIR or /tmp, so that a video and its latent file have the same
 * figures; at its own size it is decoded a second time, for all gaps together. */
IB_API int ib_eval(const ib_eval_options *o, ib_eval_report *report, ib_error *err);
IB_API void ib_eval_report_free(ib_eval_report *r);

/* The report as a table for people, as CSV (a row per gap, clip, place and method), as JSON, or as a web page
 * that needs nothing else. No time stamps: the same inputs give the same bytes. Malloc'ed; NULL when memory
 * is out. */
IB_API char *ib_eval_text(const ib_eval_report *r);
IB_API char *ib_eval_csv(const ib_eval_report *r);
IB_API char *ib_eval_json(const ib_eval_report *r);
IB_API char *ib_eval_page(const ib_eval_report *r);

/* best.png, median.png and worst.png in a directory, which is made if need be. Nothing without strips. */
IB_API int ib_eval_write_strips(const ib_eval_report *r, const char *directory, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
