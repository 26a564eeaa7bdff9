/* From a video to its latent file, with guides: what `inbetween encode` does to each of its inputs. */
#ifndef IB_GUIDE_ENCODE_H
#define IB_GUIDE_ENCODE_H

#include <stdbool.h>
#include "base/api.h"
#include "base/stop.h"
#include "guide/guide.h"
#include "latent/latent_file.h"
#include "video_io/reader.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_ENCODE_GUIDE_GAPS = 16 };

typedef struct ib_encode_options {
    int width, height; /* even, 16..16384, default 192 x 112; portrait sources swap them. Spaces that resize
                          take no notice */
    ib_fit fit;        /* default IB_FIT_CROP */
    int every;         /* keep frames 0, every, 2*every ...; default 1 */
    int threads;       /* for decoding; 0: as many as cores */
    bool keep_interlaced;   /* interlaced frames as they are; default false: deinterlaced */
    bool force;             /* encode also what is encoded and unchanged */
    bool overwrite;         /* replace also a file that is no latent file of ours */
    const atomic_int *stop; /* non-zero: end with IB_E_INTERRUPTED and no file; may be NULL */
    /* The pixel model that makes guides, as ib_guide_create names it: NULL, the default, is its default;
     * IB_GUIDE_NONE: no guides. A space of pictures has none, and fails if a model is named. */
    const char *guide;
    int guide_gap[IB_ENCODE_GUIDE_GAPS]; /* [guide_gaps], 2..IB_GUIDE_MAX_GAP, none twice; default 4, 8, 16 */
    size_t guide_gaps;
    int guide_windows; /* a gap and video, at most, evenly spread; default 32 */
    /* Called after every picture, or batch of pictures, from the calling thread. pictures: frames that have
     * been encoded, and pictures of guides; estimate 0: unknown. May be NULL. */
    void (*progress)(void *user, size_t pictures, int64_t estimate);
    void *user;
} ib_encode_options;

typedef struct ib_encode_stats {
    bool unchanged;   /* the latent file was there already; the other figures are its own */
    size_t frames;    /* in the file */
    size_t cuts;      /* shots after the first */
    int damaged;      /* packets or frames that were dropped */
    char damage[256]; /* a sentence about the first; empty if none */
    int width, height;
    size_t interlaced;      /* frames of the source that are; 0 if unchanged */
    bool kept;              /* the latents were there already, and guides were made */
    size_t windows, guides; /* in the file */
    char guide_model[160];  /* id of the pixel model (guide/guide.h); empty: no guides */
    const char *no_guides;  /* a sentence, if guides were wanted and cannot be made; else NULL */
} ib_encode_stats;

IB_API void ib_encode_defaults(ib_encode_options *o);

/* Encodes the video `path` into the latent file `out_path`, which appears when it is whole. Several threads
 * may do this at once with one space. A file already there is left alone (stats->unchanged) if it was made
 * from the same source with the same space, size, fit and every, and has the guides that are asked for: the
 * same source is one of the same name, size and modification time, or else of the same name and SHA-256; the
 * same guides are those of the same pixel model, gaps and windows. Where only they differ the latents are
 * kept and the guides made anew. Files of an earlier picture version, or made with another keep_interlaced,
 * are left alone too where that makes no difference to this source. A source that is no regular file (a pipe)
 * is read once: its file has no SHA-256 and no guides, which need a second look, and is never taken for
 * unchanged. Other latent files of ours are replaced when the new one is whole. IB_E_ARGUMENT, and nothing is
 * written, if out_path is the video itself, or a file that is not ours (without o->overwrite). stats may be
 * NULL. */
IB_API int ib_encode_video(const char *path, const char *out_path, const ib_space *space,
                           const ib_encode_options *o, ib_encode_stats *stats, ib_error *err);

#ifdef __cplusplus
}
#endif
#endif
