/* Inside render/: what the parts of a diffused clip share. */
#ifndef IB_RENDER_DIFFUSED_CLIP_H
#define IB_RENDER_DIFFUSED_CLIP_H

#include "base/resume.h"
#include "render/diffused_ends.h"
#include "render/diffusing.h"
#include "render/renderer.h"
#include "render/rows.h"
#include "video_io/writer.h"

enum { IB_DIFFUSED_BATCH = 4 };

/* A keyframe, or a diffused frame between two. */
typedef struct ib_diffused_place {
    size_t way; /* from which keyframe it counts */
    int step;   /* from there */
    float t;
    bool noise;    /* from noise alone */
    bool inverted; /* which is that of the keyframes */
    double strength;
} ib_diffused_place;

typedef struct ib_diffused_clip {
    const ib_diffused_options *o;
    const ib_embeddings_options *w;
    ib_diffusing *model;
    const ib_diffusing_about *about;
    ib_rows rows; /* empty: no embeddings */
    ib_frame *key;
    size_t keys, ways, interlaced, drawn; /* drawn: prompts that become pictures and are not yet embedded */
    int width, height;
    ib_matrix matrix;
    ib_renderer *pixels;
    ib_writer *writer;
    ib_resume resume;
    ib_key id;               /* all that the frames depend on */
    char *text;              /* how it was made */
    ib_diffused_place *plan; /* [planned] in the order in which they are made */
    ib_frame *made;          /* [planned] */
    size_t planned, kept;    /* kept: of them in the folder */
    int64_t taken_up, total, written;
    float *start, *picture;                 /* [IB_DIFFUSED_BATCH,rows,cols,3] */
    ib_ends ends;                           /* with inverted noise */
    float *mixed;                           /* [2,IB_DIFFUSED_BATCH,ends.floats] noises, residuals */
    size_t work_done, work_all, work_batch; /* steps */
    double began;
    bool said;
} ib_diffused_clip;

void ib_diffused_tell(const ib_diffused_clip *c, const char *sentence); /* to the user */

/* ---- a place ---- */
bool ib_diffused_is_end(const ib_diffused_clip *c, const ib_diffused_place *p); /* a keyframe's */
size_t ib_diffused_steps(const ib_diffused_clip *c, const ib_diffused_place *p);
/* The prompt of a keyframe that is drawn from its own words, whatever leads the frames between; else NULL. */
const char *ib_diffused_words(const ib_diffused_clip *c, const ib_diffused_place *p);
/* [T,D] of c->rows, borrowed; NULL: there are no embeddings */
const float *ib_diffused_row(const ib_diffused_clip *c, const ib_diffused_place *p);

/* How many of n places, from the first on, go through the model together: at most IB_DIFFUSED_BATCH. */
size_t ib_diffused_together(const ib_diffused_clip *c, const ib_diffused_place *p, size_t n);
/* Draws n places that go together into c->picture, with the seed of c->o. IB_E_INTERRUPTED between two steps.
 */
int ib_diffused_draw(ib_diffused_clip *c, const ib_diffused_place *p, size_t n, ib_error *err);
/* What becomes of a picture's n values in a file. */
void ib_diffused_bytes(const float *picture, size_t n, uint8_t *rgb);

/* IB_E_INTERRUPTED with the sentence for a clip that was stopped after `done` diffused frames. */
int ib_diffused_stopped(const ib_diffused_clip *c, size_t done, ib_error *err);
/* All frames of the plan are made: writes the clip. */
int ib_diffused_write(ib_diffused_clip *c, ib_error *err);
/* Opens the output once, without writing it, so that what cannot be written is refused before hours are
 * spent. Adds the inputs to c->id. */
int ib_diffused_try_output(ib_diffused_clip *c, ib_error *err);

#endif
