/* Inside eval: sentences about inputs. */
#ifndef IB_EVAL_REMARKS_H
#define IB_EVAL_REMARKS_H

#include "eval/eval.h"

int ib_remarks_add(ib_eval_remarks *l, const char *file, const char *why, ib_error *err);
/* In order of files' names, then of sentences. */
void ib_remarks_sort(ib_eval_remarks *l);
void ib_remarks_free(ib_eval_remarks *l);

#endif
