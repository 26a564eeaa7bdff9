/* Inside eval: guides, those stored in latent files and those made of videos (guide/guide.h): which windows
 * are judged with them, whether the adapters can use them, and the rows that show what they are worth. */
#ifndef IB_EVAL_GUIDES_H
#define IB_EVAL_GUIDES_H

#include "adapter/adapter.h"
#include "eval/judge.h"
#include "eval/scene.h"
#include "latent/windows.h"

/* The rows of guides, in this order. */
enum ib_seen {
    IB_SEEN_FADE,   /* the cross-fade of the keyframes' pictures, embedded; of videos only */
    IB_SEEN_WEIGHT, /* slerp + w (guide - slerp) with the best w of the gap (eval/explain.h) */
    IB_SEEN_GUIDE,  /* the guide alone: the mean of its pictures, by t */
    IB_SEENS
};
extern const char *const ib_seen_names[IB_SEENS];

/* The number of such a row among the methods; SIZE_MAX if it is not there. */
size_t ib_judge_seen(const ib_judge *j, enum ib_seen row);
/* The number of an adapter among the methods. */
size_t ib_judge_adapter(const ib_judge *j, size_t adapter);
/* Whether the scene makes what this rival shows of the window at hand: rows of guides need one, and two of
 * them are worked out elsewhere. */
bool ib_scene_shows(const ib_scene *s, size_t rival);
/* Reads a guide of the store's file for the target at hand, at t; SIZE_MAX: there is none. */
int ib_scene_see(ib_scene *s, const ib_store *store, size_t number, float t, ib_error *err);

/* The windows of a file that have guides at a gap: the first of them and their number, 0 in a space of
 * pictures. */
size_t ib_guided_windows(const ib_latent_file *f, int gap, const ib_guide_window **first);

/* fades.c: the row of cross-fades, of the video's own frames (width, height: at which videos are encoded),
 * once slerp is judged. */
int ib_judge_fades(const ib_judge *j, const char *video, int width, int height, const ib_store *store,
                   ib_windows *w, size_t gaps, ib_error *err);

#endif
