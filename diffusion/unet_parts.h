/* Inside diffusion/unet*.c only: the parts of a U-Net and how they are run. */
#ifndef IB_DIFFUSION_UNET_PARTS_H
#define IB_DIFFUSION_UNET_PARTS_H

#include "diffusion/buffers.h"
#include "diffusion/unet.h"

/* A linear map or a convolution; its matrix stays in the file. */
typedef struct ib_unet_map {
    ib_weight w;
    const char *name; /* of the weight; NULL: there is no such map */
    float *b;         /* [n] or NULL */
    size_t n, k;      /* k: of each tap */
    int kernel;
    bool patched;
} ib_unet_map;

typedef struct ib_unet_norm {
    float *gain, *bias; /* [n] */
    size_t n;
} ib_unet_norm;

typedef struct ib_unet_resnet {
    ib_unet_norm norm1, norm2;
    ib_unet_map conv1, conv2, time, shortcut;
    int resample; /* -1: half the sides, 1: twice, 0: neither */
    bool scale_shift;
    size_t cin, cout;
} ib_unet_resnet;

typedef struct ib_unet_block {
    ib_unet_norm norm[3];
    ib_unet_map q[2], k[2], v[2], o[2]; /* of attention to itself and to the context */
    ib_unet_map ip_k, ip_v;             /* of an IP-Adapter */
    ib_unet_map ff_in, ff_out;
    size_t layer; /* among those that an IP-Adapter knows */
} ib_unet_block;

typedef struct ib_unet_attention {
    size_t depth, heads, channels;
    ib_unet_norm norm;
    ib_unet_map proj_in, proj_out;
    ib_unet_block *block;                   /* [depth] */
    bool simple;                            /* the following instead of blocks */
    ib_unet_map q, k, v, more_k, more_v, o; /* more: from the context */
} ib_unet_attention;

typedef struct ib_unet_stage {
    size_t layers;
    ib_unet_resnet resnet[IB_UNET_LAYERS];
    ib_unet_attention attention[IB_UNET_LAYERS]; /* depth 0: none */
    ib_unet_map sample;                          /* convolution to the next level; or */
    ib_unet_resnet sampler;
    bool has_sampler;
} ib_unet_stage;

struct ib_unet {
    ib_unet_config c;
    const ib_weights *w, *ip;
    ib_unet_patch patch;
    size_t layers; /* of attention to the context */
    char **names;  /* of maps, owned */
    size_t n_names, names_room;
    ib_unet_map conv_in, conv_out, time1, time2, guidance, extra1, extra2;
    ib_unet_map image_tokens; /* Kandinsky */
    ib_unet_norm norm_out, image_norm, tokens_norm;
    ib_unet_stage down[IB_UNET_LEVELS], mid, up[IB_UNET_LEVELS];
    ib_buffers buffers;
    ib_unet_watch *watch;
    void *watch_context;
};

/* One evaluation under way. */
typedef struct ib_unet_walk {
    ib_unet *u;
    const ib_unet_input *in;
    int threads;
    float *emb; /* [batch, width]: silu of the time's embedding */
    size_t emb_width;
    const float *context; /* [batch, tokens, context] */
    size_t tokens;
} ib_unet_walk;

/* A grid on its way: [batch, rows, cols, channels] in a buffer. */
typedef struct ib_unet_grid {
    float *x;
    size_t rows, cols, channels;
} ib_unet_grid;

/* Every step does nothing once a buffer is missing; the walk looks at u->buffers.rc. */
void ib_unet_linear(ib_unet_walk *k, const ib_unet_map *m, const float *x, size_t x_row, size_t rows,
                    bool add, float *y, size_t y_row);
void ib_unet_conv(ib_unet_walk *k, const ib_unet_map *m, const ib_unet_grid *x, int stride, const float *b,
                  size_t b_row, bool add, float *y);
void ib_unet_group_norm(ib_unet_walk *k, const ib_unet_norm *n, const ib_unet_grid *x, float eps, bool silu,
                        const float *scale, const float *shift, size_t film_row, float *y);
/* g's buffer is given back and another takes its place. */
void ib_unet_run_resnet(ib_unet_walk *k, const ib_unet_resnet *r, ib_unet_grid *g, size_t to_rows,
                        size_t to_cols);
/* In place. name: for the watch. */
void ib_unet_run_attention(ib_unet_walk *k, const ib_unet_attention *a, ib_unet_grid *g, const char *name);
void ib_unet_tell(ib_unet_walk *k, const char *name, const float *x, size_t pixels, size_t channels);

#endif
