/* Inside latent/ only: what a space brings. A new space is one file with one const table of these and a line
 * in space.c. */
#ifndef IB_LATENT_SPACE_KIND_H
#define IB_LATENT_SPACE_KIND_H

#include "latent/geometry.h"
#include "latent/space.h"

/* How latents of a space are joined. A change of what slerp gives is a new id. */
struct ib_geometry {
    const char *id;
    void (*slerp)(const float *z0, const float *z1, float t, size_t tokens, size_t width, float *out);
};
extern const ib_geometry ib_geometry_plain, ib_geometry_patch;

typedef struct ib_space_kind {
    const char *name;  /* what comes before the colon of a spec */
    const char *usage; /* how an error shows it: "clip:PATH" */
    bool resizes;      /* frames come at their own size, with RGB */
    /* The geometry of latents of the space id `joined`; all others have plain slerp. NULL: so have all. */
    const char *joined;
    const ib_geometry *geometry;
    /* argument: what comes after the colon, NULL if there is none. Fills s->id, s->remark, s->input and
     * s->state; on failure holds nothing. */
    int (*open)(ib_space *s, const char *argument, const ib_space_options *o, ib_error *err);
    void (*close)(ib_space *s); /* releases s->state; NULL: nothing to do */
    int (*shape)(const ib_space *s, int width, int height, ib_shape *shape, ib_error *err);
    /* From several threads at once. Either encode, or prepare and encode_inputs; with an input of no floats
     * prepare fails before it touches `input`, and says why. */
    int (*encode)(const ib_space *s, const ib_frame *frame, float *z, ib_error *err);
    int (*prepare)(const ib_space *s, const ib_frame *frame, float *input, ib_error *err);
    int (*encode_inputs)(const ib_space *s, const float *input, size_t n, float *z, ib_error *err);
    int (*decode)(const ib_space *s, const float *z, ib_frame *frame, ib_error *err);   /* NULL: cannot */
    int (*encode_text)(const ib_space *s, const char *prompt, float *z, ib_error *err); /* NULL: cannot */
} ib_space_kind;

struct ib_space {
    const ib_space_kind *kind;
    char id[256];
    char remark[512];
    ib_space_input input; /* zeros without prepare */
    bool text;   /* encode_text may be called; if false although the kind has it, it says why in its error */
    int threads; /* as asked; 0: OpenMP's number */
    void *state; /* owned by the kind */
};

extern const ib_space_kind ib_space_patch, ib_space_clip, ib_space_vae;

#endif
