/* The in-between model: z(t) = slerp(z0, z1, t) + residual(z0, z1, t). docs/model.md describes the
 * architecture.
 *
 * By construction the model is exact at the keyframes, silent when they agree, and the same forward and
 * backward in time. An untrained one is slerp or, with the motion head, interpolation along a classical
 * estimate of motion. Parameters are one flat array with a table of names, so optimisers, averages and files
 * need to know nothing of the architecture. */
#ifndef IB_ADAPTER_ADAPTER_H
#define IB_ADAPTER_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"
#include "base/safetensors.h"
#include "latent/guides.h"
#include "latent/space.h"
#include "motion/pair.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far each part of the model is followed, by the gap: fitted on validation videos when a run ends, stored
 * in the file and applied by predictions, times the trust. 0 leaves a part out; where both of a guide's are 0
 * it is as if there were no guide. In the patch space there is one, of all that was learned. */
typedef enum ib_strength {
    IB_STRENGTH_GUIDE,  /* of the guide: g (h - slerp) */
    IB_STRENGTH_GUIDED, /* of the correction f where there is a guide */
    IB_STRENGTH_ALONE,  /* of the correction where there is none, and of the patch space's model */
    IB_STRENGTHS
} ib_strength;

enum { IB_STRENGTH_BINS = 8 };

typedef struct ib_strengths {
    int bins;                                    /* 0: none were fitted, all are 1 */
    float gap_seconds[IB_STRENGTH_BINS];         /* middle of each bin, rising, > 0 */
    float value[IB_STRENGTHS][IB_STRENGTH_BINS]; /* 0..1 */
} ib_strengths;

/* At any gap: linear between the bins' middles in the logarithm of the gap, the first one's value below.
 * Above the last it falls to 0 at twice that gap, but in the space of pictures (`pictures`) it stays. */
IB_API float ib_strength_at(const ib_strengths *s, ib_strength which, float gap_seconds, bool pictures);

/* Everything that defines the architecture; stored in the file's metadata. */
typedef struct ib_adapter_config {
    char space_id[256];
    ib_layout layout;
    int width;         /* D of the space */
    int fine;          /* C of the trunk's blocks at token resolution; multiple of 16, 16..1024 */
    int coarse;        /* C of the blocks one level below (grid only); multiple of 16 */
    int fine_blocks;   /* residual blocks before and again after the coarse level, 1..32 */
    int coarse_blocks; /* residual blocks at the coarse level, 0..32 */
    bool motion;       /* the motion head: grid layout of a space that can be warped (patch) */
    double trust;      /* of a model as it is opened, 0..1 (ib_adapter_trust); averages take the first's */
    /* The pixel model whose guides (guide/guide.h) it was trained with, its id; empty: no guide */
    char guide[160];
    ib_strengths strengths; /* fitted on validation; like trust not part of the architecture */
} ib_adapter_config;

/* Names all that a prediction depends on beside the architecture and the weights: what the trunk sees and how
 * it is scaled, what the heads' outputs mean, where they begin, and the motion estimate with its windows.
 * Stored in files; one with another name is refused. */
IB_API const char *ib_adapter_features(const ib_adapter_config *c);

/* The named sizes: "toaster", "default", "large". IB_E_ARGUMENT with the list for another name. */
IB_API int ib_adapter_preset(const char *name, const char *space_id, ib_layout layout, int width,
                             ib_adapter_config *out, ib_error *err);

typedef struct ib_param {
    char name[64];
    int rank;
    int64_t shape[4];
    size_t offset, count; /* in floats, into the flat array */
    bool decay;           /* weight decay applies (matrices, not biases and scales) */
    bool hidden;          /* a matrix of the trunk, [count / last side, last side]: what Muon is made for */
} ib_param;

typedef struct ib_adapter ib_adapter;
typedef struct ib_adapter_work ib_adapter_work;
IB_API int ib_adapter_create(ib_adapter **out, const ib_adapter_config *config, uint64_t seed, ib_error *err);
IB_API void ib_adapter_free(ib_adapter **a);
IB_API const ib_adapter_config *ib_adapter_config_of(const ib_adapter *a);
IB_API size_t ib_adapter_param_count(const ib_adapter *a); /* P, floats */
IB_API float *ib_adapter_params(ib_adapter *a);            /* [P], 64-byte aligned */
IB_API size_t ib_adapter_tensor_count(const ib_adapter *a);
IB_API const ib_param *ib_adapter_tensor(const ib_adapter *a, size_t i);

/* Multiply-adds of one sample's forward pass through trunk and heads, 3x3 convolutions counted in the direct
 * form; a training step takes about three times as many. */
IB_API double ib_adapter_forward_macs(const ib_adapter *a, const ib_shape *shape);

/* Files. meta: extra pairs (training summary, parents ...), may be NULL. Open checks every tensor's name and
 * shape against the architecture in the metadata, and that all values are finite. */
IB_API int ib_adapter_save(const ib_adapter *a, const char *path, const ib_st_meta *meta, size_t n_meta,
                           ib_error *err);
IB_API int ib_adapter_open(ib_adapter **out, const char *path, ib_error *err);
/* The same with the tensors as `dtype`, IB_F32 or IB_F16 (IB_E_NONFINITE if a weight is
 * beyond 65504 then). */
IB_API int ib_adapter_save_as(const ib_adapter *a, const char *path, ib_dtype dtype, const ib_st_meta *meta,
                              size_t n_meta, ib_error *err);
/* The same from a file that is open already; `path` is for sentences. The adapter keeps nothing of f. */
IB_API int ib_adapter_from(ib_adapter **out, const ib_st *f, const char *path, ib_error *err);
/* IB_E_MISMATCH, naming both, unless the adapter's space id is `space_id`. `what` names the other side in the
 * sentence. */
IB_API int ib_adapter_check_space(const ib_adapter *a, const char *space_id, const char *what, ib_error *err);

/* The strengths that predictions apply: those of the file at first. NULL: none. Trust becomes 1 with
 * strengths, which are in its place, else what the config says. Not to be called while another thread
 * predicts. */
IB_API void ib_adapter_set_strengths(ib_adapter *a, const ib_strengths *s);
IB_API const ib_strengths *ib_adapter_strengths(const ib_adapter *a);
/* Of the last prediction with this work space: the gate g of sample i, strength and trust applied, mean over
 * tokens; 0 without a guide. */
IB_API float ib_adapter_gate(const ib_adapter_work *w, int i);
/* What the pixel model thinks of target i of those whose sides were rendered last with this work space: the
 * features from IB_GUIDE_MOTION on (latent/guides.h); those before it follow from the pictures. */
IB_API void ib_adapter_doubts(const ib_adapter_work *w, int i, float *feature);

/* How far what is predicted and rendered follows what training taught: 1 wholly, 0 not at all, as an
 * untrained model would; between them the heads' answers are mixed. Videos from elsewhere than those learned
 * from gain by some reserve, and those very like them lose (docs/model.md; as weights are mixed in WiSE-FT,
 * Wortsman et al. 2022, arXiv:2109.01903). At first
 * what the file says, IB_ADAPTER_TRUST for a new model; clamped to [0,1]. Not to be called while another
 * thread predicts. */
#define IB_ADAPTER_TRUST 0.6
IB_API void ib_adapter_trust(ib_adapter *a, double trust);
IB_API double ib_adapter_trust_of(const ib_adapter *a);

/* How sharp the pictures are that are predicted and rendered, with a motion head: 0 makes the squared error
 * least and is soft where the keyframes do not quite agree, 1 gives fine detail the contrast that it has in
 * the keyframes (adapter/sharpen.c). Clamped to [0,1]; 0 at first. Not to be called while another thread
 * predicts. */
IB_API void ib_adapter_sharpen(ib_adapter *a, double sharpness);

/* How far predictions are led by their guides: 1, at first, as they were trained; 0 as if there were none;
 * above 1 further than that (adapter/guide_scale.c). Clamped to [0,IB_GUIDE_SCALE_MOST]; costs a second
 * prediction unless it is 1. Not to be called while another thread predicts. */
#define IB_GUIDE_SCALE_MOST 10.0
IB_API void ib_adapter_guide_scale(ib_adapter *a, double scale);

/* One request: keyframes and the place between them. */
typedef struct ib_between {
    const float *z0, *z1; /* [T,D] */
    float t;              /* (0,1) */
    float gap_seconds;    /* time from z0 to z1, > 0 */
    /* For an adapter with guides (config.guide), others do not look at it. NULL: there is none. */
    const float *guide;   /* [IB_GUIDE_PICTURES,T,D] at t: first keyframe carried there, then last */
    const float *feature; /* [IB_GUIDE_FEATURES] of it (latent/guides.h) */
} ib_between;

/* Call after writing to ib_adapter_params: recomputes what is derived from them (transformed convolution
 * weights). Not to be called while another thread predicts or learns. ib_adapter_create and ib_adapter_open
 * have done it. */
IB_API void ib_adapter_refresh(ib_adapter *a);
/* The same by several threads. */
IB_API void ib_adapter_refresh_by(ib_adapter *a, int threads);
/* Once, before work spaces for training are made: from here on it keeps what gradients need besides. */
IB_API int ib_adapter_trains(ib_adapter *a, ib_error *err);

/* Scratch memory for one thread, for one shape; `batch` is the most samples that one call may bring (1 is
 * best for grids, whose samples are large; 64 or more for the single layout, whose samples are one token). */
/* Made for training, after ib_adapter_trains, it serves predictions too, but with fewer overlapping patches,
 * which is a little worse. IB_E_ARGUMENT without that call. */
IB_API int ib_adapter_work_create(ib_adapter_work **out, const ib_adapter *a, const ib_shape *shape,
                                  int batch, bool training, ib_error *err);
IB_API void ib_adapter_work_free(ib_adapter_work **w);

/* z: [n,T,D], the model's in-betweens. t = 0 and t = 1 give the keyframes' own bits. */
IB_API int ib_adapter_predict(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, /* [n] */ int n,
                              float *z, ib_error *err);

/* The answer's parts without strengths and trust, of layouts without a motion head: z = slerp + seen + f.
 * slerp, seen: [n,T,D], seen is g (h - slerp) and 0 without a guide; f: [n,T,D], 4t(1-t) s f. For fitting
 * strengths. in: t in (0,1). */
IB_API int ib_adapter_parts(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, /* [n] */ int n,
                            float *slerp, float *seen, float *f, ib_error *err);

/* What the trunk has to do without in a step (Srivastava et al. 2014, JMLR 15): each of its channels is left
 * out of a sample with the chance `rate`, in [0,1), as the sample's seed decides, and the others grow by 1 /
 * (1 - rate). */
typedef struct ib_dropout {
    float rate;
    const uint64_t *seed; /* [n] */
} ib_dropout;

/* Mean squared error per value of a latent below which an error is as good as none: about a third of an 8-bit
 * step, RMS. Slerp's own below it is nothing to compare with: there is no skill then (eval/score.h). */
#define IB_ERROR_FLOOR 2e-6

/* Forward and backward of n samples (training work only). The loss of a sample is
 *   r = |z - target|^2 / (unit T D + IB_ERROR_FLOOR T D),
 * squares summed over [T,D], with unit 0 slerp's own error in the place of unit T D, or log(1 + 10 r) /
 * log(11) with a motion head: 0 is perfect, 1 is slerp, see docs/model.md. The gradient times `scale` is
 * added up inside the work until ib_adapter_collect. Threads use their own work. */
typedef struct ib_sample_loss {
    double loss;
    double err_model, err_slerp; /* sums of squares over [T,D], for skill */
} ib_sample_loss;
IB_API int ib_adapter_learn(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, /* [n] */
                            const float *const *target,      /* [n], each [T,D] */
                            int n, float scale, double unit, /* a mean squared error of slerp */
                            const ib_dropout *drop,          /* NULL: nothing */
                            ib_sample_loss *loss,            /* [n] */
                            ib_error *err);
/* Adds the work's gathered gradient to grads [P] and clears it in the work. Always from the same works in the
 * same order: the sum is then the same to the bit. */
IB_API void ib_adapter_collect(const ib_adapter *a, ib_adapter_work *w, float *grads);

/* Rendering at any size. The model predicts on the grid of ib_pair_shape, large keyframes being scaled to it,
 * which is what ib_adapter_predict does; the answer is enlarged, and the detail that it cannot hold comes
 * from the keyframes, carried by the same function (adapter/render.c has the formula). At that size itself
 * what is rendered is what is predicted, to the rounding. */

/* Whether it can: with a motion head. */
IB_API bool ib_adapter_renders(const ib_adapter *a);
/* w: made for ib_pair_shape. out: allocated, of the keyframes' size. t = 0 and 1 copy the keyframes'
 * samples. The same bits for any number of threads. IB_E_UNSUPPORTED without a motion head. */
IB_API int ib_adapter_render(const ib_adapter *a, ib_adapter_work *w, const ib_pair *k, float t,
                             float gap_seconds, int threads, ib_frame *out, ib_error *err);
/* The two pictures of guides (latent/guides.h) at n places t of a pair: first and last [n, keyframes' size]
 * hold the keyframes carried there along the model's flows, unmixed. w: of a batch of n at least. */
IB_API int ib_adapter_render_sides(const ib_adapter *a, ib_adapter_work *w, const ib_pair *k, const float *t,
                                   int n, float gap_seconds, int threads, ib_frame *first, ib_frame *last,
                                   ib_error *err);
/* Has the sides of this pair, at any t, begin from one estimate of the optical flow, that of t = 1/2, which
 * is made now: a little different, and a good deal faster where there are many. Until the pair's next
 * keyframes. */
IB_API int ib_adapter_estimate_once(ib_adapter_work *w, ib_pair *k, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
