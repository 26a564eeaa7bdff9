/* Inside eval: what eval.c, contenders.c, inputs.c, clip.c, confidence.c, strips.c and the reports share. */
#ifndef IB_EVAL_PRIVATE_H
#define IB_EVAL_PRIVATE_H

#include <jansson.h>
#include <stdio.h>

#include "eval/eval.h"
#include "eval/explain.h"
#include "eval/guides.h"
#include "guide/guide.h"
#include "eval/judge.h"

enum { IB_STRIP_COLUMNS = 9 };

/* A window that may become a film strip: everything that it takes to make it again. */
typedef struct ib_shown {
    size_t clip, first;
    double value; /* what windows are ranked by */
    double seconds;
    double *psnr; /* [rivals] of luma in this window */
    int gap, width, height, matrix;
    float gap_seconds, before, after;
    bool there[4]; /* keyframes, as in ib_keys */
    size_t columns;
    int at[IB_STRIP_COLUMNS];
    float place[IB_STRIP_COLUMNS];
    ib_shape shape;
    size_t n;       /* T D */
    uint16_t *half; /* [4 + columns, T,D]; NULL: to be read again */
} ib_shown;

typedef struct ib_evaluation {
    const ib_eval_options *o;
    ib_eval_report *report;
    ib_judge judge;
    ib_space *space;
    char folder[256];         /* for temporary latent files; empty until one is needed */
    double begun, share, all; /* bytes of the files done, of the one at hand, of all */
    double encoded;           /* share of a file's work that is encoding; 0 for latent files */
    size_t due, judged;       /* targets of the file at hand */
    ib_shown *shown; /* [2 + clips]: best and worst of all, then each clip's median window; NULL: no strips */
    size_t shown_bytes; /* of halves of median windows */
    ib_gathered gathered[IB_EVAL_MAX_GAPS];
    bool makes_guides;       /* of videos */
    const char *pixel_model; /* by which: as ib_guide_create names it */
    ib_eval_progress now;
} ib_evaluation;

/* contenders.c: what is compared */
int ib_eval_open_contenders(ib_evaluation *e, bool videos, ib_error *err);

/* pixel_model.c: chooses the model that makes guides of videos, once the adapters are open: the one that is
 * asked for, else that of the adapters, if it is the prior or the default. IB_E_MISMATCH if an adapter was
 * trained with guides of another one. */
int ib_eval_choose_guide(ib_evaluation *e, ib_error *err);

/* guides.c */
/* Whether any of the files has guides at a gap that is asked for, or is a video: then there are rows of
 * guides. */
void ib_eval_look_for_guides(ib_evaluation *e, const ib_paths *files);
/* The windows of the file with guides, if it has any at this gap. IB_E_MISMATCH if an adapter or the files
 * before it have those of another model. */
int ib_eval_guided_windows(ib_evaluation *e, const ib_latent_file *f, int gap, ib_windows *w, ib_error *err);

/* inputs.c */
/* Every input file once, in order of names. What cannot be listed is a failure; first: the first one. */
int ib_eval_list_inputs(ib_evaluation *e, ib_paths *files, ib_error *first, ib_error *err);
bool ib_eval_is_latents(const char *path);
/* A pipe, say: it can be read once. */
bool ib_eval_is_stream(const char *path);
/* An input as a latent file; a video is encoded into a temporary one, which *temporary (owned by the caller,
 * else NULL) names. remark: room for a sentence about damage, empty if there is none; may be NULL. */
int ib_eval_open_input(ib_evaluation *e, const char *path, ib_latent_file **f, char **temporary, char *remark,
                       size_t remark_bytes, ib_error *err);
void ib_eval_close_input(ib_latent_file **f, char **temporary);

/* clip.c: the open file f of the input `path` at all gaps, into clip number report->clips of each. What was
 * filled in stays on failure. */
int ib_eval_judge_clip(ib_evaluation *e, const char *path, ib_latent_file *f, ib_error *err);

/* eval.c. part: of the file at hand, 0..1 */
void ib_eval_tell(ib_evaluation *e, double part);

/* confidence.c: means, intervals and pairs of all gaps. */
int ib_eval_conclude(ib_eval_report *r, int threads, ib_error *err);

/* strips.c */
/* The windows of the clip at hand compete: n of them, with their values and first frames. marks: [n, gap - 1,
 * methods] */
int ib_eval_offer(ib_evaluation *e, const ib_store *s, const ib_windows *w, const double *value,
                  ib_error *err);
void ib_eval_shown_free(ib_shown *s);
int ib_eval_make_strips(ib_evaluation *e, ib_error *err);
void ib_eval_strip_free(ib_eval_strip *s);

/* report_explain.c. Nothing is said of pictures. */
void ib_explain_text(FILE *f, const ib_eval_report *r, const ib_eval_gap *g);
json_t *ib_explain_json(const ib_eval_report *r, const ib_eval_gap *g);
/* The number of a row of guides or of an explanation; SIZE_MAX if it is not there. */
size_t ib_explained_row(const ib_eval_report *r, const char *name);
double ib_explained_skill(const ib_eval_report *r, const ib_eval_gap *g, const char *name);

/* report_json.c */
json_t *ib_eval_json_tree(const ib_eval_report *r);
/* report_text.c: open_memstream around a writer. */
char *ib_eval_to_memory(const ib_eval_report *r, void (*write)(FILE *f, const ib_eval_report *r));

#endif
