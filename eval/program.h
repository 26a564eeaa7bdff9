/* Another program that makes in-betweens, judged as a method beside ours.
 *
 * It is started once, by `/bin/sh -c COMMAND`, and asked for one window after another. A question is, on its
 * standard input, a line of text
 *
 *     inbetween 1 WIDTH HEIGHT N T1 ... TN matrix=M range=limited seconds=S
 *
 * and behind it the two keyframes; the answer, on its standard output, is N frames, and nothing else is ever
 * written there. A frame is its planes Y, U and V without gaps (yuv420p, 8 bits: WIDTH x HEIGHT, and two of
 * half the sides, rounded up). T: places between the keyframes, in (0,1), rising. M: bt601, bt709 or bt2020.
 * S: seconds from keyframe to keyframe. Further words may follow. At the end of its input the program ends.
 * Its standard error is the caller's, its process group its own. */
#ifndef IB_EVAL_PROGRAM_H
#define IB_EVAL_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/stop.h"
#include "video_io/frame.h"

/* Without a byte read or written for as long, a program counts as stuck. */
enum { IB_PROGRAM_PATIENCE_SECONDS = 600 };

typedef struct ib_program ib_program;

/* name: for messages. patience_seconds: as above. stop: non-zero ends waiting with IB_E_INTERRUPTED; may be
 * NULL. A command that the shell cannot find is noticed by the first question. */
int ib_program_open(ib_program **out, const char *name, const char *command, double patience_seconds,
                    const atomic_int *stop, ib_error *err);
/* The in-betweens of two keyframes of one size at the places at [n]. out: [n], allocated here and freed by
 * the caller; on failure none is. May be called from several threads; one is served after the other. Any
 * failure is for good: IB_E_IO if the program ended, hung up or is stuck, IB_E_FORMAT if it wrote more than
 * it was asked for. Later calls give the same error. */
int ib_program_ask(ib_program *p, const ib_frame *key0, const ib_frame *key1, const float *at, size_t n,
                   float seconds, ib_frame *out, ib_error *err);
/* Whether it failed. */
bool ib_program_failed(ib_program *p);
/* Tells the program that there is no more to do, and makes sure that it wrote nothing beside its answers:
 * IB_E_FORMAT if it did. */
int ib_program_finish(ib_program *p, ib_error *err);
/* Ends the program, kindly and then by force, with all that it started in its group. Accepts NULL. */
void ib_program_close(ib_program **p);

#endif
