/* Unfinished work that can be gone on with. One rule for all commands: it lies in the folder `.NAME.resume`
 * beside the output NAME, as parts that are each whole, together with a key that names all options and
 * inputs. The same command goes on from there; a command with another key begins anew. The output's own name
 * appears only when all is whole, and then the folder goes. */
#ifndef IB_BASE_RESUME_H
#define IB_BASE_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ib_resume {
    char *folder;    /* owned; NULL: not started */
    char key[65];    /* SHA-256 of the key, hex */
    int lock;        /* descriptor: one process at a time */
    int64_t done;    /* parts 1..done are there, whole, from a run with the same key */
    bool publishing; /* that run was putting them under their final names: those of 1..done that are missing
                        are there already */
} ib_resume;

/* Makes the folder or takes up one that a run with the same key left; what was left with another key is
 * removed. key: any text; NULL: not to be gone on with, whatever is there is removed. ending: of the parts'
 * names, such as ".png". IB_E_IO if another process works in it, or if it holds anything that is not ours. */
int ib_resume_begin(ib_resume *r, const char *output, const char *key, const char *ending, ib_error *err);
/* The name of part 1, 2, ...; malloc'ed, NULL when memory is out. Write it so that it appears whole. */
char *ib_resume_part(const ib_resume *r, int64_t number, const char *ending);
/* Notes that `parts` parts are all there are and are being put under their final names. */
int ib_resume_publish(ib_resume *r, int64_t parts, ib_error *err);
/* Leaves the folder for another run; harmless on a zeroed one. */
void ib_resume_leave(ib_resume *r);
/* Removes the folder and what is in it; harmless on a zeroed one. */
void ib_resume_remove(ib_resume *r);

/* A key is text that grows by what the result depends on. */
typedef struct ib_key {
    char *text; /* owned */
    size_t bytes;
    bool failed; /* memory was out */
} ib_key;
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void ib_key_add(ib_key *k, const char *fmt, ...);
/* What a file is by name, size and time of change, for inputs as a user writes them (FILE@TIME, KIND:PATH,
 * prompts). */
void ib_key_add_input(ib_key *k, const char *input);
void ib_key_free(ib_key *k);

#ifdef __cplusplus
}
#endif
#endif
