/* Inside clip/ only: byte pair encoding of prompts, from the files that lie beside the weights. */
#ifndef IB_CLIP_TOKENIZER_H
#define IB_CLIP_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

typedef struct ib_tokenizer ib_tokenizer;
/* path: a folder with vocab.json and merges.txt or with tokenizer.json, or a tokenizer.json itself. What the
 * padding is follows from special_tokens_map.json in the same folder; without it the end token pads. */
int ib_tokenizer_open(ib_tokenizer **out, const char *path, ib_error *err);
void ib_tokenizer_close(ib_tokenizer **t);
/* Token numbers are below this. */
size_t ib_tokenizer_size(const ib_tokenizer *t);
/* UTF-8 text, composed (NFC), lower-cased, white space made single, to `length` >= 2 numbers: begin, what
 * fits, end, padding. A special token's name in the text is text. IB_E_ARGUMENT if it is not UTF-8. */
int ib_tokenizer_encode(const ib_tokenizer *t, const char *text, size_t length, int32_t *ids, ib_error *err);

#endif
