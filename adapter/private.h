/* What the files of this room share. Not installed. */
#ifndef IB_ADAPTER_PRIVATE_H
#define IB_ADAPTER_PRIVATE_H

#include "adapter/adapter.h"
#include "motion/motion.h"
#include "latent/geometry.h"
#include "latent/patch.h"

enum {
    IB_TIME_INPUTS = 16, /* features of t and the gap */
    IB_TIME_WIDTH = 64,  /* after the time layer */
    IB_CELL_OUTPUTS = 6, /* motion head, per cell: corrections of V0 and V1, mask, gain of the prior */
    IB_PATCH_BLOCKS = 3, /* Y, U and V of a token */
    IB_PIXEL_FEATURES = 3 * IB_PATCH_D - IB_PATCH_BLOCKS, /* what the trunk sees of a token's pixels */
    IB_MIXINGS = 2 + IB_HYPOTHESES, /* mixing head, per token and coefficient: slerp, tilt, hypotheses */
    /* where a token of a sequence lies: two coordinates as sines and cosines, and whether it stands before
     * them */
    IB_POSITION_OCTAVES = 5,
    IB_POSITION_FEATURES = 4 * IB_POSITION_OCTAVES + 1,
    IB_GATE_WIDTH = 32 /* hidden layer of the gate */
};

/* A bump allocator over one block of cache lines, walked twice: once to measure, once to hand out. */
typedef struct ib_bump {
    float *base; /* NULL: measure */
    size_t used; /* floats */
} ib_bump;

static inline float *ib_take(ib_bump *b, size_t n) {
    float *p = b->base ? b->base + b->used : NULL;
    b->used += (n + 15) / 16 * 16;
    return p;
}

/* Offsets of a linear map's weight and bias in the parameter array. */
typedef struct ib_span {
    size_t w, b;
} ib_span;

typedef struct ib_block {
    int channels;
    bool coarse;
    ib_span film, mix1, mix2;
    ib_span qkv, attend; /* sequence layout only: into attention and out of it */
    size_t u1, u2; /* offsets of the transformed 3x3 weights in `derived`; unused without spatial mixing */
} ib_block;

struct ib_adapter {
    ib_adapter_config config;
    bool spatial;       /* blocks mix by 3x3 convolutions (grid), not by linear maps (single, sequence) */
    bool attention;     /* blocks attend from token to token (sequence) */
    double trust;       /* in what was learned, by predictions (ib_adapter_trust) */
    double sharpness;   /* ib_adapter_sharpen */
    double guide_scale; /* ib_adapter_guide_scale */
    size_t features;    /* inputs per token */
    bool guided;        /* follows guides, through the gate */
    size_t gate_inputs;
    ib_param *tensor;
    size_t tensors;
    float *params;
    size_t count;
    float *derived;    /* [derived_count] transformed convolution weights */
    float *transposed; /* the same transposed, for gradients; NULL before ib_adapter_trains */
    size_t derived_count;
    ib_span time, into, down, up, out_film, correction, mixing, motion, gate_into, gate;
    ib_block *block; /* fine_blocks before, coarse_blocks, fine_blocks after */
    int blocks;
};

/* The trunk's memory for `batch` images of rows x cols tokens (1 x T for sequences, 1 x 1 for the single
 * layout). */
typedef struct ib_trunk {
    size_t batch, rows, cols, tokens; /* per image */
    size_t crows, ccols, ctokens;     /* coarse level */
    float *features;                  /* [N,F], N = batch * tokens; filled by the caller */
    float *time_in, *time_pre, *time; /* [batch, 16], [batch, 64] twice */
    float *film;                      /* per block and the last: [batch, 2C] each, one after the other */
    float *keep; /* [batch, C] each likewise: what the film's outputs are multiplied by; NULL while nothing is
                    left out */
    float *keep_room;                    /* where keep points when it does; training only */
    float **x;                           /* input of each block, [N,C] */
    float **u;                           /* output of each block's first map */
    float **qkv, **attended;             /* of each block that attends: [N,3C], [N,C] */
    float *fine_out, *coarse_out;        /* outputs of the last blocks of their level */
    float *gathered;                     /* [batch * ctokens, 4C] */
    float *out;                          /* [N,C]: what the heads read */
    float *a, *b, *c;                    /* scratch of the largest activation */
    float *conv;                         /* scratch of the convolutions, or of attention */
    float *dqkv;                         /* [N,3C]; training only */
    float *dtime, *dfilm, *dout, *dskip; /* gradients; training only */
    float *arena;
} ib_trunk;

int ib_trunk_create(ib_trunk *t, const ib_adapter *a, size_t batch, size_t rows, size_t cols, bool training,
                    ib_error *err);
void ib_trunk_free(ib_trunk *t);
/* Draws `keep` for n images from `first` on; NULL: nothing is left out. */
void ib_trunk_drop(const ib_adapter *a, ib_trunk *t, size_t n, const ib_dropout *drop, size_t first);
/* features, time_in -> out, for the first n images. */
void ib_trunk_forward(const ib_adapter *a, ib_trunk *t, size_t n);
/* dout [N,C] -> grads [P], added to. */
void ib_trunk_backward(const ib_adapter *a, ib_trunk *t, size_t n, float *grads);

/* Samples are handled with t <= 1/2: the others are turned round, which makes the model the same forward and
 * backward in time by construction. At t = 1/2 the order is that of the keyframes' bytes. */
typedef struct ib_ordered {
    const float *z0, *z1;
    float t, gap_seconds;
    bool swapped;
    const float *guide, *feature; /* NULL: no guide */
} ib_ordered;
ib_ordered ib_order(const ib_between *in, size_t n_floats);
/* f: [IB_TIME_INPUTS] */
void ib_time_features(float t, float gap_seconds, float *f);
/* f: [IB_POSITION_FEATURES], of a token of a sequence of `tokens` */
void ib_position_features(size_t token, size_t tokens, float *f);
/* Heads of an attending block: 64 channels each, or 32 or 16 where that does not divide them. */
size_t ib_attention_heads(size_t channels);

/* What the mixing head says before it has learnt anything: the weights of slerp, tilt and the hypotheses, the
 * blend having the rest. Part of what ib_adapter_features names. */
extern const float ib_first_mixing[IB_MIXINGS];

struct ib_adapter_work {
    ib_shape shape;
    const ib_geometry *geometry;
    int batch;
    bool training;
    size_t rows, cols; /* 1 x T where the layout is not a grid */
    ib_trunk trunk;
    float *z;                        /* [batch,T,D]: outputs while learning */
    float *scale;                    /* [batch*T] s of each token */
    float *slerp;                    /* [batch,T,D] */
    float *positions;                /* [T, IB_POSITION_FEATURES]; sequences only */
    float *correction, *dcorrection; /* [batch*T, D] */
    /* with guides only; N = batch * T */
    bool *has_guide;                  /* [batch] */
    float *toward[IB_GUIDE_PICTURES]; /* [N,D] each: picture - slerp, 0 without a guide */
    float *guide_odds;                /* [batch] log(t / (1 - t)) */
    float *gate_in;                   /* [N,gate_inputs] */
    float *gate_pre, *gate_hidden;    /* [N,IB_GATE_WIDTH] */
    float *gate_raw;                  /* [N,2]: the last layer's outputs */
    float *gate, *share; /* [N] in [0,1]: how far the guide is followed, the part of its last picture */
    float *gate_mean;    /* [batch] ib_adapter_gate */
    float *dgate_hidden, *dgate; /* training only */
    float *grads;
    float *arena;
    /* with a motion head only */
    ib_motion *motion;          /* [batch] */
    float *seen;                /* [T, IB_MOTION_FEATURES] of the sample at hand */
    float *carried0, *carried1; /* [T,D]: a sample's keyframes carried along the prior, as latents */
    float *tilt;                /* [batch,T,D]: their difference */
    float *hypothesis;          /* [batch, IB_HYPOTHESES, T, D] */
    float *blend;               /* [batch,T,D]: what the motion head's flows give */
    float *fields, *dfields;    /* [IB_FIELDS, cells] of the sample at hand (blend.h) */
    float *pixels;           /* [96 rows cols] of the sample at hand: the blended picture, or its gradient */
    float *mixing, *dmixing; /* [batch*T, IB_MIXINGS * D] */
    float *motion_out, *dmotion; /* [batch*T, IB_TOKEN_CELLS * IB_CELL_OUTPUTS] */
    float *room;                 /* ib_work_room */
    size_t room_floats;
};

/* Scratch for what lies outside the model, made when it is first asked for: *room has at least n floats,
 * which hold anything, until it is asked for again. */
int ib_work_room(ib_adapter_work *w, float **room, size_t n, const char *what, ib_error *err);

/* Runs everything up to the heads for n samples already ordered; correction, mixing and motion_out are then
 * filled. */
void ib_model_heads(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n);

/* gate.c: how far tokens follow the guide. */
size_t ib_gate_inputs(const ib_adapter_config *c);
/* From w->slerp and the guide of one sample: its rows of w->toward and of the gate's input. */
void ib_gate_features(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample);
void ib_gate_forward(const ib_adapter *a, ib_adapter_work *w, size_t n);
/* w->dgate -> grads */
void ib_gate_backward(const ib_adapter *a, ib_adapter_work *w, size_t n);
/* z [T,D] += g (h - slerp), h the mixture of the guide's pictures; dz -> w->dgate */
void ib_gate_follow(ib_adapter_work *w, size_t sample, float *z);
void ib_gate_follow_backward(ib_adapter_work *w, size_t sample, const float *dz);
/* by (h - slerp) of a token, counted over all samples, with h the pictures mixed by t. f: [D] */
void ib_gate_seen(const ib_adapter_work *w, size_t token, float t, float by, float *f);

/* heads.c: the heads' answers put together for one sample; z [T,D]. w->pixels then holds the blended picture.
 */
void ib_model_assemble(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *z);
/* The same apart, without a motion head: what the guide adds to slerp, and the correction; [T,D] each. */
void ib_model_parts(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *seen, float *f);
/* dz [T,D], which is used up -> gradients at the heads' outputs. */
void ib_model_assemble_backward(ib_adapter_work *w, const ib_ordered *in, size_t sample, float *dz);
/* The heads' answers for one sample go back to what they say before any training, but for the part that trust
 * and strengths leave. */
void ib_model_hold_back(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, size_t sample);

/* ib_adapter_predict with guides followed as they are. */
int ib_model_answer(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *z,
                    ib_error *err);
/* guide_scale.c: z, what it said, becomes that of the adapter's scale; gates stay. */
int ib_model_scale_guides(const ib_adapter *a, ib_adapter_work *w, const ib_between *in, int n, float *z,
                          ib_error *err);

/* sharpen.c: detail gets the contrast back that the keyframes have.
 * A luma plane: floats, or samples of a frame. */
typedef struct ib_luma {
    const float *plane; /* [height,width]; NULL: samples */
    const uint8_t *samples;
    size_t stride;
} ib_luma;
typedef struct ib_sharpening {
    const ib_canvas *canvas; /* the picture's size, and the cells that its flows are given for */
    const float *fields;     /* [IB_FIELDS, cells] (motion/blend.h) */
    float t;                 /* (0,1) */
    float sharpness;         /* (0,1] */
    ib_luma key[2];
    const float *picture; /* [height,width]: the prediction's luma */
} ib_sharpening;
/* scratch: ib_sharpen_floats. out: [height,width], not the picture; the same bits for any number of threads.
 */
size_t ib_sharpen_floats(size_t height, size_t width, int threads);
void ib_sharpen(const ib_sharpening *s, int threads, float *scratch, float *out);

/* motion_out of n ordered samples, all that the motion head says: the same as ib_model_predict finds, without
 * what that needs besides. forward, backward: flows of ib_motion to begin from, of keyframes that are not
 * swapped; NULL: none. */
void ib_model_motion(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n,
                     const float *forward, const float *backward);
/* heads.c: motion_out of a sample -> w->fields */
void ib_model_fields(ib_adapter_work *w, size_t sample);

/* The in-betweens of n ordered samples, sharpened with a motion head; z[i]: [T,D]. */
int ib_model_predict(const ib_adapter *a, ib_adapter_work *w, const ib_ordered *in, int n, float sharpness,
                     float *const *z, ib_error *err);

/* Checks a config's ranges; IB_E_ARGUMENT or IB_E_UNSUPPORTED with a sentence. */
int ib_adapter_config_check(const ib_adapter_config *c, ib_error *err);

#endif
