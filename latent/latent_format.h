/* Inside latent/ only: the names that the writer and the reader of latent files agree on. docs/files.md
 * explains them. */
#ifndef IB_LATENT_LATENT_FORMAT_H
#define IB_LATENT_LATENT_FORMAT_H

#define IB_LATENT_FORMAT "inbetween latents"
enum {
    IB_LATENT_VERSION = 1,
    IB_LATENT_MAX_TOKENS = 1 << 22, /* of a 16384 x 16384 frame in blocks of 8 */
    IB_LATENT_MAX_WIDTH = 1 << 16,
    IB_LATENT_MAX_CHUNK_BYTES = 1 << 30, /* one frame; HDF5's own limit is 4 GiB */
    IB_LATENT_COLUMN_CHUNK = 65536       /* entries of pts and cut */
};

#endif
