/* Gaps as words of a command line, in frames. */
#ifndef IB_CLI_GAPS_H
#define IB_CLI_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include "eval/eval.h"

enum { CLI_GAP_MOST = 100000 };

/* "2..16", or one number for both ends; 2 to CLI_GAP_MOST. */
bool cli_gap_range(const char *text, int *least, int *most);
/* "8" or "4,8,16": 2 to 1000 each, none twice. false also leaves in *twice the number that is there twice, or
 * 0. */
bool cli_gap_list(const char *text, int gap[IB_EVAL_MAX_GAPS], size_t *n, int *twice);

#endif
