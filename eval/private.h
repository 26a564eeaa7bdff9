/* Inside eval: what eval.c, inputs.c, clip.c, strips.c and report.c share. */
#ifndef IB_EVAL_PRIVATE_H
#define IB_EVAL_PRIVATE_H

#include "eval/eval.h"
#include "eval/judge.h"

typedef struct ib_evaluation {
    const ib_eval_options *o;
    ib_eval_report *report;
    ib_judge judge;
    ib_space *space;
    char folder[256];         /* for temporary latent files; empty until one is needed */
    double begun, share, all; /* bytes of the files done, of the one at hand, of all */
    double encoded;           /* share of a file's work that is encoding; 0 for latent files */
    size_t due, judged;       /* windows of the file at hand */
    ib_eval_progress now;
} ib_evaluation;

/* Every input file once, in order of names. What cannot be listed is a failure; first: the first one. */
int ib_eval_list_inputs(ib_evaluation *e, ib_paths *files, ib_error *first, ib_error *err);
/* An input as a latent file; a video is encoded into a temporary one, which *temporary (owned by the caller, else NULL) names.
 * remark: room for a sentence about damage, empty if there is none; may be NULL. */
int ib_eval_open_input(ib_evaluation *e, const char *path, ib_latent_file **f, char **temporary, char *remark,
                       size_t remark_bytes, ib_error *err);
void ib_eval_close_input(ib_latent_file **f, char **temporary);

/* The open file f of the input `path` at all gaps, into clip number report->clips of each. What was filled in stays on failure. */
int ib_eval_judge_clip(ib_evaluation *e, const char *path, ib_latent_file *f, ib_error *err);

/* part: of the file at hand, 0..1 */
void ib_eval_tell(ib_evaluation *e, double part);

/* Whether strips can be made and written, before the work. */
int ib_eval_strips_check(const ib_evaluation *e, ib_error *err);
/* Film strips of the best, the median and the worst clip. */
int ib_eval_strips(ib_evaluation *e, ib_error *err);

/* Gain of a method over slerp in dB. */
double ib_eval_gain(const ib_eval_score *score, size_t method);

#endif
