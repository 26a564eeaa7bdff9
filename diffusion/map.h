/* Inside diffusion/ only: pictures and what networks make of them on the way, and the convolutions between
 * them. What is done to a layer's input (a norm's scale and shift, an activation, enlarging by two) is done
 * in one pass into a copy that is gone with the layer.
 *
 * All functions give the same bits whatever the number of threads. Call them outside parallel regions. */
#ifndef IB_DIFFUSION_MAP_H
#define IB_DIFFUSION_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include "diffusion/weights.h"

typedef struct ib_map {
    size_t rows, cols, channels;
    float *v; /* [rows,cols,channels]; owned; ib_map_free */
} ib_map;

int ib_map_alloc(ib_map *m, size_t rows, size_t cols, size_t channels, ib_error *err);
/* Accepts one that holds nothing. */
void ib_map_free(ib_map *m);

/* A convolution's weights where they are mapped: [cout,cin,size,size]; a matrix [cout,cin] is one of size 1.
 */
typedef struct ib_map_conv {
    ib_weight w, b;
    bool bias;
    size_t cin, cout, size; /* size: 1 or 3 */
} ib_map_conv;
/* NAME.weight and NAME.bias. cin, cout: 0: whatever they are. bias_needed: else it may be absent. */
int ib_map_conv_find(ib_map_conv *c, const ib_weights *w, const char *name, size_t cin, size_t cout,
                     bool bias_needed, ib_error *err);

/* A group norm's weights; of a spatial norm (Zheng et al. 2022, arXiv:2209.09002: y = norm(f) conv_y(z) +
 * conv_b(z), z the latent at f's size) those of its two maps as well. */
typedef struct ib_map_norm {
    ib_weight w, b;
    size_t channels, groups;
    bool spatial;
    ib_map_conv scale, shift; /* conv_y, conv_b */
} ib_map_norm;
/* NAME.weight and NAME.bias, or NAME.norm_layer.*, NAME.conv_y.*, NAME.conv_b.*, whose latents have
 * z_channels. */
int ib_map_norm_find(ib_map_norm *n, const ib_weights *w, const char *name, size_t channels, size_t groups,
                     size_t z_channels, ib_error *err);

typedef enum ib_map_act { IB_MAP_NONE, IB_MAP_SILU, IB_MAP_RELU } ib_map_act;

/* What is done around a convolution; zeros: nothing. */
typedef struct ib_map_step {
    const ib_map_norm *norm; /* of the input, eps 1e-6 */
    const ib_map *z;         /* a spatial norm's latent */
    ib_map_act act;          /* after the norm, before the convolution */
    size_t up; /* 2: the input is enlarged to twice its size before all, nearest; neither norm nor act then */
    size_t stride; /* 2: every second position, of even sides */
    bool trailing; /* with stride 2: zeros to the right and below only, else before the first row and column
                      only */
    bool spoil;    /* the input may be overwritten, which saves a copy of it */
    const float *add; /* added to the output, of its shape; may be the output itself */
    bool relu;        /* last of all */
} ib_map_step;

/* y: allocated here if it holds nothing, else of the right shape; its memory must not be x's. */
int ib_map_conv_run(const ib_map_conv *c, const ib_map *x, const ib_map_step *step, ib_map *y, int threads,
                    ib_error *err);

/* softmax(q k^T / sqrt(channels)) v over all positions, one head. y: allocated here. */
int ib_map_attend(const ib_map *q, const ib_map *k, const ib_map *v, ib_map *y, int threads, ib_error *err);

#endif
