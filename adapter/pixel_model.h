/* Ids of pixel models (guide/guide.h) as sentences and pools need them: "prior:MOTION-ID" or "sha256:HEX",
 * then a blank and the file's name, which does not count. Empty: no guide. Not
 * installed. */
#ifndef IB_ADAPTER_PIXEL_MODEL_H
#define IB_ADAPTER_PIXEL_MODEL_H

#include "adapter/adapter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As ib_guide_same_model (latent/guides.h), for rooms that do not see latent/. */
bool ib_pixel_model_same(const char *a, const char *b);
/* IB_E_MISMATCH if a latent file has guides of another pixel model than those that the adapter was trained
 * with. name: the adapter's in the sentence; NULL: "the adapter". */
int ib_adapter_check_guides(const ib_adapter *a, const char *name, const ib_latent_file *f, ib_error *err);
/* The 64 digits of an id "sha256:HEX"; NULL: of no file. */
const char *ib_pixel_model_sha256(const char *id);

/* The file of a pixel model where it is one that comes with the program (adapter/named.h), malloc'ed; NULL:
 * it is not. */
char *ib_pixel_model_file(const char *id);

typedef struct ib_pixel_model_words {
    char text[200];
} ib_pixel_model_words;
/* "friday.safetensors (sha256 0123456789ab...)", "prior (MOTION-ID)" or "no pixel model". */
ib_pixel_model_words ib_pixel_model_name(const char *id);

#ifdef __cplusplus
}
#endif
#endif
