/* Inside guide/ only: encode's second pass over a video, which makes the guides. */
#ifndef IB_GUIDE_GUIDED_H
#define IB_GUIDE_GUIDED_H

#include "guide/guide.h"
#include "video_io/reader.h"

/* The windows that will have guides, as a latent file lists them. */
typedef struct ib_guided_plan {
    ib_guide_window *window; /* [windows] */
    size_t windows, guides;
} ib_guided_plan;

/* End to end within shots, at most `most` a gap, evenly spread (latent/windows.h). gap: [gaps], rising. */
int ib_guided_plan_make(ib_guided_plan *p, const uint8_t *cuts, size_t frames, const int *gap, size_t gaps,
                        int most, ib_error *err);
void ib_guided_plan_free(ib_guided_plan *p);
/* Whether a file's guides are these. t NULL: it has none. */
bool ib_guided_plan_is(const ib_guided_plan *p, const char *model, const ib_guide_table *t);

/* The progress of a pass: `guides` more are made. */
typedef void ib_guided_progress(void *user, size_t guides);

/* Reads the video's frames again and writes the plan's guides. fps: of its latent file. IB_E_FORMAT if there
 * are fewer frames than the first time. */
int ib_guided_write(const ib_guided_plan *p, ib_guide *g, size_t each, const char *path,
                    const ib_reader_options *how, double fps, ib_latent_writer *w,
                    ib_guided_progress *progress, void *user, ib_error *err);

#endif
