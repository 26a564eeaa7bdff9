/* Inside render/: the latents on the way from keyframe to keyframe, without pictures. */
#ifndef IB_RENDER_PATH_H
#define IB_RENDER_PATH_H

#include "adapter/adapter.h"
#include "base/stop.h"
#include "latent/geometry.h"

/* Guides, as a path comes to them. */
typedef struct ib_path_guides {
    /* At n places between keyframes `way` and the next. z: [n,IB_GUIDE_PICTURES,T,D]; feature:
     * [n,IB_GUIDE_FEATURES] */
    int (*make)(void *user, size_t way, const float *t, size_t n, float *z, float *feature, ib_error *err);
    void *user;
    const bool *guided; /* [ways] which of them have guides */
    float *gate;        /* [rows] how far each row follows its guide (ib_adapter_gate), filled; 0: not */
} ib_path_guides;

typedef struct ib_path_options {
    int frames;        /* from one keyframe to the next, both counted, >= 2 */
    bool ease, loop;   /* as in render/movie.h */
    float gap_seconds; /* the time between keyframes that the model sees, > 0 */
    const atomic_int *stop;
    const ib_geometry *geometry; /* of the keys */
    ib_path_guides guides;       /* make NULL: none */
    struct ib_seeking *seeking;  /* render/seeking.h; NULL: the model's own answers */
    const char *space_id;        /* for that */
} ib_path_options;

/* Rows of a path of n keyframes: (n - 1)(frames - 1) + 1, of a loop n (frames - 1). */
size_t ib_path_rows(const ib_path_options *o, size_t n);
/* t: [frames - 2] the places between two keyframes. */
void ib_path_places(const ib_path_options *o, float *t);
/* keys: [n,T,D]; rows: [ib_path_rows,T,D]; t: [ib_path_rows], the place between a row's two keyframes, 0 at
 * keyframes. Row k (frames - 1) is keyframe k bit for bit. adapter NULL: slerp. */
int ib_path_make(const ib_adapter *adapter, const ib_path_options *o, const ib_shape *shape,
                 const float *keys, size_t n, float *rows, float *t, ib_error *err);

#endif
