/* Distilling: what a search finds becomes what an adapter is trained on. */
#ifndef IB_DISTIL_DISTIL_H
#define IB_DISTIL_DISTIL_H

#include "search/asked.h"
#include "train/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_distilling {
    const char *adapter;    /* file that is searched around, and whose training goes on */
    ib_search_asked search; /* with a judge */
    /* Of the training: latents are the real ones, whose windows are searched and trained on as well; valid,
     * real too, by default those that `train` would take of the files. run, overwrite, minutes or steps,
     * seed, threads, stop, progress and message as ever. init is the adapter's. */
    ib_train_options train;
    void (*sought)(void *user, const char *file, double fraction); /* while targets are made; may be NULL */
} ib_distilling;

typedef struct ib_distilled {
    size_t files, windows, targets; /* that were searched for */
    ib_train_result train;
} ib_distilled;

/* Every training video's windows are searched for, those with guides where it has any, and the frames that
 * are found are written as latent files of their own into RUN/targets, with the windows' guides: the true
 * frames between the keyframes are not looked at. Training goes on with the real videos and these, and
 * validates on real ones only. IB_E_ARGUMENT without a search and a judge, or if RUN/targets is there and may
 * not be replaced; IB_E_MISMATCH for an adapter, a judge or latents of different spaces or pixel models;
 * IB_E_EMPTY without a video to validate on. After an error before training no targets are left. */
int ib_distil(const ib_distilling *o, ib_distilled *result, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
