/* Inside eval: every method on the windows of one clip. */
#ifndef IB_EVAL_JUDGE_H
#define IB_EVAL_JUDGE_H

#include "adapter/adapter.h"
#include "base/stop.h"
#include "eval/figures.h"
#include "eval/methods.h"
#include "eval/program.h"
#include "eval/searched.h"
#include "eval/store.h"

/* The methods, in this order: baselines, minterpolate if asked for, other programs, rows of guides, adapters,
 * rows of a search, explanations, oracles. */
typedef struct ib_judge {
    const ib_space *space;       /* NULL: nothing can be encoded or decoded, latent files are what there is */
    const ib_geometry *geometry; /* of the latents */
    ib_adapter **adapter;        /* [adapters] */
    size_t adapters;
    bool minterpolate, keep_interlaced;
    ib_program **program; /* [programs] */
    size_t programs;
    size_t seen;            /* how many of enum ib_seen (eval/guides.h), the last ones */
    ib_searching searching; /* rows of a search, behind the adapters */
    bool explains;          /* a space of embeddings: rows of eval/explain.h */
    size_t oracles;         /* how many of enum ib_oracle, the last ones */
    int threads;
    const atomic_int *stop;
    void (*tick)(void *user, size_t windows,
                 size_t targets); /* that many more are done; from the calling thread */
    void *user;
} ib_judge;

/* Not methods but what noise does to the true frame itself. */
enum ib_oracle {
    IB_ORACLE_FLOOR,  /* the space: true frame, encoded and decoded */
    IB_ORACLE_SHIFT,  /* the true frame, one luma sample to the right */
    IB_ORACLE_RECODE, /* the true frame, out of an H.264 encoder at IB_EVAL_CRF */
    IB_ORACLES
};
extern const char *const ib_oracle_names[IB_ORACLES];

/* Those that make in-betweens. */
size_t ib_judge_rivals(const ib_judge *j);
/* Of these, the ones that are given the two keyframes as pictures and make a whole window at once:
 * minterpolate and the programs. They follow the baselines. */
size_t ib_judge_givers(const ib_judge *j);
/* What they make of a window at the places at [n]. out: [givers, stride], stride >= n; frames allocated here
 * and freed by the caller by ib_judge_take_back, whatever the result. */
int ib_judge_give(const ib_judge *j, const ib_frame *key0, const ib_frame *key1, const float *at, size_t n,
                  float seconds, size_t stride, ib_frame *out, ib_error *err);
void ib_judge_take_back(const ib_judge *j, size_t stride, ib_frame *out);
/* Rivals, explanations and oracles. */
size_t ib_judge_methods(const ib_judge *j);
bool ib_judge_decodes(const ib_judge *j);
bool ib_judge_stopped(const ib_judge *j, const char *file, ib_error *err);

/* A clip's windows of one gap and what became of them. */
typedef struct ib_windows {
    int gap;
    size_t n;
    size_t all;      /* more than n where fewer were asked for, or only some have guides */
    size_t *firsts;  /* [n], rising, from ib_score_windows or the file's guides */
    size_t *guides;  /* [n] the number of each window's first guide; NULL: judged without */
    ib_marks *marks; /* [n, gap - 1, methods], all NaN before */
} ib_windows;

/* All rivals on all windows of a latent file. w: [gaps] */
int ib_judge_latents(const ib_judge *j, const ib_store *s, ib_windows *w, size_t gaps, ib_error *err);
/* The same on the frames of the video itself, at its own size; adapters through ib_adapter_render. One
 * decoding for all gaps; f says where cuts are. No recall, no curvature. width, height: of the frames. Holds
 * as many frames as three of the largest windows. */
int ib_judge_native(const ib_judge *j, const char *video, const ib_latent_file *f, ib_windows *w, size_t gaps,
                    int *width, int *height, ib_error *err);

/* Oracles on every frame, in a space with a decoder. marks: [frames, oracles], filled. */
int ib_judge_oracles(const ib_judge *j, const ib_store *s, ib_marks *marks, ib_error *err);
/* The same on some of the first frames of the video that the latents come of, in any space that encodes.
 * width, height: at which videos are encoded. */
int ib_judge_oracles_of_video(const ib_judge *j, const char *video, int width, int height, const ib_store *s,
                              ib_marks *marks, ib_error *err);
/* Puts the frames' marks where the windows' targets are. */
void ib_judge_place_oracles(const ib_judge *j, const ib_marks *marks, ib_windows *w, size_t gaps);

/* Whether the shot of the window [first, first + gap] goes on for another gap before and after it. */
void ib_judge_outer_keys(const ib_latent_file *f, int gap, size_t first, bool *before, bool *after);

#endif
