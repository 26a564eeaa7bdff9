/* Inside render/: the image diffusion model as a clip needs it. The one place where render/ meets diffusion/.
 */
#ifndef IB_RENDER_DIFFUSING_H
#define IB_RENDER_DIFFUSING_H

#include <stdint.h>
#include "base/error.h"
#include "render/diffused.h"

typedef struct ib_diffusing ib_diffusing;

/* One frame that is to be made. */
typedef struct ib_diffusing_frame {
    const float *embedding;        /* [hidden,width]; NULL: none */
    size_t hidden;                 /* tokens of it: 1, or those of an image tower */
    const char *prompt, *prompt2;  /* NULL: empty; prompt2 NULL: prompt alone */
    float between;                 /* from prompt to prompt2, 0..1 */
    const float *start;            /* [rows,cols,3] picture, 0..1; NULL: noise alone */
    double strength;               /* 0..1 of a start */
    const float *noise, *residual; /* [latent_floats]; NULL: noise by the seed; nothing is added */
} ib_diffusing_frame;

typedef struct ib_diffusing_about {
    char what[160];  /* in words */
    size_t width;    /* of embeddings that it takes; 0: none */
    bool hidden;     /* it takes an image tower's tokens, not its embedding */
    bool reads_text; /* and its text encoders are there */
    bool unscaled;   /* a Stable unCLIP without mean and deviation of its embeddings */
    size_t factor;   /* sizes are multiples of it */
    size_t side;     /* px that the model was trained at */
    int steps;
    double guidance;
    const char *sampler;
    const char *weights; /* the file whose SHA-256 names the model */
} ib_diffusing_about;

/* o: all but frames and keyframes of it; must outlive the model. step: after each step of a batch, share of
 * its work done. */
int ib_diffusing_open(ib_diffusing **out, const ib_diffused_options *o,
                      void (*step)(void *user, double share), void *user, ib_error *err);
void ib_diffusing_close(ib_diffusing **d);
const ib_diffusing_about *ib_diffusing_about_of(const ib_diffusing *d);
/* What the image tower makes of no picture, [hidden,width], from which models of hidden tokens and Kandinsky
 * are led away; NULL: it has none. */
int ib_diffusing_set_nothing(ib_diffusing *d, const float *nothing, size_t hidden, ib_error *err);
/* pictures: [n,rows,cols,3], 0..1 and clipped to it. IB_E_INTERRUPTED between two steps. */
int ib_diffusing_frames(ib_diffusing *d, const ib_diffusing_frame *f, size_t n, size_t rows, size_t cols,
                        float *pictures, ib_error *err);
size_t ib_diffusing_latent_floats(const ib_diffusing *d, size_t rows, size_t cols);
/* The noise from which one frame's start comes back, and what the way back misses of it
 * (ib_diffusion_invert).
 */
int ib_diffusing_invert(ib_diffusing *d, const ib_diffusing_frame *f, size_t rows, size_t cols, float *noise,
                        float *residual, ib_error *err);

#endif
