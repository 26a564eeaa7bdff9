/* safetensors files (https://github.com/huggingface/safetensors): an 8-byte little-endian header length, a
 * JSON header, then raw little-endian tensors. The reader treats the file as hostile: the header length is
 * checked against the file size and IB_ST_MAX_HEADER_BYTES before anything is allocated, nesting and number
 * of its JSON values before it is parsed, a name that comes twice is refused, and the tensors must cover the
 * bytes after the header without gap or overlap, each as long as its dtype and shape say. The file is mapped:
 * do not shorten it while it is open. */
#ifndef IB_BASE_SAFETENSORS_H
#define IB_BASE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "base/api.h"
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IB_ST_MAX_RANK = 8, IB_ST_MAX_HEADER_BYTES = 100000000, IB_ST_MAX_TENSORS = 100000 };

typedef enum ib_dtype {
    IB_F32,
    IB_F16,
    IB_BF16,
    IB_F64,
    IB_I64,
    IB_I32,
    IB_I16,
    IB_I8,
    IB_U8,
    IB_BOOL,
    IB_U64,
    IB_U32,
    IB_U16,
    IB_F8_E4M3,
    IB_F8_E5M2
} ib_dtype;
IB_API size_t ib_dtype_bytes(ib_dtype t);
IB_API const char *ib_dtype_name(ib_dtype t); /* the file's own word: "F32" ... */

typedef struct ib_st_tensor {
    const char *name; /* owned by the file handle */
    ib_dtype dtype;
    int rank; /* 0..IB_ST_MAX_RANK */
    int64_t shape[IB_ST_MAX_RANK];
    size_t elements;  /* product of shape; 1 for rank 0 */
    const void *data; /* into the mapping, NOT aligned: read with memcpy or ib_st_to_f32 */
    size_t bytes;
} ib_st_tensor;

/* What a result may replace without asking: IB_E_ARGUMENT if there is a file of that name which does not
 * begin as safetensors do. */
IB_API int ib_st_check_replace(const char *path, ib_error *err);

typedef struct ib_st ib_st;
/* Maps the file and checks the whole header; tensor values are not looked at. Any other dtype than the above
 * is IB_E_UNSUPPORTED, whatever else is wrong IB_E_FORMAT. */
IB_API int ib_st_open(ib_st **out, const char *path, ib_error *err);
/* The same from a copy in memory, for files that somebody may shorten or replace meanwhile (a mapped one
 * would end the process then): shared folders. IB_E_UNSUPPORTED, before anything is allocated, if the file
 * has more than most_bytes. */
IB_API int ib_st_open_copied(ib_st **out, const char *path, size_t most_bytes, ib_error *err);
IB_API void ib_st_close(ib_st **f);
IB_API size_t ib_st_count(const ib_st *f);
IB_API const ib_st_tensor *ib_st_at(const ib_st *f, size_t i);           /* in order of their data */
IB_API const ib_st_tensor *ib_st_find(const ib_st *f, const char *name); /* NULL if not there */
IB_API const char *ib_st_metadata(const ib_st *f, const char *key);      /* NULL if not there */
IB_API size_t ib_st_metadata_count(const ib_st *f);
IB_API void ib_st_metadata_at(const ib_st *f, size_t i, const char **key, const char **value);
/* Elements [first, first + n) of a tensor; the same otherwise. out: [n] */
IB_API int ib_st_to_f32_part(const ib_st_tensor *t, size_t first, size_t n, float *out, ib_error *err);
/* Bytes of the file that will not be needed soon: what is mapped of them counts no more as this process's
 * memory, and comes back from the file when it is touched. Whole pages within the range only; of a file that
 * was copied, none. */
IB_API void ib_st_release(const ib_st *f, const void *data, size_t bytes);
/* The whole file as it is mapped or copied, for checksums. */
IB_API const void *ib_st_bytes(const ib_st *f, size_t *bytes);
/* Widens F32, F16 (subnormals too), BF16, F8_E4M3 or F8_E5M2 to float. out: [t->elements].
 * IB_E_UNSUPPORTED for other dtypes. The numbers of an F8 tensor are often meant to be multiplied by a
 * scale that stands elsewhere in the file: who computes with weights asks for the other types, as
 * adapters, CLIP models and modality gaps do. */
IB_API int ib_st_to_f32(const ib_st_tensor *t, float *out, ib_error *err);

/* Writes a whole file through ib_pending, tensors in the given order (name, dtype, rank, shape and data
 * are used). keys/values: metadata pairs, UTF-8; of values, bytes that are not are written as \xHH. Same
 * input, same bytes. IB_E_ARGUMENT for a name or key that comes twice or is not UTF-8. */
typedef struct ib_st_meta {
    const char *key, *value;
} ib_st_meta;
IB_API int ib_st_write(const char *path, const ib_st_tensor *tensors, size_t n, const ib_st_meta *meta,
                       size_t n_meta, ib_error *err);

/* The same in pieces, for files larger than memory: begin with the list of tensors (their data is not looked
 * at), append the bytes of all of them in their order in pieces of any size, finish. Space on the disk is
 * asked for at the beginning, so a full one is found out at once. */
typedef struct ib_st_writer ib_st_writer;
IB_API int ib_st_writer_begin(ib_st_writer **out, const char *path, const ib_st_tensor *tensors, size_t n,
                              const ib_st_meta *meta, size_t n_meta, ib_error *err);
IB_API int ib_st_writer_append(ib_st_writer *w, const void *data, size_t bytes, ib_error *err);
/* meta NULL: as it was. Else it takes the place of what was given at the beginning, and its text must be as
 * long (for checksums, which are known last). Takes its final name; frees the writer, also on failure.
 * IB_E_ARGUMENT if bytes are missing. */
IB_API int ib_st_writer_finish(ib_st_writer **w, const ib_st_meta *meta, size_t n_meta, ib_error *err);
/* Nothing is left behind. Accepts NULL and a finished writer. */
IB_API void ib_st_writer_abort(ib_st_writer **w);

/* Half-precision conversion, round to nearest even; vectorised where the CPU can. */
IB_API void ib_f32_to_f16(const float *in, uint16_t *out, size_t n);
IB_API void ib_f16_to_f32(const uint16_t *in, float *out, size_t n);
/* The same bits without the processor's own conversion; what the two above fall back on. */
IB_API void ib_f32_to_f16_portable(const float *in, uint16_t *out, size_t n);
IB_API void ib_f16_to_f32_portable(const uint16_t *in, float *out, size_t n);
/* The two types of the OCP 8-bit floating point specification. E4M3: bias 7, no infinities, NaN is 0x7f
 * and 0xff. E5M2: the upper half of IEEE's half precision. */
IB_API void ib_f8_e4m3_to_f32(const uint8_t *in, float *out, size_t n);
IB_API void ib_f8_e5m2_to_f32(const uint8_t *in, float *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
