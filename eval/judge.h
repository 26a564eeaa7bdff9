/* Inside eval: every method on the windows of one clip. */
#ifndef IB_EVAL_JUDGE_H
#define IB_EVAL_JUDGE_H

#include "adapter/adapter.h"
#include "base/stop.h"
#include "eval/methods.h"
#include "latent/latent_file.h"

/* The methods, in this order: baselines, minterpolate if asked for, adapters. */
typedef struct ib_judge {
    const ib_space *space;
    ib_adapter **adapter; /* [adapters] */
    size_t adapters;
    bool minterpolate;
    int threads;
    const atomic_int *stop;
    void (*tick)(void *user,
                 size_t windows); /* that many more are done; from the calling thread; may be NULL */
    void *user;
} ib_judge;
size_t ib_judge_methods(const ib_judge *j);

/* What one method did in one window: sums over its targets. */
typedef struct ib_tally {
    double err;  /* squared error in latents */
    double psnr; /* dB; NaN in a space without a decoder */
} ib_tally;

/* A clip's windows of one gap and what became of them. */
typedef struct ib_windows {
    int gap;
    size_t n;
    size_t *firsts;  /* [n], rising, from ib_score_windows */
    ib_tally *tally; /* [n, methods], zeros before */
} ib_windows;

/* All methods on windows of a latent file. */
int ib_judge_latents(const ib_judge *j, ib_latent_file *f, ib_windows *w, ib_error *err);
/* The same on the frames of the video itself, at its own size; adapters through ib_adapter_render. Several gaps in one decoding.
 * w: [gaps]. width, height: of the frames. Holds as many frames as the largest window has. */
int ib_judge_native(const ib_judge *j, const char *video, ib_windows *w, size_t gaps, int *width, int *height,
                    ib_error *err);

/* In-betweens of one window as pictures. method: its number, or SIZE_MAX for the truth. at: [n] frames of the window, 0..gap, both
 * ends being the keyframes; frame: [n], allocated here and freed by the caller. IB_E_UNSUPPORTED in a space without a decoder. */
int ib_judge_show(const ib_judge *j, ib_latent_file *f, int gap, size_t first, size_t method, const int *at,
                  size_t n, ib_frame *frame, ib_error *err);

#endif
