#include "eval/private.h"
char *ib_eval_page(const ib_eval_report *r) {
    return ib_eval_text(r);
}
